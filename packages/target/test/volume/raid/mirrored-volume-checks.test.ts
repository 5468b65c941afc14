/** Mirrors whose members have checksums: what has rotted, and what a crash has left in doubt. */
import fc from 'fast-check'
import t from 'tap'
import type { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { io, readAll, writeAll } from '../io.ts'
import {
  type CheckedMirror,
  held,
  KIB,
  makeCheckedMirror,
  numbered,
  plant,
} from './mirror-parts.ts'

const BLOCK = 4096
const SIZE = 256 * KIB

/** All members hold the same bytes, durably. */
async function filledMirror(
  count: number,
  isDoubtful: (offset: number, length: number) => boolean = () => false,
): Promise<CheckedMirror> {
  const made = makeCheckedMirror({ count, sizeBytes: SIZE, isDoubtful })
  await writeAll(made.mirror, 0, numbered(SIZE))
  await io((done) => made.mirror.flush(done))
  return made
}

/** Bytes that no checksum is for. */
function unknown(length: number, fill = 0xaa): Buffer {
  return Buffer.alloc(length, fill)
}

function agree(memories: readonly MemoryVolume[], bytes: Buffer): boolean {
  return memories.every((memory) => held(memory).equals(bytes))
}

t.test('a read of a part of a rotten block mends all of it', async (t) => {
  const { mirror, memories, checked } = await filledMirror(2)
  plant(memories[0]!, BLOCK, unknown(BLOCK))
  t.notOk(mirror.readNow(BLOCK + 512, Buffer.alloc(512), 0, 512))
  const into = Buffer.alloc(3 + 512 + 5, 1)
  await io((done) => mirror.read(BLOCK + 512, into, 3, 512, done))
  t.ok(into.subarray(3, 515).equals(numbered(SIZE).subarray(BLOCK + 512, BLOCK + 1024)))
  t.ok(into.subarray(515).equals(Buffer.alloc(5, 1)))
  t.ok(agree(memories, numbered(SIZE)))
  t.ok((await readAll(checked[0]!, 0, SIZE)).equals(numbered(SIZE)))
})

t.test('what has been mended is durable before a part of it can be written', async (t) => {
  const { mirror, memories, faults } = await filledMirror(2)
  const flushes = () => faults.map((fault) => fault.started.flush)
  const before = flushes()
  plant(memories[1]!, BLOCK, unknown(512))
  await writeAll(mirror, 2 * BLOCK - 512, unknown(512))
  t.strictSame(flushes(), [before[0], before[1]! + 1])
  const expected = numbered(SIZE).fill(0xaa, 2 * BLOCK - 512, 2 * BLOCK)
  t.ok(agree(memories, expected))
  plant(memories[0]!, 8 * BLOCK, unknown(512))
  await readAll(mirror, 8 * BLOCK, 512)
  t.strictSame(flushes(), [before[0]! + 1, before[1]! + 1])
  plant(memories[1]!, 8 * BLOCK, unknown(512))
  await mirror.scrub(0, SIZE)
  t.strictSame(flushes(), [before[0]! + 1, before[1]! + 2])
  faults[1]!.failNext('flush')
  plant(memories[1]!, 8 * BLOCK, unknown(512))
  await mirror.scrub(0, SIZE)
})

t.test('a member that cannot make durable what was mended is taken out', async (t) => {
  const { mirror, memories, faults, failures } = await filledMirror(2)
  plant(memories[1]!, 0, unknown(512))
  faults[1]!.failNext('flush')
  await writeAll(mirror, 512, unknown(512))
  t.strictSame(failures.failed, [1])
  t.ok((await readAll(mirror, 0, 512)).equals(numbered(512)))
})

t.test('a part of a block that no member has is not written, the whole of it is', async (t) => {
  for (const count of [1, 2]) {
    for (const op of ['write', 'discard'] as const) {
      const { mirror, memories, faults, intents } = await filledMirror(count)
      for (const memory of memories) plant(memory, 3 * BLOCK, unknown(512))
      const writes = faults.map((fault) => fault.started.write)
      const start = (offset: number, length: number) =>
        io((done) => {
          if (op === 'write') mirror.write(offset, unknown(length, 1), 0, length, done)
          else mirror.discard(offset, length, done)
        })
      for (const [offset, length] of [
        [3 * BLOCK, 512],
        [3 * BLOCK + 512, BLOCK],
        [2 * BLOCK, 2 * BLOCK - 512],
      ] as const) {
        const failed = { name: 'VolumeError', op, volume: 'mirror', offset }
        await t.rejects(start(offset, length), failed)
      }
      t.strictSame(
        faults.map((fault) => fault.started.write),
        writes,
      )
      t.strictSame(intents.open, [])
      const lost = { name: 'VolumeError', op: 'read', offset: 3 * BLOCK }
      await t.rejects(readAll(mirror, 3 * BLOCK, 512), lost)
      await start(3 * BLOCK, BLOCK)
      await start(3 * BLOCK + 512, 512)
      t.ok((await readAll(mirror, 4 * BLOCK, BLOCK)).equals(held(memories[0]!, 4 * BLOCK, BLOCK)))
    }
  }
})

t.test('writes of parts of one block do not undo each other, though it is mended', async (t) => {
  const { mirror, memories } = await filledMirror(2)
  plant(memories[0]!, 0, unknown(BLOCK))
  const sectors = [0, 1, 2, 3, 4, 5, 6, 7]
  await Promise.all(sectors.map((at) => writeAll(mirror, at * 512, unknown(512, at + 1))))
  const expected = numbered(SIZE)
  for (const at of sectors) expected.fill(at + 1, at * 512, at * 512 + 512)
  t.ok(agree(memories, expected))
})

t.test(
  'a member that is being rebuilt takes parts of blocks that it has not got yet',
  async (t) => {
    const { mirror, members, memories, checked } = await filledMirror(2)
    members[1]!.state = 'rebuilding'
    plant(memories[1]!, 0, unknown(BLOCK))
    await writeAll(mirror, 512, unknown(512, 1))
    await t.rejects(readAll(checked[1]!, 0, BLOCK), { name: 'VolumeError', op: 'read' })
    await mirror.resync(0, BLOCK)
    t.ok((await readAll(checked[1]!, 0, SIZE)).equals(numbered(SIZE).fill(1, 512, 1024)))
  },
)

t.test('in doubt, the first copy that is known to be right counts', async (t) => {
  for (const how of ['resync', 'read', 'write'] as const) {
    const { mirror, memories, checked, members } = await filledMirror(3, () => true)
    plant(memories[0]!, BLOCK, unknown(512))
    plant(memories[2]!, 2 * BLOCK, unknown(512))
    members[2]!.state = 'rebuilding'
    t.notOk(mirror.readNow(0, Buffer.alloc(512), 0, 512))
    const expected = numbered(SIZE)
    if (how === 'resync') await mirror.resync(BLOCK + 512, BLOCK)
    else if (how === 'read') {
      const found = await readAll(mirror, 2 * BLOCK - 512, 1024)
      t.ok(found.equals(expected.subarray(2 * BLOCK - 512, 2 * BLOCK + 512)))
    } else {
      await writeAll(mirror, 2 * BLOCK - 512, unknown(1024, 1))
      expected.fill(1, 2 * BLOCK - 512, 2 * BLOCK + 512)
    }
    t.ok(agree(memories, expected), how)
    for (const volume of checked) t.ok((await readAll(volume, 0, SIZE)).equals(expected))
  }
})

t.test(
  'in doubt, what the lowest member in sync holds is taken where no copy is known',
  async (t) => {
    for (const count of [1, 3]) {
      for (const how of ['resync', 'read', 'write'] as const) {
        let inDoubt = true
        const doubtful = (offset: number, length: number) =>
          inDoubt && offset < 3 * BLOCK && BLOCK < offset + length
        const { mirror, memories, checked } = await filledMirror(count, doubtful)
        memories.forEach((memory, number) => {
          plant(memory, BLOCK, unknown(512, 0xa0 + number))
        })
        const expected = numbered(SIZE).fill(0xa0, BLOCK, BLOCK + 512)
        if (how === 'resync') await mirror.resync(0, SIZE)
        else if (how === 'read') await readAll(mirror, BLOCK + 1024, 512)
        else {
          await writeAll(mirror, BLOCK + 1024, unknown(512, 1))
          expected.fill(1, BLOCK + 1024, BLOCK + 1536)
        }
        inDoubt = false
        t.ok((await readAll(mirror, 0, SIZE)).equals(expected), how)
        t.ok(agree(memories, expected))
        for (const volume of checked) t.ok((await readAll(volume, 0, SIZE)).equals(expected))
      }
    }
  },
)

t.test('in doubt, a copy that cannot be read at all is no candidate', async (t) => {
  const { mirror, memories, faults } = await filledMirror(2, () => true)
  memories.forEach((memory, number) => {
    plant(memory, 0, unknown(512, 0xa0 + number))
  })
  faults[0]!.failNext('read', { times: 3 })
  const expected = numbered(SIZE).fill(0xa1, 0, 512)
  t.ok((await readAll(mirror, 0, BLOCK)).equals(expected.subarray(0, BLOCK)))
  t.ok(agree(memories, expected))
  for (const memory of memories) plant(memory, 0, unknown(512))
  for (const fault of faults) fault.failNext('read', { times: Number.POSITIVE_INFINITY })
  const failed = { name: 'VolumeError', op: 'read', volume: 'mirror', offset: 0 }
  await t.rejects(readAll(mirror, 0, 512), failed)
  await t.rejects(mirror.resync(0, BLOCK), failed)
})

t.test('beside what is in doubt nothing is taken unknown, by nobody', async (t) => {
  const { mirror, members, memories } = await filledMirror(2, (offset) => offset === 0)
  members[1]!.state = 'rebuilding'
  plant(memories[0]!, 2 * BLOCK, unknown(512))
  plant(memories[1]!, 3 * BLOCK, unknown(512))
  const failed = { name: 'VolumeError', op: 'read', volume: 'mirror', offset: 2 * BLOCK }
  await t.rejects(mirror.resync(BLOCK, SIZE - BLOCK), failed)
  t.ok(held(memories[1]!).equals(numbered(SIZE)), 'the rest is resynced')
  await t.rejects(mirror.scrub(BLOCK, SIZE - BLOCK), failed)
  await t.rejects(readAll(mirror, 2 * BLOCK, 512), failed)
  await t.rejects(readAll(mirror, 0, SIZE), failed, 'though some of the read is')
})

t.test('a scrub takes nothing unknown, even if it is in doubt', async (t) => {
  const { mirror, memories } = await filledMirror(2, () => true)
  for (const memory of memories) plant(memory, BLOCK, unknown(512))
  await t.rejects(mirror.scrub(0, SIZE), { name: 'VolumeError', op: 'read', offset: BLOCK })
  await mirror.resync(BLOCK, BLOCK)
  t.strictSame(await mirror.scrub(0, SIZE), { differingBytes: 0, repaired: [] })
})

t.test('whole blocks are written whatever is there, and are in doubt no more', async (t) => {
  const { mirror, memories, faults } = await filledMirror(2, () => true)
  for (const memory of memories) plant(memory, 0, unknown(2 * BLOCK))
  const reads = faults.map((fault) => fault.started.read)
  t.ok(mirror.writeNow(0, numbered(BLOCK), 0, BLOCK))
  await writeAll(mirror, BLOCK, numbered(SIZE).subarray(BLOCK, 2 * BLOCK))
  t.strictSame(
    faults.map((fault) => fault.started.read),
    reads,
  )
  t.strictSame(await mirror.scrub(0, SIZE), { differingBytes: 0, repaired: [] })
  t.notOk(mirror.writeNow(0, numbered(BLOCK), 0, 512), 'parts are not written at once')
})

/** Does what a plain array of bytes would, but for blocks that have rotted on all members. */
class RottingMirror {
  readonly model = numbered(SIZE)
  readonly made: CheckedMirror
  readonly #lost = new Set<number>()
  #rotCount = 0

  constructor(made: CheckedMirror) {
    this.made = made
  }

  /** On one member of several, or on all. */
  rot(block: number, isOnAll: boolean): void {
    // Another byte each time, so that nothing becomes right again.
    const at = block * BLOCK + this.#rotCount
    this.#rotCount++
    const { memories } = this.made
    const rotting = isOnAll ? memories : memories.slice(0, 1)
    for (const memory of rotting) {
      const sector = held(memory, at - (at % 512), 512)
      sector[at % 512]! ^= 0x11
      plant(memory, at - (at % 512), sector)
    }
    if (rotting.length === memories.length) this.#lost.add(block)
  }

  async read(offset: number, length: number): Promise<void> {
    const first = this.#lostIn(offset, length)[0]
    const reading = readAll(this.made.mirror, offset, length)
    if (first === undefined) {
      const found = await reading
      if (!found.equals(this.model.subarray(offset, offset + length))) throw new Error('differs')
      return
    }
    await t.rejects(reading, { name: 'VolumeError', op: 'read', offset: first * BLOCK })
  }

  async write(op: 'write' | 'discard', offset: number, length: number, fill: number) {
    const end = offset + length
    const lost = this.#lostIn(offset, length)
    const isWhole = (block: number) => offset <= block * BLOCK && (block + 1) * BLOCK <= end
    const { mirror } = this.made
    const writing = io((done) => {
      if (op === 'write') mirror.write(offset, Buffer.alloc(length, fill), 0, length, done)
      else mirror.discard(offset, length, done)
    })
    if (lost.every(isWhole)) {
      await writing
      this.model.fill(op === 'write' ? fill : 0, offset, end)
      for (const block of lost) this.#lost.delete(block)
    } else await t.rejects(writing, { name: 'VolumeError', op, offset })
  }

  /** Writes what is lost, and looks at what all members hold. */
  async finish(): Promise<void> {
    const { mirror, memories, checked } = this.made
    for (const block of this.#lost) await this.write('write', block * BLOCK, BLOCK, 7)
    await mirror.scrub(0, SIZE)
    for (const volume of checked) await readAll(volume, 0, SIZE)
    if (!agree(memories, this.model)) throw new Error('a member holds something else')
  }

  #lostIn(offset: number, length: number): number[] {
    const lost = [...this.#lost].sort((a, b) => a - b)
    return lost.filter((block) => block * BLOCK < offset + length && offset < (block + 1) * BLOCK)
  }
}

t.test('whatever rots, a mirror gives what was written, or an error', async (t) => {
  const step = fc.record({
    op: fc.constantFrom('read', 'write', 'write', 'discard', 'rot', 'rot'),
    sector: fc.nat({ max: SIZE / 512 - 1 }),
    sectors: fc.integer({ min: 1, max: 30 }),
    isOnAll: fc.boolean(),
    fill: fc.integer({ min: 1, max: 255 }),
  })
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 3 }),
    fc.array(step, { maxLength: 40 }),
    async (count, steps) => {
      const rotting = new RottingMirror(await filledMirror(count))
      for (const { op, sector, sectors, isOnAll, fill } of steps) {
        const offset = sector * 512
        const length = Math.min(sectors * 512, SIZE - offset)
        if (op === 'rot') rotting.rot(Math.floor(sector / 8), isOnAll)
        else if (op === 'read') await rotting.read(offset, length)
        else await rotting.write(op, offset, length, fill)
      }
      await rotting.finish()
    },
  )
  await fc.assert(property, { numRuns: 150 })
  t.pass()
})
