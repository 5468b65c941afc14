import fc from 'fast-check'
import t from 'tap'
import {
  decodeRequestSenseCdb,
  decodeSense,
  encodeDescriptorSense,
  encodeFixedSense,
  encodeRequestSenseCdb,
  formatSense,
  invalidFieldInCdb,
  lbaOutOfRange,
  miscompareDuringVerify,
  type Sense,
  SenseKey,
  unrecoveredReadError,
} from '../../src/scsi/sense.ts'

const byte = fc.integer({ min: 0, max: 255 })
const optional = {
  requiredKeys: ['senseKey', 'additionalSenseCode', 'additionalSenseCodeQualifier'],
} as const

/** Sense with whatever both formats can carry. */
const anySense = fc
  .record(
    {
      senseKey: fc.constantFrom(...Object.values(SenseKey)),
      additionalSenseCode: byte,
      additionalSenseCodeQualifier: byte,
      information: fc.integer({ min: 0, max: 0xffffffff }),
      deferred: fc.constant(true),
    },
    { requiredKeys: [...optional.requiredKeys] },
  )
  .map((sense): Sense => sense)

const anyFieldError = fc
  .tuple(
    fc.integer({ min: 0, max: 15 }),
    fc.option(fc.integer({ min: 0, max: 7 }), { nil: undefined }),
  )
  .map(([at, bit]) => invalidFieldInCdb(at, bit))

t.test('both formats carry every sense there and back', async (t) => {
  fc.assert(
    fc.property(fc.oneof(anySense, anyFieldError), (sense) => {
      t.same(decodeSense(encodeFixedSense(sense)), sense)
      t.same(decodeSense(encodeDescriptorSense(sense)), sense)
    }),
    { numRuns: 60 },
  )
})

t.test('the bytes are those of SPC-4', async (t) => {
  t.equal(
    encodeFixedSense(lbaOutOfRange).toString('hex'),
    '70000500000000' + '0a' + '00000000' + '2100' + '00000000',
  )
  t.equal(
    encodeFixedSense(unrecoveredReadError(0x01020304)).toString('hex'),
    'f00003010203040a00000000110000000000',
    'VALID, and the LBA in INFORMATION',
  )
  t.equal(
    encodeFixedSense(invalidFieldInCdb(1, 7)).toString('hex').slice(24),
    '240000cf0001',
    'SKSV, C/D, BPV',
  )
  t.equal(
    encodeDescriptorSense(invalidFieldInCdb(2)).toString('hex'),
    '72052400000000080206' + '0000' + 'c00002' + '00',
  )
  t.equal(
    encodeDescriptorSense(miscompareDuringVerify(7)).toString('hex'),
    '720e1d000000000c' + '000a8000' + '0000000000000007',
  )
})

t.test('an LBA beyond 32 bits is carried by the descriptor format only', async (t) => {
  const sense = unrecoveredReadError(2 ** 40)
  t.equal(decodeSense(encodeDescriptorSense(sense)).information, 2 ** 40)
  t.equal(decodeSense(encodeFixedSense(sense)).information, undefined)
  t.equal(encodeFixedSense(sense)[0], 0x70, 'VALID is 0')
})

t.test('cut or foreign sense data give what they have, or a RangeError', async (t) => {
  const whole = encodeFixedSense(unrecoveredReadError(5))
  t.same(decodeSense(whole.subarray(0, 8)), {
    senseKey: SenseKey.MediumError,
    additionalSenseCode: 0,
    additionalSenseCodeQualifier: 0,
    information: 5,
  })
  t.throws(() => decodeSense(Buffer.alloc(0)), RangeError)
  t.throws(() => decodeSense(Buffer.alloc(18)), /response code 0h/)
  t.throws(() => decodeSense(whole.subarray(0, 2)), RangeError)
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 40 }), (bytes) => {
      bytes[0] = 0x72
      t.type(decodeSense(Buffer.from(bytes)).senseKey, 'number')
    }),
    { numRuns: 100 },
  )
})

t.test('sense is shown by name and in hex', async (t) => {
  t.equal(formatSense(lbaOutOfRange), 'ILLEGAL REQUEST 05/21/00')
  t.equal(formatSense(unrecoveredReadError(9)), 'MEDIUM ERROR 03/11/00, information 9')
  t.equal(formatSense({ ...lbaOutOfRange, senseKey: 9 }), 'SENSE 09/21/00')
})

t.test('a REQUEST SENSE CDB goes there and back', async (t) => {
  for (const descriptorFormat of [true, false]) {
    const cdb = Buffer.alloc(8)
    encodeRequestSenseCdb(cdb, 2, { descriptorFormat, allocationLength: 252 })
    t.same(decodeRequestSenseCdb(cdb, 2), { descriptorFormat, allocationLength: 252 })
  }
})
