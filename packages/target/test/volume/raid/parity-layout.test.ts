import fc from 'fast-check'
import t from 'tap'
import {
  arrayOffsetOf,
  dataCountOf,
  indexOf,
  memberOf,
  ParityCursor,
  type ParityGeometry,
  pMemberOf,
  qMemberOf,
} from '../../../src/volume/raid/parity-layout.ts'

const geometries: fc.Arbitrary<ParityGeometry> = fc
  .record({
    parityCount: fc.constantFrom(1 as const, 2 as const),
    dataCount: fc.integer({ min: 1, max: 9 }),
    chunkSizeBytes: fc.integer({ min: 9, max: 24 }).map((bits) => 2 ** bits),
  })
  .map(({ parityCount, dataCount, chunkSizeBytes }) => ({
    memberCount: dataCount + parityCount,
    parityCount,
    chunkSizeBytes,
  }))

/** One line for each row, one name for each member: numbers of the array's chunks, P and Q. */
function picture(memberCount: number, parityCount: 1 | 2): string[] {
  const geometry = { memberCount, parityCount, chunkSizeBytes: 512 }
  const dataCount = dataCountOf(geometry)
  return Array.from({ length: memberCount + 1 }, (_, row) => {
    const names = Array.from({ length: memberCount }, (_, member) => {
      const index = indexOf(geometry, row, member)
      if (index >= dataCount) return 'PQ'.charAt(index - dataCount)
      return String(arrayOffsetOf(geometry, row, index, 0) / 512)
    })
    return names.join(' ')
  })
}

t.test('RAID 5 is laid out as md does by default', async (t) => {
  t.strictSame(picture(4, 1), ['0 1 2 P', '4 5 P 3', '8 P 6 7', 'P 9 10 11', '12 13 14 P'])
  t.strictSame(picture(5, 1), [
    '0 1 2 3 P',
    '5 6 7 P 4',
    '10 11 P 8 9',
    '15 P 12 13 14',
    'P 16 17 18 19',
    '20 21 22 23 P',
  ])
})

t.test('RAID 6 is laid out as md does by default', async (t) => {
  t.strictSame(picture(4, 2), ['Q 0 1 P', '2 3 P Q', '5 P Q 4', 'P Q 6 7', 'Q 8 9 P'])
  t.strictSame(picture(5, 2), [
    'Q 0 1 2 P',
    '3 4 5 P Q',
    '7 8 P Q 6',
    '11 P Q 9 10',
    'P Q 12 13 14',
    'Q 15 16 17 P',
  ])
})

t.test('in each row every member has one chunk, and every chunk one member', async (t) => {
  const property = fc.property(geometries, fc.nat(), (geometry, row) => {
    const { memberCount, parityCount } = geometry
    const members = Array.from({ length: memberCount }, (_, k) => memberOf(geometry, row, k))
    const dataCount = dataCountOf(geometry)
    const p = memberCount - 1 - (row % memberCount)
    if (pMemberOf(geometry, row) !== p || members[dataCount] !== p) return false
    const q = (p + 1) % memberCount
    if (parityCount === 2 && (qMemberOf(geometry, row) !== q || members[dataCount + 1] !== q)) {
      return false
    }
    const firstData = (p + parityCount) % memberCount
    if (members[0] !== firstData) return false
    const areInverse = members.every((member, index) => indexOf(geometry, row, member) === index)
    return areInverse && new Set(members).size === memberCount
  })
  fc.assert(property, { numRuns: 500 })
  t.pass()
})

t.test('in as many rows as there are members each has each part once', async (t) => {
  const property = fc.property(geometries, fc.nat(), (geometry, firstRow) => {
    const { memberCount } = geometry
    for (let member = 0; member < memberCount; member++) {
      const parts = new Set<number>()
      for (let row = firstRow; row < firstRow + memberCount; row++) {
        parts.add(indexOf(geometry, row, member))
      }
      if (parts.size !== memberCount) return false
    }
    return true
  })
  fc.assert(property, { numRuns: 300 })
  t.pass()
})

t.test('pieces are what placing every block by itself gives, up to petabytes', async (t) => {
  const property = fc.property(
    geometries,
    fc.nat({ max: 2 ** 31 }),
    fc.nat({ max: 300 }),
    (geometry, first, count) => {
      const chunkSize = BigInt(geometry.chunkSizeBytes)
      const dataCount = BigInt(geometry.memberCount - geometry.parityCount)
      const offset = first * 512 * 4093
      const cursor = new ParityCursor(geometry)
      let done = 0
      let pieces = 0
      for (cursor.seek(offset, count * 512); cursor.length > 0; cursor.next()) {
        if (cursor.position !== done) return false
        for (let at = 0; at < cursor.length; at += 512) {
          // The plain model, in exact integers.
          const address = BigInt(offset + done + at)
          const row = address / chunkSize / dataCount
          const index = Number((address / chunkSize) % dataCount)
          const within = address % chunkSize
          if (cursor.row !== Number(row) || cursor.index !== index) return false
          if (cursor.within + at !== Number(within)) return false
          if (cursor.memberOffset + at !== Number(row * chunkSize + within)) return false
        }
        const { row, index, within } = cursor
        if (cursor.member !== memberOf(geometry, row, index)) return false
        if (arrayOffsetOf(geometry, row, index, within) !== offset + done) return false
        done += cursor.length
        pieces++
      }
      return done === count * 512 && cursor.countPieces(offset, count * 512) === pieces
    },
  )
  fc.assert(property, { numRuns: 300 })
  t.pass()
})
