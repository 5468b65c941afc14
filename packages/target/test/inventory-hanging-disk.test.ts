import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Inventory } from '../src/inventory.ts'
import { silentLog } from '../src/log.ts'
import { StateStore } from '../src/state.ts'
import { DiskFile } from '../src/volume/disk-file.ts'
import type { Volume } from '../src/volume/volume.ts'
import { HangingVolume } from './volume/hanging-volume.ts'
import { readAll, writeAll } from './volume/io.ts'

const MIB = 1024 * 1024

t.test('a disk that hangs is replaced by a spare, and holds up no change', async (t) => {
  const directory = t.testdir()
  const at = (name: string) => path.join(directory, name)
  const disks = new Map<string, HangingVolume>()
  let volume: Volume | null = null
  const inventory = new Inventory({
    state: await StateStore.open(directory, () => {}),
    server: {
      show: (partition) => {
        volume = partition.volume
      },
      grown: () => {},
      hide: async () => {},
      forget: () => {},
    },
    openDisk: async (file) => {
      const disk = new HangingVolume(await DiskFile.open(file))
      disks.set(file, disk)
      return disk
    },
    log: silentLog,
    onStep: () => {},
    diskTimeoutMs: 500,
  })
  await inventory.open()
  for (const name of ['d0', 'd1', 'spare']) await inventory.createDisk(at(name), 8 * MIB)
  const members = [at('d0'), at('d1')]
  const array = { name: 'r', level: 'raid1', chunkSizeBytes: 64 * 1024, disks: members } as const
  await inventory.createArray(array)
  await inventory.createPartition({ array: 'r', name: 'p' }, MIB)
  await inventory.setSpare(at('spare'), true)

  // As a disk that really hangs does.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const hanging = disks.get(at('d1'))!
  hanging.hang()
  await writeAll(volume!, 0, Buffer.alloc(MIB, 1))
  const listed = () => inventory.listArrays()[0]!
  while (listed().state !== 'available') await delay(10)
  t.same(listed().disks, [at('d0'), at('spare')])
  const heldCount = hanging.heldCount
  t.ok(heldCount > 0)
  t.match(await inventory.createDisk(at('new'), 8 * MIB), { state: 'free' })
  t.match(inventory.listDisks()[1], { path: at('d1'), state: 'out', array: 'r' })
  t.equal(hanging.heldCount, heldCount, 'it was asked nothing more')
  await t.rejects(inventory.reAddDisk({ array: 'r', disk: at('d1') }), {
    code: 'in-use',
    message: /has not answered yet/,
  })
  t.ok((await readAll(volume!, 0, MIB)).equals(Buffer.alloc(MIB, 1)))
  hanging.goOn()
  await inventory.close()
})
