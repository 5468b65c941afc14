import fc from 'fast-check'
import t from 'tap'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { TimedVolume } from '../../../src/volume/raid/timed-volume.ts'
import { HoleMap, type IoCompletion, type VolumeError } from '../../../src/volume/volume.ts'
import { HeldVolume } from '../../support/held-volume.ts'
import { HangingVolume } from '../hanging-volume.ts'
import { FakeClock, settle } from './fake-clock.ts'

const KIB = 1024
const MIB = 1024 * KIB
const TIMEOUT_MS = 30_000
/** By when an operation has been given up: the time is looked at every tenth of the limit. */
const LATEST_MS = TIMEOUT_MS * 1.1
const FLUSH_LATEST_MS = TIMEOUT_MS * 4.1

/** Remembers what it was told. */
class Outcome implements IoCompletion {
  readonly told: (string | null)[] = []
  ioCompleted(error: VolumeError | null): void {
    this.told.push(error?.message ?? null)
  }
}

function hangingDisk(sizeBytes = MIB) {
  const clock = new FakeClock()
  const memory = new MemoryVolume('d0', sizeBytes)
  const disk = new HangingVolume(memory)
  return { clock, memory, disk, timed: new TimedVolume(disk, { clock, timeoutMs: TIMEOUT_MS }) }
}

t.test('a read that is given up never touches the buffer it was for', async (t) => {
  const { clock, memory, disk, timed } = hangingDisk()
  memory.writeNow(0, Buffer.alloc(MIB, 1), 0, MIB)
  for (const length of [4 * KIB, MIB]) {
    const again = new TimedVolume(disk, { clock, timeoutMs: TIMEOUT_MS })
    disk.hang()
    const into = Buffer.alloc(MIB + 512, 9)
    const outcome = new Outcome()
    again.read(0, into, 512, length, outcome)
    await clock.advance(TIMEOUT_MS)
    t.same(outcome.told, [], 'within the limit it may still come')
    await clock.advance(LATEST_MS - TIMEOUT_MS)
    t.same(outcome.told, ['read failed on d0 at byte 0: no answer within 30 s'])
    disk.goOn()
    await settle()
    t.ok(into.equals(Buffer.alloc(MIB + 512, 9)), 'when the disk has filled its own')
    t.equal(outcome.told.length, 1, 'and it is told once')
  }
  t.equal(timed.isDead, false, 'another one of the same disk knows nothing of it')
})

t.test('what is asked of a dead disk fails at once, and what waited has failed', async (t) => {
  const { clock, disk, timed } = hangingDisk()
  timed.flush(new Outcome())
  await clock.advance(TIMEOUT_MS)
  disk.hang()
  const waiting = Array.from({ length: 20 }, () => new Outcome())
  for (const [i, outcome] of waiting.entries())
    timed.write(i * 512, Buffer.alloc(512), 0, 512, outcome)
  const flush = new Outcome()
  timed.flush(flush)
  t.equal(disk.heldCount, 8 + 1, 'so many are at the disk, and a flush')
  await clock.advance(LATEST_MS)
  for (const [i, { told }] of waiting.entries()) {
    t.same(told, [`write failed on d0 at byte ${i * 512}: no answer within 30 s`])
  }
  t.same(flush.told, ['flush failed on d0 at byte 0: no answer within 30 s'])
  t.ok(timed.isDead)
  t.equal(clock.pendingCount, 0, 'no time is kept any more')

  const late = new Outcome()
  const map = new HoleMap(4)
  timed.read(512, Buffer.alloc(512), 0, 512, late)
  timed.write(512, Buffer.alloc(512), 0, 512, late)
  timed.flush(late)
  timed.discard(0, 512, late)
  timed.locateHoles(0, 512, map, late)
  t.same(late.told, [], 'but not from within the call')
  await settle()
  const why = 'no answer within 30 s'
  t.same(late.told, [
    `read failed on d0 at byte 512: ${why}`,
    `write failed on d0 at byte 512: ${why}`,
    `flush failed on d0 at byte 0: ${why}`,
    `discard failed on d0 at byte 0: ${why}`,
    `locate failed on d0 at byte 0: ${why}`,
  ])
  t.equal(disk.heldCount, 8 + 1, 'the disk was asked nothing more')
  disk.goOn()
  t.notOk(timed.readNow(0, Buffer.alloc(512), 0, 512))
  t.notOk(timed.writeNow(0, Buffer.alloc(512), 0, 512))
  await settle()
  t.ok(timed.isDead, 'even when it answers again')
  t.ok(timed.isOver, 'but then it is known to have ended everything')
  for (const { told } of [...waiting, flush]) t.equal(told.length, 1)
})

