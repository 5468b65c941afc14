import t from 'tap'
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { readAll, writeAll } from '../io.ts'
import { held, KIB, makeMirror, numbered, plant } from './mirror-parts.ts'

/** Members take turns in units of this, by address. */
const UNIT = 128 * KIB

function reads(faults: readonly FaultVolume[]): number[] {
  return faults.map((fault) => fault.started.read)
}

t.test('a large read is spread over the members, a small one goes to one', async (t) => {
  const { mirror, faults } = makeMirror({ count: 3 })
  await readAll(mirror, 0, 6 * UNIT)
  t.strictSame(reads(faults), [2, 2, 2])
  await readAll(mirror, UNIT - 4096, 4096 + UNIT + 4096)
  t.strictSame(reads(faults), [3, 3, 3], 'cut where the turn changes')
  await readAll(mirror, 3 * UNIT, 4096)
  t.strictSame(reads(faults), [4, 3, 3])
  await readAll(mirror, 4 * UNIT - 4096, 8192)
  t.strictSame(reads(faults), [5, 3, 3], 'though it reaches into the next unit')
})

t.test('of small reads at once, each goes to the member that has least to do', async (t) => {
  const { mirror, faults } = makeMirror({ count: 2 })
  await Promise.all([0, 0, 0, 0].map((offset) => readAll(mirror, offset, 4096)))
  t.strictSame(reads(faults), [2, 2])
  for (const offset of [0, UNIT, UNIT, UNIT]) await readAll(mirror, offset, 4096)
  t.strictSame(reads(faults), [3, 5], 'one after another, it goes by address')
})

t.test('readNow asks the member whose turn it is, and no other', async (t) => {
  const { mirror, faults } = makeMirror({ count: 2 })
  const into = Buffer.alloc(3 * UNIT)
  t.ok(mirror.readNow(UNIT, into, 0, 4096))
  t.strictSame(reads(faults), [0, 1])
  t.ok(mirror.readNow(0, into, 0, 3 * UNIT))
  t.strictSame(reads(faults), [2, 2])
  faults[1]!.refuseNow = true
  t.ok(mirror.readNow(2 * UNIT, into, 0, UNIT))
  t.notOk(mirror.readNow(UNIT, into, 0, 4096))
  t.notOk(mirror.readNow(0, into, 0, 2 * UNIT))
  t.strictSame(reads(faults), [4, 2])
})

t.test('members that are not in sync are never read', async (t) => {
  const { mirror, members, faults } = makeMirror({ count: 3, sizeBytes: 512 * KIB })
  const bytes = numbered(512 * KIB)
  await writeAll(mirror, 0, bytes)
  members[0]!.leave()
  const blank = new FaultVolume(new MemoryVolume('new', 512 * KIB))
  members[2]!.replace(blank)
  t.ok((await readAll(mirror, 0, 512 * KIB)).equals(bytes))
  const into = Buffer.alloc(512 * KIB)
  t.ok(mirror.readNow(0, into, 0, into.length))
  t.ok(into.equals(bytes))
  t.strictSame([...reads(faults), blank.started.read], [0, 8, 0, 0])
  members[1]!.leave()
  t.notOk(mirror.readNow(0, into, 0, 512))
  await t.rejects(readAll(mirror, 512, 512), {
    name: 'VolumeError',
    op: 'read',
    volume: 'mirror',
    offset: 512,
  })
})

t.test('what is in doubt is made the same everywhere before it is read', async (t) => {
  const { mirror, members, memories, faults } = makeMirror({
    count: 4,
    isDoubtful: (offset, length) => offset < 2 * UNIT && offset + length > UNIT,
  })
  memories.forEach((memory, number) => {
    plant(memory, 0, Buffer.alloc(8 * UNIT, number + 1))
  })
  members[3]!.state = 'rebuilding'
  const into = Buffer.alloc(2 * UNIT)
  t.notOk(mirror.readNow(UNIT, into, 0, 2 * UNIT))
  const all = [1, 2, 3, 4, 5].map(() => readAll(mirror, UNIT, 2 * UNIT))
  for (const bytes of await Promise.all(all)) t.ok(bytes.equals(Buffer.alloc(2 * UNIT, 1)))
  for (const [number, memory] of memories.entries()) {
    t.ok(held(memory, UNIT, 2 * UNIT).equals(Buffer.alloc(2 * UNIT, 1)))
    t.equal(held(memory, 0, 512)[0], number + 1, 'and nothing else')
  }
  t.ok(mirror.readNow(4 * UNIT, into, 0, 512))
  t.equal(into[0], 2, 'the rest is read by turns')
  faults[0]!.failNext('read', { times: Number.POSITIVE_INFINITY })
  t.equal((await readAll(mirror, UNIT, 512))[0], 1)
  for (const fault of faults) fault.failNext('read', { times: Number.POSITIVE_INFINITY })
  const failed = { name: 'VolumeError', op: 'read', volume: 'mirror', offset: UNIT }
  await t.rejects(readAll(mirror, UNIT, 512), failed)
})
