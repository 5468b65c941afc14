import t from 'tap'
import { assembleArrays } from '../../src/volume/assembly.ts'
import type { DiskArray } from '../../src/volume/disk-array.ts'
import { LABEL_AREA_BYTES, readLabel } from '../../src/volume/label-slots.ts'
import { assembleOne, blankDisks, create, MIB } from './arrays.ts'
import { readAll, writeAll } from './io.ts'
import { cutEverywhere, PowerCut, PowerCutVolume } from './power-cut.ts'

t.test('power cut anywhere while a table changes leaves the old or the new one', async (t) => {
  const table = (array: DiskArray) =>
    array.partitions.map(({ name, sizeBytes }) => [name, sizeBytes])
  const old = [['a', MIB]]
  const before = async () => {
    const disks = blankDisks(3, 2 * MIB)
    const array = await create(disks)
    await array.createPartition({ name: 'a', sizeBytes: MIB })
    await writeAll(array.openPartition('a'), 0, Buffer.alloc(MIB, 0xaa))
    return disks
  }
  const changes: [string, (array: DiskArray) => Promise<unknown>, unknown][] = [
    [
      'create',
      (array) => array.createPartition({ name: 'b', sizeBytes: MIB }),
      [...old, ['b', MIB]],
    ],
    ['grow', (array) => array.growPartition('a', 2 * MIB), [['a', 2 * MIB]]],
    ['delete', (array) => array.deletePartition('a'), []],
  ]
  for (const [name, change, changed] of changes) {
    const ends = await cutEverywhere(
      before,
      async (disks) => change(await assembleOne(disks)),
      async (disks, completed, cutAt) => {
        // Cut again while the labels are brought up to date, then look.
        const again = new PowerCut(cutAt % 5, () => 0.5)
        const unlucky = disks.map((disk) => new PowerCutVolume(disk, again))
        await assembleArrays(unlucky)
        const array = await assembleOne(unlucky.map((disk) => disk.afterCut()))
        const found = table(array)
        const expected =
          completed || JSON.stringify(found) === JSON.stringify(changed) ? changed : old
        t.strictSame(found, expected, `${name} cut after ${cutAt} operations`)
        const generations = await Promise.all(
          disks.map(async (disk) => (await readLabel(disk)).generation),
        )
        t.equal(new Set(generations).size, 1, 'and all disks agree')
        for (const { name, sizeBytes } of array.partitions) {
          const bytes = await readAll(array.openPartition(name), 0, sizeBytes)
          const own = Buffer.alloc(sizeBytes)
          if (name === 'a') own.fill(0xaa, 0, MIB)
          t.ok(bytes.equals(own), `${name} holds its own bytes, and zeros`)
        }
        await array.createPartition({ name: 'later', sizeBytes: 4096 })
      },
    )
    t.ok(ends >= 6, `${name} takes ${ends} operations`)
  }
})

t.test(
  'power cut anywhere while an array is made leaves it whole, or disks to use again',
  async (t) => {
    const ends = await cutEverywhere(
      async () => blankDisks(2, 2 * MIB),
      (disks) => create(disks),
      async (disks, completed, cutAt) => {
        const { arrays, failed, unlabelled } = await assembleArrays(disks)
        t.strictSame(failed, [], `cut after ${cutAt} operations`)
        t.equal(arrays.length, unlabelled.length === 0 ? 1 : 0)
        if (completed) t.equal(arrays.length, 1)
        if (arrays.length === 0) await create(disks)
        await assembleOne(disks)
      },
    )
    t.ok(ends > 10)
  },
)

t.test('power cut anywhere while an array is destroyed leaves it whole, or none', async (t) => {
  await cutEverywhere(
    async () => {
      const disks = blankDisks(2, 2 * MIB)
      await create(disks)
      return disks
    },
    async (disks) => (await assembleOne(disks)).destroy(),
    async (disks, completed, cutAt) => {
      const { arrays, failed, unlabelled } = await assembleArrays(disks)
      t.strictSame(failed, [], `cut after ${cutAt} operations`)
      t.equal(arrays.length, unlabelled.length === 0 ? 1 : 0)
      if (completed) t.equal(unlabelled.length, 2)
    },
  )
})

t.test(
  'power cut anywhere while an array with a disk missing and a label behind is assembled',
  async (t) => {
    const ends = await cutEverywhere(
      async () => {
        const disks = blankDisks(3, 2 * MIB)
        const array = await create(disks, 'tank', 'raid1')
        const old = await readAll(disks[1]!, 0, LABEL_AREA_BYTES)
        await array.createPartition({ name: 'a', sizeBytes: MIB / 2 })
        await array.close()
        await writeAll(disks[1]!, 0, old)
        return disks.slice(0, 2)
      },
      async (disks) => {
        const { arrays } = await assembleArrays(disks)
        for (const array of arrays) await array.close()
      },
      async (disks, _completed, cutAt) => {
        const { arrays, failed } = await assembleArrays(disks)
        t.strictSame(failed, [], `cut after ${cutAt} operations`)
        t.strictSame(
          arrays[0]!.members.map(({ state }) => state),
          ['in-sync', 'in-sync', 'absent'],
        )
        await arrays[0]!.close()
      },
    )
    t.ok(ends >= 4)
  },
)