t.test('a flush, and each 64 MiB of a discard, may take four times as long', async (t) => {
  for (const op of ['flush', 'discard'] as const) {
    const { clock, disk, timed } = hangingDisk(200 * MIB)
    const outcome = new Outcome()
    disk.hang()
    if (op === 'flush') timed.flush(outcome)
    else timed.discard(0, 200 * MIB, outcome)
    const pieces = op === 'flush' ? 1 : 4
    for (let piece = 0; piece < pieces; piece++) {
      await clock.advance(4 * TIMEOUT_MS)
      t.same(outcome.told, [])
      disk.goOn()
      disk.hang()
      await settle()
    }
    t.same(outcome.told, [null], `${op} ended`)
    t.equal(disk.started[op], pieces)
    if (op === 'flush') timed.flush(outcome)
    else timed.discard(0, MIB, outcome)
    await clock.advance(FLUSH_LATEST_MS)
    t.same(outcome.told, [null, `${op} failed on d0 at byte 0: no answer within 120 s`])
  }
})

t.test('holes that a dead disk finds late are not put in the map', async (t) => {
  const { clock, memory, disk, timed } = hangingDisk()
  memory.writeNow(64 * KIB, Buffer.alloc(64 * KIB), 0, 64 * KIB)
  const runs = [
    { isHole: true, length: 64 * KIB },
    { isHole: false, length: 64 * KIB },
    { isHole: true, length: MIB - 128 * KIB },
  ]
  const outcome = new Outcome()
  const map = new HoleMap(4)
  timed.locateHoles(0, MIB, map, outcome)
  await settle()
  t.same([outcome.told, map.runs, map.length], [[null], runs, MIB])
  disk.hang()
  const late = new HoleMap(4)
  timed.locateHoles(0, MIB, late, outcome)
  await clock.advance(LATEST_MS)
  disk.goOn()
  await settle()
  t.same(outcome.told.length, 2)
  t.same(late.runs, [])
})

t.test('time is kept only while something is at the disk', async (t) => {
  const { clock, timed } = hangingDisk()
  t.equal(clock.pendingCount, 0)
  const outcome = new Outcome()
  for (let i = 0; i < 5; i++) timed.read(0, Buffer.alloc(512), 0, 512, outcome)
  t.equal(clock.pendingCount, 1, 'one timer for all')
  await clock.advance(TIMEOUT_MS)
  t.same(outcome.told, [null, null, null, null, null])
  t.equal(clock.pendingCount, 0)
  timed.write(0, Buffer.alloc(512), 0, 512, outcome)
  t.equal(clock.pendingCount, 1)
  await clock.advance(LATEST_MS)
  t.notOk(timed.isDead)
  t.equal(outcome.told.length, 6)
})

t.test(
  'slow is not dead: what ends within the limit is answered, whatever waited for it',
  async (t) => {
    const { clock, disk, timed } = hangingDisk()
    const outcome = new Outcome()
    for (let i = 0; i < 30; i++) timed.write(i * 512, Buffer.alloc(512, i), 0, 512, outcome)
    disk.hang()
    for (let i = 0; i < 30; i++) timed.write(i * 512, Buffer.alloc(512, i), 0, 512, outcome)
    for (let round = 0; round < 7; round++) {
      await clock.advance(TIMEOUT_MS)
      disk.goOn()
      disk.hang()
    }
    await settle()
    t.notOk(timed.isDead)
    t.same(outcome.told, Array(60).fill(null))
  },
)

t.test('an ended one takes nothing more and ends what it has', async (t) => {
  const { disk, timed } = hangingDisk()
  disk.hang()
  const taken = new Outcome()
  for (let i = 0; i < 12; i++) timed.write(i * 512, Buffer.alloc(512, 5), 0, 512, taken)
  timed.end('it is no member any more')
  const refused = new Outcome()
  timed.write(0, Buffer.alloc(512), 0, 512, refused)
  const settled = timed.settled()
  await settle()
  t.same(refused.told, ['write failed on d0 at byte 0: it is no member any more'])
  t.notOk(timed.isOver)
  disk.goOn()
  t.equal(await settled, true)
  t.same(taken.told, Array(12).fill(null))
  t.ok(timed.isOver)
  t.equal(await timed.settled(), true)
})

