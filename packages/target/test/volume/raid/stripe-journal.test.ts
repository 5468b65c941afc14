import fc from 'fast-check'
import t, { type Test } from 'tap'
import { crc32c } from '../../../src/volume/crc32c.ts'
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { encodeAnchor } from '../../../src/volume/raid/journal-format.ts'
import { LiveRecords } from '../../../src/volume/raid/live-records.ts'
import type { MemberFailures } from '../../../src/volume/raid/member.ts'
import { RingJournal } from '../../../src/volume/raid/stripe-journal.ts'
import { StripeUpdate } from '../../../src/volume/raid/stripe-update.ts'
import { VolumeError } from '../../../src/volume/volume.ts'
import { io, readAll, writeAll } from '../io.ts'
import { ARRAY_ID, garbageDisk, TestMember } from './parity-arrays.ts'
import { bytesOf } from './parity-model.ts'

const AREA_BYTES = 8192 + 16 * 4096
const DISK_BYTES = 256 * 1024
const EPOCH = '00112233-4455-6677-8899-aabbccddeeff'

function makeDisks(count = 3) {
  const numbers = Array.from({ length: count }, (_, number) => number)
  return {
    areas: numbers.map((n) => new FaultVolume(garbageDisk(`area${n}`, AREA_BYTES))),
    disks: numbers.map((n) => new FaultVolume(new MemoryVolume(`disk${n}`, DISK_BYTES))),
  }
}

type Disks = ReturnType<typeof makeDisks>

/** A journal of RAID 5 on these disks: what fails is absent, but one member stays. */
async function openJournal({ areas, disks }: Disks, absent: readonly number[] = []) {
  const members = disks.map((disk, number) => new TestMember(number, disk))
  const areaMembers = areas.map((area, number) => new TestMember(number, area))
  const remove = (number: number) => {
    for (const member of [members[number]!, areaMembers[number]!]) {
      member.state = 'absent'
      member.volume = null
    }
  }
  for (const number of absent) remove(number)
  const failed: number[] = []
  const failures: MemberFailures = {
    fail: (number, cause, completion) => {
      setImmediate(() => {
        const isLast = members.every((member) => member.number === number || member.volume === null)
        if (isLast) return completion.ioCompleted(cause)
        remove(number)
        failed.push(number)
        completion.ioCompleted(null)
      })
    },
  }
  const journal = new RingJournal({
    name: 'array',
    arrayId: ARRAY_ID,
    areas: areaMembers,
    areaSizeBytes: AREA_BYTES,
    members,
    failures,
    parityCount: 1,
  })
  await journal.recover()
  return { journal, members, failed }
}

/** `bytes` for `offset` of members. */
function updateOf(offset: number, bytes: Buffer, members: readonly number[] = [0, 1]) {
  const update = new StripeUpdate(members.length)
  update.clear(offset, bytes.length)
  for (const [index, number] of members.entries()) {
    update.add(number, index, offset, bytes, 0, bytes.length)
  }
  return update
}

async function append(journal: RingJournal, update: StripeUpdate): Promise<StripeUpdate> {
  await io((done) => journal.append(update, done))
  return update
}

async function bytesAt({ disks }: Disks, member: number, offset: number, length: number) {
  return readAll(disks[member]!, offset, length)
}

async function assertBytes(t: Test, disks: Disks, offset: number, bytes: Buffer, what: string) {
  for (const member of [0, 1]) {
    t.ok((await bytesAt(disks, member, offset, bytes.length)).equals(bytes), what)
  }
}

