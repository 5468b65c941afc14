import t from 'tap'
import { createArray } from '../../src/volume/array.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { assembleOne, blankDisks, CHUNK, MIB } from './arrays.ts'
import { io, readAll, writeAll } from './io.ts'

for (const level of ['raid1', 'raid5'] as const) {
  t.test(`an atomic write that a ${level} disk had begun does not come back with it`, async (t) => {
    let isOver = false
    for (let after = 0; !isOver; after++) {
      const disks = blankDisks(3, 8 * MIB).map((disk) => new FaultVolume(disk))
      const array = await createArray({ name: 'tank', level, chunkSizeBytes: CHUNK, disks })
      await array.createPartition({ name: 'p', sizeBytes: MIB })
      const volume = array.openPartition('p')
      await writeAll(volume, 0, Buffer.alloc(MIB, 1))
      disks[0]!.failNext('write', { after, times: Infinity })
      const old = Buffer.alloc(8192, 2)
      await io((completion) => volume.writeAtomic(0, old, 0, old.length, completion))
      disks[0]!.heal()
      isOver = array.members[0]!.state === 'in-sync'
      await writeAll(volume, 0, Buffer.alloc(8192, 3))
      if (!isOver) await array.upkeep.reAdd(disks[0]!)
      await array.upkeep.idle()
      await array.close()
      const again = await assembleOne(disks)
      const bytes = await readAll(again.openPartition('p'), 0, 8192)
      t.ok(bytes.equals(Buffer.alloc(8192, 3)), `${after} writes had gone well`)
      await again.close()
    }
  })
}