t.test('closing waits for what is at the disk, but not for a dead one', async (t) => {
  for (const answers of [true, false]) {
    const { clock, memory, disk, timed } = hangingDisk()
    disk.hang()
    const outcome = new Outcome()
    timed.write(0, Buffer.alloc(512, 1), 0, 512, outcome)
    let isClosed = false
    const closing = timed.close().then(() => {
      isClosed = true
    })
    await clock.advance(TIMEOUT_MS)
    t.notOk(isClosed)
    if (answers) disk.goOn()
    await clock.advance(LATEST_MS - TIMEOUT_MS)
    await closing
    t.match(outcome.told, [answers ? null : /no answer/])
    t.notOk(memory.readNow(0, Buffer.alloc(512), 0, 512), 'the disk is closed')
  }
})

t.test('errors of the disk are told as they are, and do not make it a dead one', async (t) => {
  const { disk, timed } = hangingDisk()
  const outcome = new Outcome()
  for (const op of ['read', 'write', 'discard', 'flush'] as const) disk.failNext(op)
  timed.read(512, Buffer.alloc(512), 0, 512, outcome)
  timed.write(1024, Buffer.alloc(512), 0, 512, outcome)
  timed.discard(1536, 512, outcome)
  timed.flush(outcome)
  await settle()
  t.same(outcome.told.map((it) => it?.replace(/ failed.*byte/, '')).sort(), [
    'discard 1536: EIO: injected fault',
    'flush 0: EIO: injected fault',
    'read 512: EIO: injected fault',
    'write 1024: EIO: injected fault',
  ])
  timed.write(0, Buffer.alloc(512), 0, 512, outcome)
  await settle()
  t.equal(outcome.told.at(-1), null)
  t.throws(() => timed.read(100, Buffer.alloc(512), 0, 512, outcome), RangeError)
})

/** Blocks that an operation covers, each of one value, which the writes of a run do not share. */
interface Step {
  readonly isRead: boolean
  readonly block: number
  readonly count: number
  /** How many of the operations at the disk end before the next is asked for. */
  readonly ends: number
}

t.test('it reads and writes what the disk does, in whatever order that answers', async (t) => {
  const BLOCKS = 2048
  const step = fc.record({
    isRead: fc.boolean(),
    block: fc.nat(BLOCKS - 1),
    count: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(1024)),
    ends: fc.nat(4),
  })
  const run = async (steps: readonly Step[]) => {
    const disk = new HeldVolume(BLOCKS * 512)
    const timed = new TimedVolume(disk, { clock: new FakeClock() })
    const checks: (() => void)[] = []
    const outcomes: Outcome[] = []
    let atDiskMax = 0
    for (const [i, { isRead, block, count, ends }] of steps.entries()) {
      const length = Math.min(count, BLOCKS - block) * 512
      const outcome = new Outcome()
      outcomes.push(outcome)
      const buffer = Buffer.alloc(length + 1024, isRead ? 255 : i % 200)
      if (isRead) {
        timed.read(block * 512, buffer, 512, length, {
          ioCompleted: (error) => {
            outcome.ioCompleted(error)
            const wanted = disk.bytes.subarray(block * 512, block * 512 + length)
            if (!wanted.equals(buffer.subarray(512, 512 + length))) throw new Error('other bytes')
          },
        })
      } else timed.write(block * 512, buffer, 512, length, outcome)
      checks.push(() => {
        const edges = [...buffer.subarray(0, 512), ...buffer.subarray(512 + length)]
        if (isRead && edges.some((byte) => byte !== 255)) throw new Error('bytes beside the range')
      })
      atDiskMax = Math.max(atDiskMax, disk.held.length)
      for (let end = 0; end < ends; end++) {
        disk.held.push(...disk.held.splice(0, i % 3))
        disk.release()
      }
    }
    disk.releaseAll()
    for (const check of checks) check()
    const isTold = outcomes.every(({ told }) => told.length === 1 && told[0] === null)
    return isTold && atDiskMax <= 8
  }
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), run), { numRuns: 60 })
  t.pass()
})
