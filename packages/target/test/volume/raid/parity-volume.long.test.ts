import fc from 'fast-check'
import t from 'tap'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import type { ParityGeometry } from '../../../src/volume/raid/parity-layout.ts'
import { dataCountOf } from '../../../src/volume/raid/parity-layout.ts'
import { io, readAll, writeAll } from '../io.ts'
import { garbageDisk, TestArray } from './parity-arrays.ts'
import { bytesOf } from './parity-model.ts'

type Condition = 'healthy' | 'one absent' | 'two absent' | 'rebuilding' | 'absent and rebuilding'

interface Step {
  readonly op: 'read' | 'readNow' | 'write' | 'writeNow' | 'flush' | 'discard' | 'together'
  readonly at: number
  readonly size: number
  readonly isRows: boolean
  readonly seed: number
}

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom(
    'read',
    'readNow',
    'write',
    'write',
    'writeNow',
    'flush',
    'discard',
    'together',
  ),
  at: fc.nat({ max: 999 }),
  size: fc.nat({ max: 999 }),
  isRows: fc.boolean(),
  seed: fc.nat({ max: 1e6 }),
})

const ROWS = 7

async function makeArray(geometry: ParityGeometry, areaSizeBytes: number): Promise<TestArray> {
  const memberSizeBytes = ROWS * geometry.chunkSizeBytes
  const numbers = Array.from({ length: geometry.memberCount }, (_, number) => number)
  const array = new TestArray({
    geometry,
    memberSizeBytes,
    disks: numbers.map((number) => new MemoryVolume(`disk${number}`, memberSizeBytes)),
    areas: numbers.map((number) => garbageDisk(`area${number}`, areaSizeBytes)),
    areaSizeBytes,
  })
  await array.journal.recover()
  return array
}

/** Brings a full array into a condition, beginning with a member. */
function bring(array: TestArray, condition: Condition, first: number): void {
  const { memberCount, chunkSizeBytes } = array.geometry
  const second = (first + 1) % memberCount
  const insert = (number: number) => {
    const disk = garbageDisk(`new${number}`, ROWS * chunkSizeBytes)
    array.remove(number)
    array.insert(number, disk, garbageDisk(`newer${number}`, 2 * 1024 * 1024))
  }
  if (condition === 'one absent') array.remove(first)
  if (condition === 'rebuilding') insert(first)
  if (condition === 'two absent') for (const number of [first, second]) array.remove(number)
  if (condition !== 'absent and rebuilding') return
  insert(first)
  array.remove(second)
}

/** A range of blocks of the array, or of whole rows. */
function rangeOf(array: TestArray, { at, size, isRows }: Step): [offset: number, length: number] {
  const { sizeBytes } = array.volume
  const unit = isRows ? dataCountOf(array.geometry) * array.geometry.chunkSizeBytes : 512
  const units = sizeBytes / unit
  const first = Math.floor((at / 1000) * units)
  const most = Math.min(units - first, (3 * ROWS * array.geometry.chunkSizeBytes) / 2 / unit)
  return [first * unit, Math.floor((size / 1000) * Math.max(most + 1, 2)) * unit]
}

async function run(array: TestArray, model: Buffer, action: Step): Promise<void> {
  const { volume } = array
  const [offset, wanted] = rangeOf(array, action)
  const length = Math.min(wanted, volume.sizeBytes - offset)
  const bytes = bytesOf(action.seed, length)
  if (action.op === 'flush') {
    await io((done) => volume.flush(done))
  } else if (action.op === 'discard') {
    await io((done) => volume.discard(offset, length, done))
    model.fill(0, offset, offset + length)
  } else if (action.op === 'write' || action.op === 'writeNow') {
    const isDone = action.op === 'writeNow' && volume.writeNow(offset, bytes, 0, length)
    if (!isDone) await writeAll(volume, offset, bytes)
    bytes.copy(model, offset)
  } else if (action.op === 'together') {
    // Side by side, with the borders in the midst of blocks that are locked as a whole.
    const cut = Math.floor(length / 2 / 512) * 512
    await Promise.all([
      writeAll(volume, offset, bytes.subarray(0, cut)),
      writeAll(volume, offset + cut, bytes.subarray(cut)),
    ])
    bytes.copy(model, offset)
  } else {
    const into = Buffer.alloc(3 + length + 5, 0xee)
    const isDone = action.op === 'readNow' && volume.readNow(offset, into, 3, length)
    if (!isDone) await io((done) => volume.read(offset, into, 3, length, done))
    const expected = Buffer.alloc(3 + length + 5, 0xee)
    model.copy(expected, 3, offset, offset + length)
    if (!into.equals(expected)) throw new Error(`${action.op} of ${length} at ${offset} differs`)
  }
}

for (const parityCount of [1, 2] as const) {
  const conditions: Condition[] = ['healthy', 'one absent', 'rebuilding']
  if (parityCount === 2) conditions.push('two absent', 'absent and rebuilding')
  t.test(`RAID ${parityCount + 4} behaves as one plain array of bytes`, async (t) => {
    const property = fc.asyncProperty(
      fc.record({
        memberCount: fc.integer({ min: 3, max: 6 }),
        chunkSizeBytes: fc.constantFrom(4096, 4096, 512, 65536),
        condition: fc.constantFrom(...conditions),
        first: fc.nat({ max: 5 }),
        // From one in which slices are smaller than chunks, and that often is full.
        areaSizeBytes: fc.constantFrom(72 * 1024, 136 * 1024, 2 * 1024 * 1024),
      }),
      fc.array(step, { maxLength: 25 }),
      async ({ memberCount, chunkSizeBytes, condition, first, areaSizeBytes }, steps) => {
        const array = await makeArray({ memberCount, parityCount, chunkSizeBytes }, areaSizeBytes)
        const model = bytesOf(1, array.volume.sizeBytes)
        await writeAll(array.volume, 0, model)
        bring(array, condition, first % memberCount)
        for (const action of steps) await run(array, model, action)
        const found = await readAll(array.volume, 0, model.length)
        if (!found.equals(model)) throw new Error('it differs in the end')
        await array.rebuild()
        const wrong = await array.findWrongRows(model)
        if (wrong.length > 0) throw new Error(wrong.join(', '))
        if (array.intents.active > 0 || array.failed.length > 0) throw new Error('loose ends')
        await array.volume.close()
      },
    )
    await fc.assert(property, { numRuns: 60 })
    t.pass()
  })
}
