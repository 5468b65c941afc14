import fc from 'fast-check'
import t from 'tap'
import { memberRange, StripeCursor } from '../../src/volume/stripe.ts'

const geometries = fc.record({
  memberCount: fc.integer({ min: 1, max: 7 }),
  chunkSizeBytes: fc.integer({ min: 9, max: 24 }).map((bits) => 2 ** bits),
})

interface Piece {
  readonly member: number
  readonly memberOffset: number
  readonly position: number
  readonly length: number
}

function pieces(cursor: StripeCursor, offset: number, length: number): Piece[] {
  const found: Piece[] = []
  for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
    const { member, memberOffset, position, length } = cursor
    found.push({ member, memberOffset, position, length })
  }
  return found
}

t.test('a 3-member array deals its chunks out in turn', async (t) => {
  const cursor = new StripeCursor({ memberCount: 3, chunkSizeBytes: 4096 })
  t.strictSame(pieces(cursor, 4096 * 2 + 512, 4096 * 2), [
    { member: 2, memberOffset: 512, position: 0, length: 3584 },
    { member: 0, memberOffset: 4096, position: 3584, length: 4096 },
    { member: 1, memberOffset: 4096, position: 7680, length: 512 },
  ])
  t.strictSame(pieces(cursor, 4096, 0), [], 'a range without bytes has no pieces')
  t.equal(cursor.countPieces(4096, 0), 0)
  t.equal(cursor.countPieces(512, 0), 0)
})

t.test('pieces are what placing every block by itself gives, up to petabytes', async (t) => {
  const blocks = fc.nat({ max: 2 ** 31 })
  const property = fc.property(
    geometries,
    blocks,
    fc.nat({ max: 300 }),
    (geometry, first, count) => {
      const { memberCount, chunkSizeBytes } = geometry
      const offset = first * 512 * 4093
      const length = count * 512
      const found = pieces(new StripeCursor(geometry), offset, length)
      for (let done = 0; done < length; done += 512) {
        // The plain model, in exact integers.
        const address = BigInt(offset + done)
        const chunk = address / BigInt(chunkSizeBytes)
        const member = Number(chunk % BigInt(memberCount))
        const row = chunk / BigInt(memberCount)
        const memberOffset = Number(
          row * BigInt(chunkSizeBytes) + (address % BigInt(chunkSizeBytes)),
        )
        const piece = found.find((p) => p.position <= done && done < p.position + p.length)
        if (piece === undefined || piece.member !== member) return false
        if (piece.memberOffset + (done - piece.position) !== memberOffset) return false
      }
      const total = found.reduce((sum, piece) => sum + piece.length, 0)
      const counted = new StripeCursor(geometry).countPieces(offset, length)
      return total === length && counted === found.length
    },
  )
  fc.assert(property, { numRuns: 300 })
  t.pass()
})

t.test('the range of a member is all its pieces of the array range, joined', async (t) => {
  const property = fc.property(
    geometries,
    fc.nat({ max: 2 ** 20 }),
    fc.nat({ max: 400 }),
    (geometry, first, count) => {
      const offset = first * 512
      const length = count * Math.max(512, geometry.chunkSizeBytes / 16)
      const found = pieces(new StripeCursor(geometry), offset, length)
      for (let member = 0; member < geometry.memberCount; member++) {
        const own = found.filter((piece) => piece.member === member)
        const range = memberRange(geometry, member, offset, length)
        const total = own.reduce((sum, piece) => sum + piece.length, 0)
        if (range.length !== total) return false
        if (total > 0 && range.memberOffset !== own[0]!.memberOffset) return false
      }
      return true
    },
  )
  fc.assert(property, { numRuns: 200 })
  t.pass()
})
