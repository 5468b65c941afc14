import fc from 'fast-check'
import t from 'tap'
import { DelayVolume } from '../../src/volume/delay-volume.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { StripedVolume } from '../../src/volume/striped-volume.ts'
import { HoleMap, type IoCompletion } from '../../src/volume/volume.ts'
import { io, readAll, runsOf, writeAll } from './io.ts'

const CHUNK = 4096
const MEMBER_SIZE = 64 * 1024

function memories(count: number): MemoryVolume[] {
  return Array.from({ length: count }, (_, i) => new MemoryVolume(`m${i}`, MEMBER_SIZE))
}

function striped(members: ConstructorParameters<typeof StripedVolume>[0]['members']) {
  return new StripedVolume({ name: 'array', members, chunkSizeBytes: CHUNK })
}

t.test('the size is whole chunks of the smallest member, times the members', async (t) => {
  const members = [new MemoryVolume('a', 10 * CHUNK), new MemoryVolume('b', 7 * CHUNK + 512)]
  t.equal(striped(members).sizeBytes, 2 * 7 * CHUNK)
  for (const chunkSizeBytes of [3000, 12288, 256, 0, Number.NaN]) {
    t.throws(() => new StripedVolume({ name: 'x', members, chunkSizeBytes }), RangeError)
  }
})

t.test('chunks lie on the members in turn', async (t) => {
  const members = memories(3)
  const array = striped(members)
  for (let chunk = 0; chunk < 7; chunk++) {
    await writeAll(array, chunk * CHUNK, Buffer.alloc(CHUNK, chunk + 1))
  }
  const found = []
  for (const member of members) {
    const bytes = await readAll(member, 0, 3 * CHUNK)
    found.push([bytes[0], bytes[CHUNK], bytes[2 * CHUNK]])
  }
  t.strictSame(found, [
    [1, 4, 7],
    [2, 5, 0],
    [3, 6, 0],
  ])
})

t.test('it behaves as one plain array of bytes', async (t) => {
  const step = fc.record({
    op: fc.constantFrom('readNow', 'writeNow', 'read', 'write', 'discard'),
    block: fc.nat({ max: 300 }),
    blocks: fc.nat({ max: 60 }),
    fill: fc.integer({ min: 1, max: 255 }),
  })
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 5 }),
    fc.array(step, { maxLength: 30 }),
    async (count, steps) => {
      const array = striped(memories(count))
      const model = Buffer.alloc(array.sizeBytes)
      for (const { op, block, blocks, fill } of steps) {
        const offset = Math.min(block * 512, array.sizeBytes)
        const length = Math.min(blocks * 512, array.sizeBytes - offset)
        const buffer = Buffer.alloc(3 + length + 5, fill)
        if (op === 'writeNow' || op === 'write') {
          if (op === 'write') await io((done) => array.write(offset, buffer, 3, length, done))
          else if (!array.writeNow(offset, buffer, 3, length)) throw new Error('writeNow')
          model.fill(fill, offset, offset + length)
        } else if (op === 'discard') {
          await io((done) => array.discard(offset, length, done))
          model.fill(0, offset, offset + length)
        } else {
          if (op === 'read') await io((done) => array.read(offset, buffer, 3, length, done))
          else if (!array.readNow(offset, buffer, 3, length)) throw new Error('readNow')
          const expected = Buffer.alloc(buffer.length, fill)
          model.copy(expected, 3, offset, offset + length)
          if (!buffer.equals(expected)) throw new Error(`${op} of ${length} at ${offset} differs`)
        }
      }
    },
  )
  await fc.assert(property, { numRuns: 100 })
  t.pass()
})

t.test('whichever piece fails, the whole fails once, after all pieces have ended', async (t) => {
  for (const op of ['read', 'write', 'discard', 'flush'] as const) {
    for (let failing = 0; failing < 4; failing++) {
      const faults = memories(4).map((memory) => new FaultVolume(memory))
      const array = striped(faults)
      faults[failing]!.failNext(op)
      const buffer = Buffer.alloc(4 * CHUNK)
      const start = () =>
        io((done) => {
          if (op === 'read') array.read(CHUNK, buffer, 0, 4 * CHUNK, done)
          else if (op === 'write') array.write(CHUNK, buffer, 0, 4 * CHUNK, done)
          else if (op === 'discard') array.discard(CHUNK, 4 * CHUNK, done)
          else array.flush(done)
        })
      const ofMember = { name: 'VolumeError', op, volume: `m${failing}` }
      const located = { name: 'VolumeError', op, volume: 'array', cause: ofMember }
      await t.rejects(start(), op === 'flush' ? ofMember : located)
      await start()
    }
  }
})

