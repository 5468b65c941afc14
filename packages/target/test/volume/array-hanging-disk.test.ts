import t from 'tap'
import { createArray } from '../../src/volume/array.ts'
import type { ArrayLevel } from '../../src/volume/array-description.ts'
import { ArrayMembers } from '../../src/volume/array-members.ts'
import type { DiskArray } from '../../src/volume/disk-array.ts'
import { readLabel } from '../../src/volume/label-slots.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { assembleOne, CHUNK, MIB } from './arrays.ts'
import { HangingVolume } from './hanging-volume.ts'
import { readAll, writeAll } from './io.ts'
import { FakeClock, settle } from './raid/fake-clock.ts'

const TIMEOUT_MS = 10_000
const LATEST_MS = TIMEOUT_MS * 1.1

async function hangingArray(level: ArrayLevel, count: number) {
  const clock = new FakeClock()
  const disks = Array.from(
    { length: count },
    (_, i) => new HangingVolume(new MemoryVolume(`disk${i}`, 8 * MIB)),
  )
  const lost: string[] = []
  const array = await createArray({
    name: 'tank',
    level,
    chunkSizeBytes: CHUNK,
    disks,
    hooks: {
      clock,
      answerTimeoutMs: TIMEOUT_MS,
      onEvent: (_array, { message, isLoss }) => {
        if (isLoss) lost.push(message)
      },
    },
  })
  await array.createPartition({ name: 'p', sizeBytes: MIB })
  return { clock, disks, lost, array, volume: array.openPartition('p') }
}

const states = (array: DiskArray) => array.members.map(({ state }) => state)

/** Resolves with the outcome; the clock goes on until there is one. */
async function within<T>(clock: FakeClock, limitMs: number, work: Promise<T>): Promise<T> {
  let isOver = false
  const watched = work.finally(() => {
    isOver = true
  })
  watched.catch(() => {})
  await settle()
  for (let ms = 0; ms < limitMs && !isOver; ms += 100) await clock.advance(100)
  if (!isOver) throw new Error(`it is not over after ${limitMs} ms`)
  return watched
}

for (const [level, count] of [
  ['raid1', 2],
  ['raid10', 4],
  ['raid5', 3],
  ['raid6', 4],
] as const) {
  t.test(`a ${level} array goes on without a disk that hangs, once it is given up`, async (t) => {
    for (const op of ['read', 'write', 'flush'] as const) {
      const { clock, disks, lost, array, volume } = await hangingArray(level, count)
      const bytes = Buffer.alloc(MIB, 1)
      await writeAll(volume, 0, bytes)
      disks[1]!.hang()
      const isTold = new Promise<Error | null>((resolve) => {
        const done = { ioCompleted: resolve }
        if (op === 'read') volume.read(0, Buffer.alloc(MIB), 0, MIB, done)
        else if (op === 'write') volume.write(0, bytes, 0, MIB, done)
        else volume.flush(done)
      })
      t.equal(await within(clock, op === 'flush' ? 5 * TIMEOUT_MS : LATEST_MS, isTold), null)
      if (op === 'read') await within(clock, LATEST_MS, writeAll(volume, 0, bytes))
      t.equal(states(array)[1], 'absent')
      t.match(lost, [/member 1, disk1, was taken out: .* no answer within (10|40) s/])
      t.ok((await readAll(volume, 0, MIB)).equals(bytes))
      await writeAll(volume, 0, Buffer.alloc(MIB, 2))
      await array.close()
      disks[1]!.goOn()
      await settle()
      const again = await assembleOne(disks)
      t.equal(states(again)[1], 'absent', 'and it stays out')
      t.ok((await readAll(again.openPartition('p'), 0, MIB)).equals(Buffer.alloc(MIB, 2)))
      await again.close()
    }
  })
}

t.test('a label that a disk does not take holds up no change of the array', async (t) => {
  const { clock, disks, array } = await hangingArray('raid1', 2)
  disks[0]!.hang()
  await within(clock, 5 * TIMEOUT_MS, array.renamePartition('p', 'q'))
  t.same(states(array), ['absent', 'in-sync'])
  t.equal(array.partitions[0]!.name, 'q')
  await array.createPartition({ name: 'p', sizeBytes: MIB })
})