t.test('a ring has room for records that do not overlap those that are live', async (t) => {
  const property = fc.property(
    fc.array(fc.tuple(fc.integer({ min: 1, max: 7 }), fc.nat({ max: 4 })), { maxLength: 80 }),
    (steps) => {
      const ring = new LiveRecords(16)
      const live: { position: number; sizeBytes: number; offset: number }[] = []
      for (const [sizeBytes, dropped] of steps) {
        const position = ring.placeFor(sizeBytes)
        if (position < 0) {
          if (live.length === 0) return false
        } else {
          if (position + sizeBytes > 16) return false
          const overlaps = live.some(
            (other) =>
              position < other.position + other.sizeBytes && other.position < position + sizeBytes,
          )
          if (overlaps) return false
          const offset = steps.length * sizeBytes * 40_000
          ring.add(sizeBytes, offset, 512)
          live.push({ position, sizeBytes, offset })
        }
        const count = Math.min(dropped, live.length)
        ring.drop(count)
        for (const gone of live.splice(0, count)) {
          const isLive = live.some(({ offset }) => offset === gone.offset)
          if (ring.overlaps(gone.offset + 511, 1) !== isLive) return false
        }
        if (!live.every(({ offset }) => ring.covers(offset, 512))) return false
        if (live.length === 0 && ring.covers(0, 2 ** 20)) return false
        if (ring.usedBytes !== live.reduce((sum, record) => sum + record.sizeBytes, 0)) return false
      }
      return true
    },
  )
  fc.assert(property, { numRuns: 500 })
  t.pass()
})

t.test('only what ended before a flush began is in place durably', async (t) => {
  const ring = new LiveRecords(100)
  const [a, b, c] = [ring.add(1, 0, 1), ring.add(1, 1, 1), ring.add(1, 2, 1)]
  ring.end(a!)
  const first = ring.mark()
  ring.end(b!)
  ring.end(c!)
  t.equal(ring.countFlushed(), 0)
  ring.flushed(first)
  t.equal(ring.countFlushed(), 1)
  const second = ring.mark()
  const third = ring.mark()
  ring.flushed(third)
  ring.flushed(second)
  t.equal(ring.countFlushed(), 3)
  t.strictSame(ring.oldestAfter(3), { sequence: 4, position: 3 })
})

t.test('what was appended, in whole, is written in place after a crash, in order', async (t) => {
  const disks = makeDisks()
  const { journal } = await openJournal(disks)
  for (let nth = 0; nth < 3; nth++) await append(journal, updateOf(512 * nth, bytesOf(nth, 1024)))
  const expected = Buffer.concat([bytesOf(0, 512), bytesOf(1, 512), bytesOf(2, 1024)])
  await openJournal(disks)
  await assertBytes(t, disks, 0, expected, 'the later over the earlier')
  await writeAll(disks.disks[0]!, 0, Buffer.alloc(512))
  await openJournal(disks)
  t.ok((await bytesAt(disks, 0, 0, 512)).equals(Buffer.alloc(512)), 'and only once')
})

t.test('any member may be lost with the crash, and any copy torn', async (t) => {
  for (let lost = 0; lost < 3; lost++) {
    const disks = makeDisks()
    const { journal } = await openJournal(disks)
    for (let nth = 0; nth < 7; nth++) {
      await append(journal, updateOf(4096 * nth, bytesOf(nth, 512), [0, 1, 2]))
    }
    const isAbsent = lost % 2 === 0
    if (!isAbsent) await writeAll(disks.areas[lost]!, 0, bytesOf(99, AREA_BYTES))
    await openJournal(disks, isAbsent ? [lost] : [])
    for (let nth = 0; nth < 7; nth++) {
      for (const member of [0, 1, 2]) {
        if (isAbsent && member === lost) continue
        const found = await bytesAt(disks, member, 4096 * nth, 512)
        t.ok(found.equals(bytesOf(nth, 512)), `record ${nth} on ${member} without ${lost}`)
      }
    }
  }
})

t.test('records appended together are committed together', async (t) => {
  const disks = makeDisks(2)
  const { journal } = await openJournal(disks)
  const flushes = () => disks.areas[0]!.started.flush
  const before = flushes()
  const together = [0, 1].map((nth) => append(journal, updateOf(512 * nth, bytesOf(nth, 512))))
  await Promise.all(together)
  t.equal(flushes(), before + 1)
  for (const update of await Promise.all(together)) journal.applied(update)
  const first = append(journal, updateOf(0, bytesOf(9, 512)))
  await new Promise(setImmediate)
  const during = [1, 2].map((nth) => append(journal, updateOf(512 * nth, bytesOf(nth, 512))))
  await Promise.all([first, ...during])
  t.equal(flushes(), before + 3, 'those that come in the midst of one go with the next')
})

