import fc from 'fast-check'
import t, { type Test } from 'tap'
import { powerOfTwo } from '../../../src/volume/raid/galois.ts'
import { openParity } from '../../../src/volume/raid/parity.ts'
import type { ParityMath } from '../../../src/volume/raid/parity-math.ts'
import { ParityRow } from '../../../src/volume/raid/parity-row.ts'
import { SimdParity } from '../../../src/volume/raid/simd-parity.ts'
import { WordParity } from '../../../src/volume/raid/word-parity.ts'
import {
  bytesOf,
  modelParities,
  modelProduct,
  PlacedRow,
  placements,
  randomData,
  rows,
  sameChunks,
} from './parity-model.ts'

const MEBIBYTE = 1024 ** 2

/** The same test for both kinds. */
function testBoth(sentence: string, body: (t: Test, open: () => ParityMath) => void): void {
  t.test(`words: ${sentence}`, async (t) => body(t, () => new WordParity()))
  t.test(`simd: ${sentence}`, async (t) => body(t, openSimd))
}

/** With memory for the first rows of a test, so that later ones are elsewhere altogether. */
function openSimd(): SimdParity {
  const simd = SimdParity.open(MEBIBYTE)
  if (simd === null) throw new Error('no WebAssembly SIMD here')
  return simd
}

t.test('what is opened here is SIMD, unless more memory is wanted than there can be', async (t) => {
  t.equal(openParity(MEBIBYTE).kind, 'simd')
  t.equal(openParity(2 ** 40).kind, 'words')
})

testBoth('P and Q of a row are what their definition says', (t, open) => {
  const math = open()
  const property = fc.property(rows, ({ dataCount, seed, length, placements }) => {
    const data = randomData(seed, dataCount, length)
    const wanted = [...data, ...modelParities(data, 2)]
    const placed = new PlacedRow(math, wanted, 2, placements)
    const { pIndex, qIndex } = placed.row
    placed.lose(pIndex)
    placed.lose(qIndex)
    math.computePQ(placed.row, pIndex, qIndex, length)
    return sameChunks(placed.chunks(), wanted) && placed.marginsAreLeft()
  })
  fc.assert(property, { numRuns: 150 })
  t.pass()
})

testBoth('P of a row is the XOR of its data', (t, open) => {
  const math = open()
  const property = fc.property(rows, ({ dataCount, seed, length, placements }) => {
    const data = randomData(seed, dataCount, length)
    const wanted = [...data, ...modelParities(data, 1)]
    const placed = new PlacedRow(math, wanted, 1, placements)
    placed.lose(placed.row.pIndex)
    math.xorOthers(placed.row, placed.row.pIndex, length)
    return sameChunks(placed.chunks(), wanted) && placed.marginsAreLeft()
  })
  fc.assert(property, { numRuns: 150 })
  t.pass()
})

testBoth('every factor multiplies every byte', (t, open) => {
  const math = open()
  const bytes = Buffer.from(Array.from({ length: 512 }, (_, at) => at & 0xff))
  const into = math.allocate(512)
  for (let factor = 0; factor < 256; factor++) {
    into.fill(0x3c)
    math.multiplyAdd(into, 0, bytes, 0, 512, factor)
    const wanted = bytes.map((byte) => 0x3c ^ modelProduct(factor, byte))
    if (!into.equals(wanted)) t.fail(`factor ${factor}`)
  }
  t.pass()
})

testBoth('sums and multiples of ranges anywhere, and of a range and itself', (t, open) => {
  const math = open()
  const pairs = fc.record({
    seed: fc.nat(),
    length: fc.integer({ min: 1, max: 6 }).map((blocks) => blocks * 512),
    factor: fc.nat({ max: 255 }),
    places: fc.tuple(placements, placements),
    isSame: fc.boolean(),
  })
  const property = fc.property(pairs, ({ seed, length, factor, places, isSame }) => {
    const [a, b] = randomData(seed, 2, length) as [Buffer, Buffer]
    const placed = new PlacedRow(math, [a, b], 1, places)
    const { buffers, positions } = placed.row
    const from = isSame ? 0 : 1
    const addend = isSame ? a : b
    const multiple = a.map((byte, at) => byte ^ modelProduct(factor, addend[at]!))
    const ranges = [buffers[0]!, positions[0]!, buffers[from]!, positions[from]!, length] as const
    math.multiplyAdd(...ranges, factor)
    if (!placed.chunk(0).equals(multiple)) return false
    a.copy(placed.chunk(0))
    math.xor(...ranges)
    const sum = a.map((byte, at) => byte ^ addend[at]!)
    return placed.chunk(0).equals(sum) && placed.chunk(1).equals(b) && placed.marginsAreLeft()
  })
  fc.assert(property, { numRuns: 200 })
  t.pass()
})

