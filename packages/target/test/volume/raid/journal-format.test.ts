import fc from 'fast-check'
import t from 'tap'
import {
  anchorOffsetOf,
  decodeAnchor,
  decodeRecord,
  encodeAnchor,
  encodeRecord,
  type JournalExtent,
  recordSizeIn,
  recordSizeOf,
} from '../../../src/volume/raid/journal-format.ts'
import { ARRAY_ID } from './parity-arrays.ts'
import { bytesOf } from './parity-model.ts'

const EPOCH = '00112233-4455-6677-8899-aabbccddeeff'

t.test('a record is what was encoded, and one that is damaged anywhere is none', async (t) => {
  const property = fc.property(
    fc.nat({ max: 2 ** 40 }).map((sector) => sector * 512),
    fc.array(fc.tuple(fc.nat({ max: 65535 }), fc.nat({ max: 8 }), fc.nat({ max: 20 })), {
      maxLength: 6,
    }),
    fc.nat({ max: 2 ** 45 }),
    fc.nat(),
    (base, shapes, sequence, damage) => {
      const extents = shapes.map(([memberNumber, within, sectors], nth): JournalExtent => {
        const from = bytesOf(nth, 3 + sectors * 512)
        const offset = base + within * 512
        return { memberNumber, offset, from, position: 3, length: sectors * 512 }
      })
      const byteCount = extents.reduce((sum, { length }) => sum + length, 0)
      const size = recordSizeOf(byteCount)
      const into = Buffer.alloc(size + 100, 0xaa)
      const identity = { arrayId: ARRAY_ID, epoch: EPOCH, sequence }
      const encoded = encodeRecord(into, 100, identity, base, extents, extents.length)
      const record = into.subarray(100)
      if (encoded !== size || recordSizeIn(record, identity) !== size) return false
      for (const other of [
        { ...identity, sequence: sequence + 1 },
        { ...identity, epoch: ARRAY_ID },
        { ...identity, arrayId: EPOCH },
      ]) {
        if (recordSizeIn(record, other) !== 0) return false
      }
      const damaged = Buffer.from(record)
      const at = damage % size
      damaged[at] = damaged[at]! ^ (1 + (damage % 255))
      if (decodeRecord(damaged) !== null) return false
      const decoded = decodeRecord(record)!
      return (
        decoded.length === extents.length &&
        decoded.every((found, nth) => {
          const { memberNumber, offset, from, length } = extents[nth]!
          const bytes = found.from.subarray(found.position, found.position + found.length)
          const isThere = found.memberNumber === memberNumber && found.offset === offset
          return isThere && found.length === length && bytes.equals(from.subarray(3))
        })
      )
    },
  )
  fc.assert(property, { numRuns: 200 })
  t.pass()
})

t.test('an anchor is what was encoded, and one of a later version is refused', async (t) => {
  const anchor = {
    arrayId: ARRAY_ID,
    epoch: EPOCH,
    generation: 2 ** 40 + 1,
    oldestSequence: 77,
    oldestPosition: 4096 * 3,
    ringSizeBytes: 2 ** 33,
  }
  const block = encodeAnchor(anchor)
  t.strictSame(decodeAnchor(Buffer.from(block)), anchor)
  for (const at of [0, 12, 40, 4095]) {
    const damaged = Buffer.from(block)
    damaged[at] = damaged[at]! ^ 1
    t.equal(decodeAnchor(damaged), null)
  }
  t.equal(anchorOffsetOf(6), 0)
  t.equal(anchorOffsetOf(7), 4096)
})