t.test('a ring that is full waits for what is in place, and goes round', async (t) => {
  const disks = makeDisks()
  const { journal, members } = await openJournal(disks)
  const latest = new Map<number, Buffer>()
  for (let nth = 0; nth < 60; nth++) {
    const offset = (nth % 5) * 8192
    const bytes = bytesOf(nth, 512 * (1 + (nth % 9)))
    const update = await append(journal, updateOf(offset, bytes))
    for (const number of [0, 1]) await writeAll(members[number]!.volume!, offset, bytes)
    journal.applied(update)
    latest.set(
      offset,
      Buffer.concat([bytes, (latest.get(offset) ?? Buffer.alloc(0)).subarray(bytes.length)]),
    )
  }
  const last = await append(journal, updateOf(0, bytesOf(100, 4096)))
  let isAppended = false
  const waiting = Array.from({ length: 8 }, (_, nth) =>
    append(journal, updateOf(65536 + 4096 * nth, bytesOf(nth, 4096))),
  )
  const all = Promise.all(waiting).then(() => {
    isAppended = true
  })
  for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate)
  t.notOk(isAppended, 'the oldest is not in place')
  const reopened = await openJournal(disks)
  t.ok(reopened.journal.failure === null)
  latest.set(0, Buffer.concat([bytesOf(100, 4096), latest.get(0)!.subarray(4096)]))
  for (const [offset, bytes] of latest) await assertBytes(t, disks, offset, bytes, `at ${offset}`)
  journal.applied(last)
  for (const update of waiting) void update.then((ended) => journal.applied(ended))
  await all
})

t.test(
  'retired records are not written in place again, and a flush makes that cheap',
  async (t) => {
    const disks = makeDisks()
    const { journal } = await openJournal(disks)
    const update = await append(journal, updateOf(0, bytesOf(1, 512)))
    t.ok(journal.covers(0, 512))
    t.notOk(journal.covers(128 * 1024, 512))
    let isRetired = false
    const retiring = journal.retire(0, 512).then(() => {
      isRetired = true
    })
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
    t.notOk(isRetired, 'not before it is applied')
    journal.applied(update)
    await retiring
    t.notOk(journal.covers(0, 512))
    const flushes = disks.disks[0]!.started.flush
    t.ok(flushes > 0)
    await writeAll(disks.disks[0]!, 0, bytesOf(2, 512))
    await openJournal(disks)
    t.ok((await bytesAt(disks, 0, 0, 512)).equals(bytesOf(2, 512)))
  },
)

t.test('closing waits for the room that it makes by itself', async (t) => {
  const disks = makeDisks()
  const { journal } = await openJournal(disks)
  const flushes = () => disks.disks[2]!.started.flush
  let nth = 0
  for (const before = flushes(); flushes() === before && nth < 100; nth++) {
    journal.applied(await append(journal, updateOf(0, bytesOf(nth, 512))))
  }
  t.ok(nth < 100, `after ${nth} updates it made room`)
  const anchors = () => Promise.all(disks.areas.map((area) => readAll(area, 0, 8192)))
  await journal.close()
  const found = await anchors()
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
  t.strictSame(await anchors(), found)
})

