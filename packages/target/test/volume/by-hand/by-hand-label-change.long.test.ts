// Power cuts while labels are written: by hand there is the same array as for the server, or none.

import t, { type Test } from 'tap'
import type { ArrayLevel } from '../../../src/volume/array-description.ts'
import { assembleArrays } from '../../../src/volume/assembly.ts'
import type { DiskArray } from '../../../src/volume/disk-array.ts'
import type { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import type { Volume } from '../../../src/volume/volume.ts'
import { assembleOne, blankDisks, create, MIB } from '../arrays.ts'
import { cutEverywhere } from '../power-cut.ts'
import { openByHand } from './array.ts'
import { imagesOf } from './disks.ts'

const stateNames = { 'in-sync': 'in sync', rebuilding: 'being rebuilt', absent: 'absent' } as const

t.test('an array that is being made or destroyed is one for both or for neither', async (t) => {
  await cutEverywhere(
    async () => blankDisks(2, 2 * MIB),
    (disks) => create(disks),
    (disks, _, cutAt) => compare(t, disks, `being made, cut at ${cutAt}`),
  )
  await cutEverywhere(
    () => arrayDisks('raid0', 2),
    async (disks) => (await assembleOne(disks)).destroy(),
    (disks, _, cutAt) => compare(t, disks, `being destroyed, cut at ${cutAt}`),
  )
})

t.test('a change of labels is found as the server finds it', async (t) => {
  const changes: readonly (readonly [string, (array: DiskArray) => Promise<unknown>])[] = [
    ['a new partition', (array) => array.createPartition({ name: 'a', sizeBytes: 65536 })],
    ['a member taken out', (array) => array.upkeep.fail(array.disks[0] as Volume)],
  ]
  for (const [name, change] of changes) {
    await cutEverywhere(
      () => arrayDisks('raid1', 3),
      async (disks) => change(await assembleOne(disks)),
      (disks, _, cutAt) => compare(t, disks, `${name}, cut at ${cutAt}`),
    )
  }
})

async function arrayDisks(level: ArrayLevel, count: number): Promise<MemoryVolume[]> {
  const disks = blankDisks(count, 2 * MIB)
  await create(disks, 'tank', level)
  return disks
}

/** What is found by hand, and then by the server, which completes what was begun. */
async function compare(t: Test, disks: readonly MemoryVolume[], what: string): Promise<void> {
  const images = await imagesOf(disks)
  const { arrays } = await assembleArrays(disks)
  const [array] = arrays
  if (array === undefined) {
    t.throws(() => openByHand(images, 'tank'), what)
    return
  }
  const byHand = openByHand(images, 'tank')
  t.strictSame(
    byHand.partitions().map(({ name, size }) => [name, size]),
    array.partitions.map(({ name, sizeBytes }) => [name, sizeBytes]),
    what,
  )
  const states = byHand.members.map(({ state }) => state)
  t.strictSame(
    states,
    array.members.map(({ state }) => stateNames[state]),
    what,
  )
}
