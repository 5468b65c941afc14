import fc from 'fast-check'
import t from 'tap'
import { crc32c, crc32cByTables } from '../../src/volume/crc32c.ts'
import { LONG_DISTANCES, SHORT_DISTANCES } from '../../src/volume/raid/crc-fold.ts'

/** Bit by bit, as the definition has it. */
function modelRemainder(bytes: Buffer, before: number): number {
  let crc = before
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return crc
}

function modelCrc(bytes: Buffer): number {
  return ~modelRemainder(bytes, -1) >>> 0
}

function randomBytes(seed: number, length: number): Buffer {
  let state = seed | 1
  return Buffer.from(
    Array.from({ length }, () => {
      state = Math.imul(state, 1664525) + 1013904223
      return state >>> 24
    }),
  )
}

t.test('the bytes of RFC 3720 appendix B.4 have the checksums given there', async (t) => {
  const rising = Buffer.from(Array.from({ length: 32 }, (_, at) => at))
  const falling = Buffer.from(rising).reverse()
  for (const crc of [crc32c, crc32cByTables]) {
    t.equal(crc(Buffer.alloc(32), 0, 32), 0x8a9136aa)
    t.equal(crc(Buffer.alloc(32, 0xff), 0, 32), 0x62a8ab43)
    t.equal(crc(rising, 0, 32), 0x46dd794e)
    t.equal(crc(falling, 0, 32), 0x113fdb5c)
    t.equal(crc(Buffer.from('123456789'), 0, 9), 0xe3069283)
    t.equal(crc(rising, 7, 7), 0, 'no bytes')
  }
})

t.test('any bytes anywhere have the checksum of the definition', async (t) => {
  const lengths = fc.oneof(
    fc.nat({ max: 300 }),
    fc.constantFrom(4095, 4096, 4097, 8191, 8192, 9000, 16384),
  )
  const property = fc.property(
    fc.integer(),
    lengths,
    fc.nat({ max: 20 }),
    (seed, length, start) => {
      const bytes = randomBytes(seed, start + length + 5)
      const before = Buffer.from(bytes)
      const wanted = modelCrc(bytes.subarray(start, start + length))
      t.equal(crc32c(bytes, start, start + length), wanted)
      t.equal(crc32cByTables(bytes, start, start + length), wanted)
      return bytes.equals(before)
    },
  )
  fc.assert(property, { numRuns: 150 })
  t.pass()
})

t.test('every bit of a block counts', async (t) => {
  const block = randomBytes(5, 4096)
  const found = new Set([crc32c(block, 0, 4096)])
  for (let bit = 0; bit < 4096 * 8; bit++) {
    block[bit >> 3]! ^= 1 << (bit & 7)
    found.add(crc32c(block, 0, 4096))
    block[bit >> 3]! ^= 1 << (bit & 7)
  }
  t.equal(found.size, 4096 * 8 + 1)
})

t.test(
  'a byte may be moved by the distances, for they make a multiple of the polynomial',
  async (t) => {
    for (const distances of [LONG_DISTANCES, SHORT_DISTANCES]) {
      const bytes = Buffer.alloc(Math.max(...distances) + 1)
      for (const distance of [0, ...distances]) bytes[distance] = 1
      t.equal(modelRemainder(bytes, 0), 0)
      t.ok(
        distances.every((distance) => distance >= 16),
        'a vector at least',
      )
    }
  },
)
