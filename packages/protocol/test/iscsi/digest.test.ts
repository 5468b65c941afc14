import fc from 'fast-check'
import t from 'tap'
import { crc32c } from '../../src/iscsi/digest.ts'

/** The digest as it goes over the wire. */
function digest(bytes: Buffer): string {
  const wire = Buffer.alloc(4)
  wire.writeUInt32LE(crc32c(bytes, 0, bytes.length))
  return wire.toString('hex')
}

/** CRC32C by its definition, a bit at a time. */
function bitwise(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

t.test('the examples of RFC 3720 appendix B.4 have the digests given there', async (t) => {
  t.equal(digest(Buffer.alloc(32)), 'aa36918a', '32 bytes of zeroes')
  t.equal(digest(Buffer.alloc(32, 0xff)), '43aba862', '32 bytes of ones')
  const rising = Buffer.from(Array.from({ length: 32 }, (_, i) => i))
  t.equal(digest(rising), '4e79dd46', '32 bytes rising from 00 to 1f')
  t.equal(digest(Buffer.from(rising).reverse()), '5cdb3f11', '32 bytes falling from 1f to 00')
  const readCommand = Buffer.from(
    '01c00000000000000000000000000000140000000000040000000014000000182800000000000000' +
      '0200000000000000',
    'hex',
  )
  t.equal(digest(readCommand), '563a96d9', 'a SCSI Command PDU with a READ(10)')
})

t.test('any bytes, at any alignment, have the CRC that the definition gives', async () => {
  const bytes = fc.uint8Array({ maxLength: 200 })
  fc.assert(
    fc.property(bytes, fc.nat(20), (bytes, start) => {
      const padded = new Uint8Array([...new Uint8Array(start).fill(0xa5), ...bytes, 1, 2, 3])
      return crc32c(padded, start, start + bytes.length) === bitwise(bytes)
    }),
  )
})

t.test('a CRC in pieces is the CRC of the whole', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
      const middle = Math.min(cut, bytes.length)
      const first = crc32c(bytes, 0, middle)
      return crc32c(bytes, middle, bytes.length, first) === bitwise(bytes)
    }),
  )
})