t.test('readNow and writeNow are all or false', async (t) => {
  const faults = memories(3).map((memory) => new FaultVolume(memory))
  const array = striped(faults)
  const buffer = Buffer.alloc(3 * CHUNK)
  t.ok(array.writeNow(0, buffer, 0, 3 * CHUNK))
  t.ok(array.readNow(0, buffer, 0, 3 * CHUNK))
  faults[2]!.refuseNow = true
  t.notOk(array.writeNow(0, buffer, 0, 3 * CHUNK))
  t.notOk(array.readNow(0, buffer, 0, 3 * CHUNK))
  t.ok(array.readNow(0, buffer, 0, 2 * CHUNK), 'without that member')
  await writeAll(array, 0, buffer)
})

t.test('a flush reaches every member, and closing closes them all', async (t) => {
  const faults = memories(3).map((memory) => new FaultVolume(memory))
  const array = striped(faults)
  await io((done) => array.flush(done))
  t.strictSame(
    faults.map((fault) => fault.started.flush),
    [1, 1, 1],
  )
  await array.close()
  for (const fault of faults) t.notOk(fault.readNow(0, Buffer.alloc(512), 0, 512))
})

t.test('a slow member delays the whole, but nothing is done at once', async (t) => {
  const [fast, slow] = memories(2)
  const array = striped([fast!, new DelayVolume(slow!, 20)])
  const buffer = Buffer.alloc(2 * CHUNK, 6)
  t.notOk(array.writeNow(0, buffer, 0, buffer.length))
  t.notOk(array.readNow(0, buffer, 0, buffer.length))
  const start = performance.now()
  await writeAll(array, 0, buffer)
  await io((done) => array.flush(done))
  t.ok(performance.now() - start > 35)
  t.ok((await readAll(array, 0, 2 * CHUNK)).equals(buffer))
  await io((done) => array.discard(0, 2 * CHUNK, done))
  t.ok((await readAll(array, 0, 2 * CHUNK)).equals(Buffer.alloc(2 * CHUNK)))
  const write = writeAll(array, CHUNK, buffer.subarray(0, CHUNK))
  await array.close()
  await write
})

/** Its holes are where it is told, in blocks of 512 bytes. */
class HoleyVolume extends MemoryVolume {
  readonly #holes: readonly boolean[]

  constructor(holes: readonly boolean[]) {
    super('holey', holes.length * 512)
    this.#holes = holes
  }

  override locateHoles(offset: number, length: number, map: HoleMap, done: IoCompletion): void {
    const blocks = this.#holes.slice(offset / 512, (offset + length) / 512)
    blocks.every((isHole) => map.add(isHole, 512))
    setImmediate(() => done.ioCompleted(null))
  }
}

t.test('a range of the array is a hole where every member has one', async (t) => {
  const blocksPerMember = (3 * CHUNK) / 512
  const runs = fc.array(
    fc.record({ isHole: fc.boolean(), blocks: fc.integer({ min: 1, max: 20 }) }),
    {
      minLength: blocksPerMember,
      maxLength: blocksPerMember,
    },
  )
  const property = fc.asyncProperty(
    fc.array(runs, { minLength: 1, maxLength: 4 }),
    fc.integer({ min: 1, max: 12 }),
    fc.nat(),
    fc.nat(),
    async (members, runsMax, from, count) => {
      const bitmaps = members.map((found) =>
        found
          .flatMap((run) => Array<boolean>(run.blocks).fill(run.isHole))
          .slice(0, blocksPerMember),
      )
      const array = striped(bitmaps.map((bitmap) => new HoleyVolume(bitmap)))
      const start = from % (array.sizeBytes / 512)
      const blocks = 1 + (count % (array.sizeBytes / 512 - start))
      const model = new HoleMap(1000)
      for (let block = start; block < start + blocks; block++) {
        const chunk = Math.floor(block / (CHUNK / 512))
        const row = Math.floor(chunk / bitmaps.length)
        const within = row * (CHUNK / 512) + (block % (CHUNK / 512))
        model.add(bitmaps[chunk % bitmaps.length]![within]!, 512)
      }
      t.same(await runsOf(array, start * 512, blocks * 512), model.runs)
      const some = await runsOf(array, start * 512, blocks * 512, runsMax)
      t.ok(some.length > 0 && some.length <= runsMax)
      t.same(some.slice(0, -1), model.runs.slice(0, some.length - 1), 'no run is cut but the last')
      t.equal(some.at(-1)?.isHole, model.runs[some.length - 1]?.isHole)
      t.ok(some.at(-1)!.length <= model.runs[some.length - 1]!.length)
    },
  )
  await fc.assert(property, { numRuns: 200 })
})

t.test('an array of terabytes without data is one hole, told at once', async (t) => {
  const members = Array.from({ length: 3 }, (_, i) => new SparseVolume(`s${i}`, 2 ** 43))
  const array = striped(members)
  t.same(await runsOf(array, 0, array.sizeBytes), [{ isHole: true, length: array.sizeBytes }])
})

/** A memory volume without the walk over its pages. */
class SparseVolume extends MemoryVolume {
  override locateHoles(_offset: number, length: number, map: HoleMap, done: IoCompletion): void {
    map.add(true, length)
    setImmediate(() => done.ioCompleted(null))
  }
}
