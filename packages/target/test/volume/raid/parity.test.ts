import fc from 'fast-check'
import t from 'tap'
import { recoverOne, recoverTwo } from '../../../src/volume/raid/parity.ts'
import type { ParityMath } from '../../../src/volume/raid/parity-math.ts'
import { ParityRow } from '../../../src/volume/raid/parity-row.ts'
import { SimdParity } from '../../../src/volume/raid/simd-parity.ts'
import { WordParity } from '../../../src/volume/raid/word-parity.ts'
import { modelParities, PlacedRow, randomData, rows, sameChunks } from './parity-model.ts'

/** Of SIMD half a mebibyte, so that rows are in its memory, elsewhere, or both. */
const kinds: readonly (readonly [string, () => ParityMath])[] = [
  ['words', () => new WordParity()],
  ['simd', () => SimdParity.open(512 * 1024)!],
]

for (const [kind, open] of kinds) {
  t.test(`${kind}: any chunk of a row of one parity comes back`, async (t) => {
    const math = open()
    const property = fc.property(rows, ({ dataCount, seed, length, placements }) => {
      const data = randomData(seed, dataCount, length)
      const wanted = [...data, ...modelParities(data, 1)]
      const placed = new PlacedRow(math, wanted, 1, placements)
      for (let lost = 0; lost <= dataCount; lost++) {
        placed.lose(lost)
        recoverOne(math, placed.row, lost, length)
        if (!sameChunks(placed.chunks(), wanted)) return false
      }
      return placed.marginsAreLeft()
    })
    fc.assert(property, { numRuns: 50 })
    t.pass()
  })

  t.test(`${kind}: any one and any two chunks of a row of two parities come back`, async (t) => {
    const math = open()
    const property = fc.property(rows, ({ dataCount, seed, length, placements }) => {
      const data = randomData(seed, dataCount, length)
      const wanted = [...data, ...modelParities(data, 2)]
      const placed = new PlacedRow(math, wanted, 2, placements)
      for (let lost = 0; lost < wanted.length; lost++) {
        placed.lose(lost)
        recoverOne(math, placed.row, lost, length)
        if (!sameChunks(placed.chunks(), wanted)) return false
        for (let alsoLost = 0; alsoLost < wanted.length; alsoLost++) {
          if (alsoLost === lost) continue
          placed.lose(lost)
          placed.lose(alsoLost)
          recoverTwo(math, placed.row, lost, alsoLost, length)
          if (!sameChunks(placed.chunks(), wanted)) return false
        }
      }
      return placed.marginsAreLeft()
    })
    fc.assert(property, { numRuns: 40 })
    t.pass()
  })

  t.test(`${kind}: of the longest row any two data chunks come back`, async (t) => {
    const math = open()
    const data = randomData(1, 255, 512)
    const wanted = [...data, ...modelParities(data, 2)]
    const placed = new PlacedRow(math, wanted, 2, [{ isAllocated: true, shift: 0 }])
    const different = fc.uniqueArray(fc.nat({ max: 256 }), { minLength: 2, maxLength: 2 })
    const property = fc.property(different, ([lost, alsoLost]) => {
      placed.lose(lost!)
      placed.lose(alsoLost!)
      recoverTwo(math, placed.row, lost!, alsoLost!, 512)
      return sameChunks(placed.chunks(), wanted)
    })
    fc.assert(property, { numRuns: 60 })
    t.pass()
  })

  t.test(`${kind}: what cannot be recovered is refused`, async (t) => {
    const math = open()
    const buffer = Buffer.alloc(512 * 5)
    const row = new ParityRow(3, 2)
    for (const index of row.buffers.keys()) row.place(index, buffer, index * 512)
    t.throws(() => recoverTwo(math, row, 1, 1, 512), RangeError, 'the same twice')
    t.throws(() => recoverTwo(math, row, 1, 5, 512), RangeError, 'no chunk of the row')
    t.throws(() => recoverOne(math, row, 5, 512), RangeError)
    const single = new ParityRow(3, 1)
    for (const index of single.buffers.keys()) single.place(index, buffer, index * 512)
    t.throws(() => recoverTwo(math, single, 0, 1, 512), RangeError, 'two with one parity')
    t.throws(() => recoverOne(math, single, single.qIndex, 512), RangeError, 'Q of one parity')
  })
}
