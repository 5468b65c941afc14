import fc from 'fast-check'
import t from 'tap'
import { DelayVolume } from '../../../src/volume/delay-volume.ts'
import type { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { MirroredVolume } from '../../../src/volume/raid/mirrored-volume.ts'
import { type HoleMap, type IoCompletion, VolumeError } from '../../../src/volume/volume.ts'
import { io, readAll, runsOf, writeAll } from '../io.ts'
import {
  held,
  KIB,
  MIB,
  makeMirror,
  numbered,
  plant,
  TestFailures,
  TestIntents,
  TestMember,
} from './mirror-parts.ts'
import { Schedule, ShuffledVolume } from './shuffled-volume.ts'

function counts(faults: readonly FaultVolume[], op: keyof FaultVolume['started']): number[] {
  return faults.map((fault) => fault.started[op])
}

t.test('the size is what is asked for, in the largest blocks of the members', async (t) => {
  const disks = [new MemoryVolume('a', MIB, 512), new MemoryVolume('b', 2 * MIB, 4096)]
  const make = (sizeBytes: number, volumes = disks) => {
    const members = volumes.map((disk, number) => new TestMember(number, disk))
    const failures = new TestFailures(members, setImmediate)
    const intents = new TestIntents(setImmediate)
    return new MirroredVolume({ name: 'mirror', sizeBytes, members, failures, intents })
  }
  t.match(make(MIB - 4096), { name: 'mirror', sizeBytes: MIB - 4096, blockSizeBytes: 4096 })
  t.throws(() => make(MIB - 512), RangeError)
  t.throws(() => make(MIB + 4096), RangeError)
  t.throws(() => make(MIB, []), RangeError)
  t.throws(() => make(MIB).readNow(512, Buffer.alloc(512), 0, 512), RangeError)
})

t.test('it behaves as one plain array of bytes, which every member holds', async (t) => {
  const step = fc.record({
    op: fc.constantFrom('readNow', 'writeNow', 'read', 'write', 'discard', 'flush'),
    block: fc.nat({ max: 1200 }),
    blocks: fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 800 })),
    fill: fc.integer({ min: 1, max: 255 }),
  })
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 3 }),
    fc.array(step, { maxLength: 20 }),
    async (count, steps) => {
      const { mirror, memories, intents } = makeMirror({ count, sizeBytes: 600 * KIB })
      const model = Buffer.alloc(mirror.sizeBytes)
      for (const { op, block, blocks, fill } of steps) {
        const offset = Math.min(block * 512, mirror.sizeBytes)
        const length = Math.min(blocks * 512, mirror.sizeBytes - offset)
        const buffer = Buffer.alloc(3 + length + 5, fill)
        if (op === 'writeNow' || op === 'write') {
          if (op === 'write') await io((done) => mirror.write(offset, buffer, 3, length, done))
          else if (!mirror.writeNow(offset, buffer, 3, length)) throw new Error('writeNow')
          model.fill(fill, offset, offset + length)
        } else if (op === 'discard') {
          await io((done) => mirror.discard(offset, length, done))
          model.fill(0, offset, offset + length)
        } else if (op === 'flush') await io((done) => mirror.flush(done))
        else {
          if (op === 'read') await io((done) => mirror.read(offset, buffer, 3, length, done))
          else if (!mirror.readNow(offset, buffer, 3, length)) throw new Error('readNow')
          const expected = Buffer.alloc(buffer.length, fill)
          model.copy(expected, 3, offset, offset + length)
          if (!buffer.equals(expected)) throw new Error(`${op} of ${length} at ${offset} differs`)
        }
      }
      for (const memory of memories) if (!held(memory).equals(model)) throw new Error(memory.name)
      if (intents.open.length > 0) throw new Error('an intent was not ended')
    },
  )
  await fc.assert(property, { numRuns: 100 })
  t.pass()
})