testBoth('parity that is updated is parity that is computed anew', (t, open) => {
  const math = open()
  const property = fc.property(rows, fc.nat(), ({ dataCount, seed, length, placements }, which) => {
    const data = randomData(seed, dataCount, length)
    const placed = new PlacedRow(math, [...data, ...modelParities(data, 2)], 2, placements)
    const { buffers, positions, pIndex, qIndex } = placed.row
    const k = which % dataCount
    const newData = bytesOf(seed + 1, length)
    const old = Buffer.from(placed.chunk(k))
    newData.copy(placed.chunk(k))
    math.xor(old, 0, buffers[k]!, positions[k]!, length)
    math.xor(buffers[pIndex]!, positions[pIndex]!, old, 0, length)
    math.multiplyAdd(buffers[qIndex]!, positions[qIndex]!, old, 0, length, powerOfTwo(k))
    const changed = data.with(k, newData)
    return sameChunks(placed.chunks(), [...changed, ...modelParities(changed, 2)])
  })
  fc.assert(property, { numRuns: 150 })
  t.pass()
})

testBoth('chunks longer than what is copied at once, in rows as long as can be', (t, open) => {
  const math = open()
  const elsewhere = { isAllocated: false, shift: 0 }
  const allocated = { isAllocated: true, shift: 0 }
  const shapes = [
    [2, 200 * 1024, [elsewhere, allocated]],
    [2, 200 * 1024, [allocated, elsewhere]],
    [8, 64 * 1024, [elsewhere]],
    [255, 1536, [elsewhere]],
  ] as const
  for (const [dataCount, length, placements] of shapes) {
    const data = randomData(dataCount, dataCount, length)
    const wanted = [...data, ...modelParities(data, 2)]
    const placed = new PlacedRow(math, wanted, 2, placements)
    const { row } = placed
    placed.lose(row.pIndex)
    placed.lose(row.qIndex)
    math.computePQ(row, row.pIndex, row.qIndex, length)
    t.ok(sameChunks(placed.chunks(), wanted), `${dataCount} chunks of ${length} bytes`)
    placed.lose(0)
    math.xorOthers(row, 0, length)
    t.ok(sameChunks(placed.chunks(), wanted))
    math.multiplyAdd(row.buffers[1]!, 0, row.buffers[0]!, 0, length, 0x53)
    const multiple = data[1]!.map((byte, at) => byte ^ modelProduct(0x53, data[0]![at]!))
    t.ok(placed.chunk(1).equals(multiple))
  }
})

testBoth('wrong ranges, lengths and chunks are refused before anything is written', (t, open) => {
  const math = open()
  const buffer = math.allocate(2048).fill(7)
  const row = new ParityRow(2, 2)
  for (const index of row.buffers.keys()) row.place(index, buffer, index * 512)
  t.throws(() => math.xor(buffer, 0, buffer, 1024, 1000), RangeError, 'not whole blocks')
  t.throws(() => math.xor(buffer, 0, buffer, 1024, -512), RangeError)
  t.throws(() => math.xor(buffer, 1537, buffer, 0, 512), RangeError, 'beyond its end')
  t.throws(() => math.multiplyAdd(buffer, 0, buffer, -4, 512, 3), RangeError)
  t.throws(() => math.xor(buffer, 0.5, buffer, 512, 512), RangeError)
  t.throws(() => math.xorOthers(row, 3, 512), RangeError, 'Q is no XOR')
  t.throws(() => math.xorOthers(row, -1, 512), RangeError)
  t.throws(() => math.computePQ(row, 3, 2, 512), RangeError, 'P and Q mixed up')
  t.throws(() => math.computePQ(row, 1, 1, 512), RangeError, 'both into one')
  t.throws(() => math.multiplyAdd(buffer, 0, buffer, 512, 512, 256), RangeError, 'no element')
  row.place(3, buffer, 1600)
  t.throws(() => math.computePQ(row, 2, 3, 512), RangeError)
  const single = new ParityRow(2, 1)
  for (const index of single.buffers.keys()) single.place(index, buffer, index * 512)
  t.throws(() => math.computePQ(single, 2, 3, 512), RangeError, 'a row without Q')
  t.throws(() => single.place(3, buffer, 0), RangeError)
  math.xor(buffer, 0, buffer, 512, 0)
  math.xorOthers(single, 2, 0)
  t.ok(buffer.equals(Buffer.alloc(2048, 7)), 'nor does a range without bytes do anything')
})

t.test('a row has 1 to 255 data chunks', async (t) => {
  for (const wrong of [0, 256, 1.5]) t.throws(() => new ParityRow(wrong, 2), RangeError)
})

t.test(
  'what is allocated is apart and aligned, and goes on when the memory is used up',
  async (t) => {
    const simd = openSimd()
    const buffers = Array.from({ length: 30 }, () => simd.allocate(65_000))
    for (const [index, buffer] of buffers.entries()) buffer.fill(index)
    t.ok(buffers.every((buffer, index) => buffer.every((byte) => byte === index)))
    const inMemory = buffers.filter((buffer) => buffer.buffer === buffers[0]!.buffer)
    t.ok(inMemory.length >= 16 && inMemory.length < 30)
    t.ok(inMemory.every((buffer) => buffer.byteOffset % 64 === 0))
  },
)
