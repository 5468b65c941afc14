import fc from 'fast-check'
import t from 'tap'
import {
  encodeBlockCdb,
  encodeWriteAtomicCdb,
  readAtomicBoundary,
  readAtomicTransferLength,
  readCompareAndWriteBlockCount,
  readLba,
  readLba6,
  readLba16,
  readTransferLength,
  readTransferLength6,
  SynchronizeCacheFlag,
  TransferFlag,
} from '../../src/scsi/cdb.ts'
import { cdbLength, Opcode } from '../../src/scsi/opcode.ts'
import { formatStatus, Status } from '../../src/scsi/status.ts'

const forms = [
  { opcode: Opcode.Read6, lbaMax: 0x1fffff, countMin: 1, countMax: 256, flags: 0 },
  {
    opcode: Opcode.Write10,
    lbaMax: 0xffffffff,
    countMin: 0,
    countMax: 0xffff,
    flags: TransferFlag.Fua,
  },
  { opcode: Opcode.Verify12, lbaMax: 0xffffffff, countMin: 0, countMax: 0xffffffff, flags: 0x10 },
  {
    opcode: Opcode.SynchronizeCache16,
    lbaMax: Number.MAX_SAFE_INTEGER,
    countMin: 0,
    countMax: 0xffffffff,
    flags: SynchronizeCacheFlag.Immediate,
  },
]

for (const { opcode, lbaMax, countMin, countMax, flags } of forms) {
  t.test(`a block CDB of ${cdbLength(opcode)} bytes is read as it was written`, async (t) => {
    const anyLba = fc.oneof(
      fc.constant(lbaMax),
      fc.maxSafeNat().map((lba) => lba % (lbaMax + 1)),
    )
    const anyCount = fc.integer({ min: countMin, max: countMax })
    fc.assert(
      fc.property(anyLba, anyCount, (lba, count) => {
        const cdb = Buffer.alloc(20)
        encodeBlockCdb(cdb, 3, opcode, lba, count, flags)
        t.equal(readLba(cdb, 3), lba)
        t.equal(readTransferLength(cdb, 3), count)
        t.equal(cdb[3], opcode)
        if (flags !== 0) t.equal(cdb[4], flags)
        t.ok(cdb.subarray(3 + (cdbLength(opcode) ?? 0)).every((byte) => byte === 0))
      }),
      { numRuns: 50 },
    )
  })
}

t.test('the layouts are those of SBC-3', async (t) => {
  const hex = (...args: [number, number, number, number?]): string => {
    const cdb = Buffer.alloc(16)
    encodeBlockCdb(cdb, 0, ...args)
    return cdb.toString('hex')
  }
  t.equal(hex(Opcode.Read6, 0x1abcde, 256), `081abcde0000${'0'.repeat(20)}`)
  t.equal(hex(Opcode.Read10, 0x01020304, 0x0506, 0x08), `28080102030400050600${'0'.repeat(12)}`)
  t.equal(hex(Opcode.Write12, 0x01020304, 0x05060708), 'aa000102030405060708000000000000')
  t.equal(
    hex(Opcode.Read16, 0x0102030405060, 0x0708090a),
    '8800' + '0000102030405060' + '0708090a' + '0000',
  )
})

t.test('COMPARE AND WRITE has its blocks in one byte', async (t) => {
  fc.assert(
    fc.property(fc.nat(255), (count) => {
      const cdb = Buffer.alloc(20)
      encodeBlockCdb(cdb, 3, Opcode.CompareAndWrite, 7, count)
      t.equal(readCompareAndWriteBlockCount(cdb, 3), count)
    }),
    { numRuns: 20 },
  )
})

t.test('WRITE ATOMIC(16) has ATOMIC BOUNDARY and TRANSFER LENGTH in 16 bits each', async (t) => {
  const cdb = Buffer.alloc(18)
  encodeWriteAtomicCdb(cdb, 2, 0x0102030405060, 0x0708, { flags: 0x08, boundary: 0x090a })
  t.equal(cdb.toString('hex', 2), '9c08' + '0000102030405060' + '090a' + '0708' + '0000')
  t.equal(readLba(cdb, 2), 0x0102030405060)
  t.equal(readAtomicTransferLength(cdb, 2), 0x0708)
  t.equal(readAtomicBoundary(cdb, 2), 0x090a)
})

t.test('READ(6) takes its LBA from 21 bits, and length 0 for 256', async (t) => {
  const cdb = Buffer.from([Opcode.Read6, 0xff, 0xff, 0xff, 0, 0])
  t.equal(readLba6(cdb, 0), 0x1fffff)
  t.equal(readTransferLength6(cdb, 0), 256)
})

t.test('an LBA above 2^53 stays above every capacity', async (t) => {
  const cdb = Buffer.alloc(16, 0xff)
  t.ok(readLba16(cdb, 0) > Number.MAX_SAFE_INTEGER)
})

t.test('values that a CDB cannot hold are refused', async (t) => {
  const cdb = Buffer.alloc(16)
  t.throws(() => encodeBlockCdb(cdb, 0, Opcode.Read6, 0x200000, 1), RangeError)
  t.throws(() => encodeBlockCdb(cdb, 0, Opcode.Read6, 0, 0), RangeError)
  t.throws(() => encodeBlockCdb(cdb, 0, Opcode.Read6, 0, 1, 8), RangeError)
  t.throws(() => encodeBlockCdb(cdb, 0, Opcode.Read10, 0, 0x10000), RangeError)
  t.throws(() => encodeBlockCdb(cdb, 0, Opcode.Read10, 2 ** 32, 1), RangeError)
  t.throws(() => encodeBlockCdb(cdb, 0, 0x7f, 0, 1), RangeError)
  cdb[0] = 0x7f
  t.throws(() => readLba(cdb, 0), RangeError)
  t.throws(() => readTransferLength(cdb, 0), RangeError)
})

t.test('statuses have the names of SAM-5', async (t) => {
  t.equal(formatStatus(Status.ReservationConflict), 'RESERVATION CONFLICT')
  t.equal(formatStatus(0x09), 'status 09h')
})