t.test('a commit that fails leaves nothing that a later crash brings back', async (t) => {
  const disks = makeDisks(2)
  const { journal, failed } = await openJournal(disks)
  const old = await append(journal, updateOf(0, bytesOf(1, 512)))
  await writeAll(disks.disks[0]!, 0, bytesOf(1, 512))
  await writeAll(disks.disks[1]!, 0, bytesOf(1, 512))
  journal.applied(old)
  // Written on both, and flushed on neither.
  for (const area of disks.areas) area.failNext('flush', { times: Number.POSITIVE_INFINITY })
  await t.rejects(append(journal, updateOf(512, bytesOf(2, 512))), { name: 'VolumeError' })
  await t.rejects(append(journal, updateOf(512, bytesOf(3, 512))), { name: 'VolumeError' })
  t.equal(failed.length, 1)
  t.ok(journal.covers(512, 512), 'as long as it may be replayed')
  for (const area of disks.areas) area.heal()
  await append(journal, updateOf(8192, bytesOf(4, 512)))
  await openJournal(disks, failed)
  const left = failed[0] === 0 ? 1 : 0
  t.ok((await bytesAt(disks, left, 0, 512)).equals(bytesOf(1, 512)))
  t.ok((await bytesAt(disks, left, 512, 512)).equals(Buffer.alloc(512)))
  t.ok((await bytesAt(disks, left, 8192, 512)).equals(bytesOf(4, 512)))
})

t.test('a member that cannot be replayed to is failed; the last cannot be', async (t) => {
  const disks = makeDisks(2)
  const { journal } = await openJournal(disks)
  await append(journal, updateOf(0, bytesOf(1, 512)))
  for (const disk of disks.disks) disk.failNext('write')
  await t.rejects(openJournal(disks), { name: 'VolumeError', op: 'write' })
  disks.disks[0]!.failNext('write')
  const { failed } = await openJournal(disks)
  t.strictSame(failed, [0])
  t.ok((await bytesAt(disks, 1, 0, 512)).equals(bytesOf(1, 512)))
})

t.test('a journal that cannot be read may hold what is not to be lost', async (t) => {
  const disks = makeDisks(3)
  const { journal } = await openJournal(disks)
  await append(journal, updateOf(0, bytesOf(1, 512), [0, 1, 2]))
  disks.areas[0]!.failNext('read', { times: Number.POSITIVE_INFINITY })
  disks.areas[1]!.failNext('read', { times: Number.POSITIVE_INFINITY })
  await t.rejects(openJournal(disks), { name: 'VolumeError', op: 'read' })
  disks.areas[1]!.heal()
  await openJournal(disks)
  t.ok((await bytesAt(disks, 2, 0, 512)).equals(bytesOf(1, 512)))
})

t.test('a journal of a later version is refused, and one of another array is none', async (t) => {
  const disks = makeDisks(2)
  await openJournal(disks)
  const anchor = {
    arrayId: EPOCH,
    epoch: EPOCH,
    generation: 50,
    oldestSequence: 1,
    oldestPosition: 0,
    ringSizeBytes: 65536,
  }
  await writeAll(disks.areas[0]!, 0, encodeAnchor(anchor))
  await openJournal(disks)
  const later = encodeAnchor({ ...anchor, arrayId: ARRAY_ID, generation: 51 })
  later.writeUInt32BE(2, 8)
  later.writeUInt32BE(0, 12)
  later.writeUInt32BE(crc32c(later, 0, later.length), 12)
  await writeAll(disks.areas[1]!, 4096, later)
  await t.rejects(openJournal(disks), /version 2/)
})

t.test(
  'it takes no update before it is recovered, none that is too long, and none once stuck',
  async (t) => {
    const disks = makeDisks(2)
    const { journal } = await openJournal(disks)
    const tooLong = updateOf(0, Buffer.alloc(journal.updateMaxBytes + 512), [0])
    t.throws(() => journal.append(tooLong, { ioCompleted: () => {} }), RangeError)
    const update = await append(journal, updateOf(0, bytesOf(1, 512)))
    const error = new VolumeError('write', 'disk0', 0, 'no')
    journal.keep(update, error)
    t.equal(journal.failure, error)
    await t.rejects(append(journal, updateOf(512, bytesOf(1, 512))), error)
    await t.rejects(journal.retire(0, 512), error)
  },
)