t.test('a write goes to all that are there, after its intent', async (t) => {
  for (const op of ['write', 'discard'] as const) {
    const { mirror, members, memories, faults, intents } = makeMirror({ count: 4 })
    for (const memory of memories) plant(memory, 0, Buffer.alloc(64 * KIB, 0xaa))
    members[1]!.leave()
    members[2]!.state = 'rebuilding'
    intents.holds = true
    const bytes = op === 'write' ? numbered(8192) : Buffer.alloc(8192)
    const start = () =>
      io((done) => {
        if (op === 'write') mirror.write(4096, bytes, 0, 8192, done)
        else mirror.discard(4096, 8192, done)
      })
    const written = start()
    await new Promise((resolve) => setTimeout(resolve, 5))
    t.strictSame(counts(faults, op), [0, 0, 0, 0])
    intents.letGo()
    await written
    t.strictSame(counts(faults, op), [1, 0, 1, 1])
    t.strictSame(intents.open, [])
    for (const number of [0, 2, 3]) t.ok(held(memories[number]!, 4096, 8192).equals(bytes))
    t.ok(held(memories[1]!, 4096, 8192).equals(Buffer.alloc(8192, 0xaa)))
  }
})

t.test('the intent stands until the slowest member has ended', async (t) => {
  const { mirror, intents } = makeMirror({
    wrap: (disk, number) => (number === 1 ? new DelayVolume(disk, 20) : disk),
  })
  const written = writeAll(mirror, 0, numbered(4096))
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.strictSame(intents.open, [{ offset: 0, length: 4096 }])
  t.notOk(mirror.writeNow(0, numbered(512), 0, 512), 'and the range is locked')
  await written
  t.strictSame(intents.open, [])
})

t.test('a member that fails is out before the answer', async (t) => {
  for (const op of ['write', 'discard', 'flush'] as const) {
    for (const failing of [0, 1, 2]) {
      const { mirror, members, memories, faults, failures, intents } = makeMirror({ count: 3 })
      faults[failing]!.failNext(op, { times: Number.POSITIVE_INFINITY })
      await io((done) => {
        if (op === 'write') mirror.write(0, numbered(4096), 0, 4096, done)
        else if (op === 'discard') mirror.discard(0, 4096, done)
        else mirror.flush(done)
      })
      t.strictSame(failures.failed, [failing])
      t.equal(members[failing]!.state, 'absent')
      t.strictSame(intents.open, [])
      await writeAll(mirror, 8192, numbered(4096))
      for (const [number, memory] of memories.entries()) {
        const there = number !== failing
        t.equal(held(memory, 8192, 4096).equals(numbered(4096)), there)
      }
      await io((done) => mirror.flush(done))
    }
  }
})

t.test('a rebuilding member that fails is out, and the write is good', async (t) => {
  const { mirror, members, faults, failures, intents } = makeMirror()
  members[1]!.state = 'rebuilding'
  faults[1]!.failNext('write')
  await writeAll(mirror, 0, numbered(4096))
  t.strictSame(failures.failed, [1])
  t.notOk(intents.areHeld)
})

t.test('when the last good copy fails too, the operation does', async (t) => {
  for (const op of ['write', 'discard', 'flush'] as const) {
    const { mirror, members, faults, failures, intents } = makeMirror({ count: 3 })
    members[2]!.state = 'rebuilding'
    for (const fault of faults.slice(0, 2)) fault.failNext(op)
    const start = () =>
      io((done) => {
        if (op === 'write') mirror.write(4096, numbered(4096), 0, 4096, done)
        else if (op === 'discard') mirror.discard(4096, 4096, done)
        else mirror.flush(done)
      })
    const offset = op === 'flush' ? 0 : 4096
    await t.rejects(start(), { name: 'VolumeError', op, volume: 'mirror', offset })
    t.equal(failures.failed.length, 1)
    t.strictSame(intents.open, [])
    t.ok(intents.areHeld)
    await start()
  }
})