t.test('a disk that hung is taken back only when it has ended what it was asked', async (t) => {
  const { clock, disks, array, volume } = await hangingArray('raid1', 2)
  const hanging = disks[1]!
  hanging.hang()
  const bytes = Buffer.alloc(MIB, 1)
  await within(clock, LATEST_MS, writeAll(volume, 0, bytes))
  // As the next command has it.
  bytes.fill(0xee)
  await writeAll(volume, 0, Buffer.alloc(MIB, 2))
  t.ok(array.upkeep.isHanging(hanging))
  const refusal = { code: 'in-use', message: /disk1 has not answered yet/ }
  await t.rejects(array.upkeep.reAdd(hanging), refusal)
  t.same(states(array), ['in-sync', 'absent'])

  hanging.goOn()
  await settle()
  t.notOk(array.upkeep.isHanging(hanging))
  await array.upkeep.reAdd(hanging)
  await within(clock, 60_000, array.upkeep.idle())
  t.same(states(array), ['in-sync', 'in-sync'])
  await array.upkeep.fail(disks[0]!)
  t.ok((await readAll(volume, 0, MIB)).equals(Buffer.alloc(MIB, 2)), 'and nothing late is on it')
  await writeAll(volume, 0, Buffer.alloc(MIB, 3))
  t.ok((await readAll(volume, 0, MIB)).equals(Buffer.alloc(MIB, 3)))
})

t.test('a disk that is taken back gets the marks that it missed', async (t) => {
  const { clock, disks, array, volume } = await hangingArray('raid1', 2)
  const { intents } = (await readLabel(disks[0]!)).areas
  const marks = () =>
    Promise.all(disks.map((disk) => readAll(disk, intents.offset, intents.length)))
  await clock.advance(60_000)
  await array.upkeep.fail(disks[1]!)
  await writeAll(volume, MIB - 4096, Buffer.alloc(4096, 1))
  const [theirs, before] = await marks()
  t.notOk(before!.equals(theirs!), 'there are some')
  await array.upkeep.reAdd(disks[1]!)
  const [, after] = await marks()
  t.ok(after!.equals(theirs!))
})

t.test('what a member was is of no use any more when its disk is back', async (t) => {
  const { disks, array } = await hangingArray('raid1', 2)
  await array.close()
  const { memberNumber: _, ...description } = await readLabel(disks[0]!)
  const members = new ArrayMembers({ description, disks })
  const member = members.viewArea(description.areas.data)[1]!
  const before = member.volume!
  const canRead = (volume: Volume) => volume.readNow(0, Buffer.alloc(512), 0, 512)
  t.ok(canRead(before))
  await members.takeOut(1, new Error('for a while'))
  t.notOk(canRead(before))
  await members.bringIn(1, disks[1]!, description.members[1]!.diskId)
  t.ok(canRead(member.volume!))
  t.notOk(canRead(before))
  t.equal(member.volume, member.volume, 'one as long as the disk is the same')
})

t.test('a disk that hangs takes no other place either', async (t) => {
  const { clock, disks, array, volume } = await hangingArray('raid1', 2)
  const spare = new HangingVolume(new MemoryVolume('spare', 8 * MIB))
  await array.upkeep.fail(disks[1]!)
  spare.hang()
  const refusal = { code: 'storage-failed', message: /spare.*no answer within/ }
  await t.rejects(within(clock, 5 * TIMEOUT_MS, array.upkeep.replace(spare)), refusal)
  t.same(states(array), ['in-sync', 'absent'])
  await writeAll(volume, 0, Buffer.alloc(MIB, 2))
})

t.test('raid0 waits for its disks as long as they take', async (t) => {
  const { clock, disks, array, volume } = await hangingArray('raid0', 2)
  disks[1]!.hang()
  const writing = writeAll(volume, 0, Buffer.alloc(MIB, 1))
  await clock.advance(100 * TIMEOUT_MS)
  disks[1]!.goOn()
  await writing
  t.same(states(array), ['in-sync', 'in-sync'])
})
