import fc from 'fast-check'
import t from 'tap'
import { readLba16 } from '../../src/scsi/cdb.ts'
import {
  type BlockRange,
  decodeLbaStatuses,
  decodeUnmapParameters,
  encodeGetLbaStatusCdb,
  encodeLbaStatuses,
  encodeUnmapCdb,
  encodeUnmapParameters,
  readGetLbaStatusAllocationLength,
  readUnmapListLength,
  UNMAP_DESCRIPTOR_LENGTH,
  UNMAP_HEADER_LENGTH,
  UnmapFlag,
} from '../../src/scsi/provisioning.ts'

const anyRange = fc.record(
  { lba: fc.maxSafeNat(), blockCount: fc.nat(0xffffffff) },
  { noNullPrototype: true },
)
const anyRanges: fc.Arbitrary<BlockRange[]> = fc.array(anyRange, { maxLength: 8 })

t.test('an UNMAP parameter list is read as it was written, in the layout of SBC-3', async (t) => {
  fc.assert(
    fc.property(anyRanges, (ranges) => {
      t.same(decodeUnmapParameters(encodeUnmapParameters(ranges)), ranges)
    }),
    { numRuns: 50 },
  )
  const list = encodeUnmapParameters([{ lba: 0x0102030405060, blockCount: 0x0708090a }])
  t.equal(list.toString('hex'), '0016001000000000' + '0000102030405060' + '0708090a00000000')
})

t.test('an UNMAP parameter list that is cut anywhere has no ranges', async (t) => {
  const list = encodeUnmapParameters([
    { lba: 1, blockCount: 2 },
    { lba: 3, blockCount: 4 },
  ])
  for (let length = 0; length < list.length; length += 1) {
    t.equal(decodeUnmapParameters(list.subarray(0, length)), undefined)
  }
  list.writeUInt16BE(list.readUInt16BE(0) - 1, 0)
  t.equal(decodeUnmapParameters(list), undefined, 'descriptors beyond UNMAP DATA LENGTH')
})

t.test('a last UNMAP descriptor that is not whole is left out', async (t) => {
  const list = encodeUnmapParameters([
    { lba: 1, blockCount: 2 },
    { lba: 3, blockCount: 4 },
  ])
  list.writeUInt16BE(2 * UNMAP_DESCRIPTOR_LENGTH - 1, 2)
  t.same(decodeUnmapParameters(list), [{ lba: 1, blockCount: 2 }])
  t.same(decodeUnmapParameters(Buffer.from('0006000000000000', 'hex')), [])
  t.equal(UNMAP_HEADER_LENGTH, 8)
})

t.test('any bytes can be taken for an UNMAP parameter list', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      decodeUnmapParameters(Buffer.from(bytes))
    }),
  )
  t.pass('none throws')
})

t.test('the UNMAP CDB holds the length of its list', async (t) => {
  const cdb = Buffer.alloc(12)
  encodeUnmapCdb(cdb, 2, 0x0102, UnmapFlag.Anchor)
  t.equal(cdb.toString('hex'), '0000' + '42010000000000010200')
  t.equal(readUnmapListLength(cdb, 2), 0x0102)
  encodeUnmapCdb(cdb, 2, 0)
  t.equal(cdb[3], 0)
})

t.test('LBA status goes there and back, cut or not', async (t) => {
  const anyStatus = fc
    .tuple(anyRange, fc.nat(15))
    .map(([range, provisioningStatus]) => ({ ...range, provisioningStatus }))
  fc.assert(
    fc.property(fc.array(anyStatus, { maxLength: 4 }), fc.nat(15), (statuses, cut) => {
      const data = encodeLbaStatuses(statuses)
      t.same(decodeLbaStatuses(data), statuses)
      const whole = statuses.slice(0, cut === 0 ? undefined : -1)
      if (statuses.length > 0) {
        t.same(decodeLbaStatuses(data.subarray(0, data.length - cut)), whole)
      }
    }),
    { numRuns: 50 },
  )
  t.throws(() => decodeLbaStatuses(Buffer.alloc(7)), /got 7 bytes, want at least 8/)
  const cdb = Buffer.alloc(18)
  encodeGetLbaStatusCdb(cdb, 2, 0x0102030405060, 0x0708090a)
  t.equal(cdb.toString('hex'), '0000' + '9e12' + '0000102030405060' + '0708090a' + '0000')
  t.equal(readLba16(cdb, 2), 0x0102030405060)
  t.equal(readGetLbaStatusAllocationLength(cdb, 2), 0x0708090a)
})