t.test('a write is bad if a member that missed it cannot be taken out', async (t) => {
  const { mirror, members, faults, failures, intents } = makeMirror()
  failures.refuses = true
  faults[1]!.failNext('write')
  await t.rejects(writeAll(mirror, 0, numbered(4096)), { name: 'VolumeError', op: 'write' })
  t.equal(members[1]!.state, 'in-sync')
  t.strictSame(intents.open, [])
  t.ok(intents.areHeld, 'where they differ stays known')
  await writeAll(mirror, 0, numbered(4096))
})

t.test('without its intent no write begins', async (t) => {
  const { mirror, faults, intents } = makeMirror()
  intents.refuses = true
  const refused = { name: 'VolumeError', op: 'write', volume: 'mirror', offset: 512 }
  await t.rejects(writeAll(mirror, 512, numbered(4096)), refused)
  t.strictSame(counts(faults, 'write'), [0, 0])
  intents.refuses = false
  await writeAll(mirror, 512, numbered(4096))
  t.strictSame(counts(faults, 'write'), [1, 1], 'the range was given back')
})

t.test('without a member in sync nothing is written', async (t) => {
  const { mirror, members, faults, intents } = makeMirror()
  members[0]!.leave()
  members[1]!.state = 'rebuilding'
  await t.rejects(writeAll(mirror, 0, numbered(512)), { message: /no member is in sync/ })
  await t.rejects(
    io((done) => mirror.discard(0, 512, done)),
    { message: /no member is in sync/ },
  )
  await t.rejects(
    io((done) => mirror.flush(done)),
    { message: /no member is in sync/ },
  )
  await t.rejects(runsOf(mirror, 0, 512), { op: 'locate', message: /no member is in sync/ })
  await t.rejects(mirror.resync(0, 512), { message: /no member is in sync/ })
  t.notOk(mirror.writeNow(0, numbered(512), 0, 512))
  t.strictSame(counts(faults, 'write'), [0, 0])
  t.strictSame(intents.begunNow, [])
})

t.test('the error of a disk that is gone does not take out its successor', async (t) => {
  const schedule = new Schedule(7)
  const { mirror, members, faults, failures } = makeMirror({
    wrap: (disk, number) => (number === 1 ? new ShuffledVolume(disk, schedule) : disk),
  })
  const written = writeAll(mirror, 0, numbered(512))
  await new Promise((resolve) => setTimeout(resolve, 5))
  faults[1]!.failNext('write')
  members[1]!.leave()
  members[1]!.replace(new MemoryVolume('new', MIB))
  await schedule.finish([written])
  t.strictSame(failures.failed, [])
  t.equal(members[1]!.state, 'rebuilding')
})

t.test('a copy counts only while its member is there', async (t) => {
  const schedule = new Schedule(7)
  const { mirror, members, faults } = makeMirror({
    wrap: (disk, number) => (number === 1 ? new ShuffledVolume(disk, schedule) : disk),
  })
  members[1]!.state = 'rebuilding'
  const written = writeAll(mirror, 0, numbered(512))
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal(faults[0]!.started.write, 1)
  members[0]!.leave()
  await t.rejects(schedule.finish([written]), { message: /no member is in sync/ })
})

t.test('writeNow is for when nothing is in the way', async (t) => {
  const { mirror, memories, faults, intents } = makeMirror({ count: 3 })
  const bytes = numbered(4096)
  t.ok(mirror.writeNow(0, bytes, 512, 1024))
  for (const memory of memories) t.ok(held(memory, 0, 1024).equals(bytes.subarray(512, 1536)))
  t.strictSame(intents.begunNow, [{ offset: 0, length: 1024 }])
  t.strictSame(intents.open, [])
  intents.refusesNow = true
  t.notOk(mirror.writeNow(0, bytes, 0, 4096))
  t.strictSame(counts(faults, 'write'), [1, 1, 1])
  intents.refusesNow = false
  faults[1]!.refuseNow = true
  t.notOk(mirror.writeNow(0, bytes, 0, 4096))
  await writeAll(mirror, 0, bytes)
  for (const memory of memories) t.ok(held(memory, 0, 4096).equals(bytes))
})

t.test('writeNow reaches a member that is being rebuilt', async (t) => {
  const { mirror, members, memories } = makeMirror()
  members[1]!.state = 'rebuilding'
  t.ok(mirror.writeNow(0, numbered(512), 0, 512))
  t.ok(held(memories[1]!, 0, 512).equals(numbered(512)))
})

t.test('operations without bytes are over soon', async (t) => {
  const { mirror, faults } = makeMirror()
  const none = Buffer.alloc(0)
  await readAll(mirror, MIB, 0)
  await writeAll(mirror, MIB, none)
  await io((done) => mirror.discard(0, 0, done))
  t.ok(mirror.readNow(MIB, none, 0, 0))
  t.ok(mirror.writeNow(MIB, none, 0, 0))
  for (const op of ['read', 'write', 'discard'] as const) t.strictSame(counts(faults, op), [0, 0])
})

/** It cannot tell its holes, but says something before it fails. */
class UnlocatableVolume extends MemoryVolume {
  override locateHoles(offset: number, _length: number, map: HoleMap, done: IoCompletion): void {
    map.add(true, 512)
    const error = new VolumeError('locate', this.name, offset, new Error('EIO'))
    setImmediate(() => done.ioCompleted(error))
  }
}

t.test('holes are those of the first member in sync that can tell', async (t) => {
  const { mirror, members } = makeMirror({ count: 3 })
  await writeAll(mirror, 64 * KIB, numbered(64 * KIB))
  const expected = [
    { isHole: true, length: 64 * KIB },
    { isHole: false, length: 64 * KIB },
    { isHole: true, length: 64 * KIB },
  ]
  t.strictSame(await runsOf(mirror, 0, 192 * KIB), expected)
  members[0]!.volume = new UnlocatableVolume('a', MIB)
  t.strictSame(await runsOf(mirror, 0, 192 * KIB), expected)
  members[1]!.state = 'rebuilding'
  members[1]!.volume = new MemoryVolume('new', MIB)
  t.strictSame(await runsOf(mirror, 0, 192 * KIB), expected)
  members[2]!.volume = new UnlocatableVolume('c', MIB)
  const failed = { name: 'VolumeError', op: 'locate', volume: 'mirror', offset: 512 }
  await t.rejects(runsOf(mirror, 512, 1024), failed)
})

t.test('closing waits for what is in flight, and leaves the members open', async (t) => {
  const { mirror, members, faults } = makeMirror({ wrap: (disk) => new DelayVolume(disk, 10) })
  const bytes = numbered(4096)
  let ended = 0
  const counting = { ioCompleted: () => ended++ }
  for (let count = 0; count < 2; count++) mirror.write(0, bytes, 0, 4096, counting)
  mirror.read(0, Buffer.alloc(512), 0, 512, counting)
  mirror.flush(counting)
  const resync = mirror.resync(0, MIB)
  await mirror.close()
  t.equal(ended, 4)
  await resync
  for (const [number, member] of members.entries()) member.volume = faults[number]!
  const into = Buffer.alloc(512)
  t.ok(faults[0]!.readNow(0, into, 0, 512))
  t.notOk(mirror.readNow(0, into, 0, 512))
  t.notOk(mirror.writeNow(0, into, 0, 512))
  const closed = { name: 'VolumeError', volume: 'mirror', message: /closed/ }
  await t.rejects(readAll(mirror, 0, 512), closed)
  await t.rejects(writeAll(mirror, 0, into), closed)
  await t.rejects(
    io((done) => mirror.discard(0, 512, done)),
    closed,
  )
  await t.rejects(
    io((done) => mirror.flush(done)),
    closed,
  )
  await t.rejects(runsOf(mirror, 0, 512), closed)
  await t.rejects(mirror.resync(0, 512), closed)
  await t.rejects(mirror.scrub(0, 512), closed)
  await mirror.close()
})
