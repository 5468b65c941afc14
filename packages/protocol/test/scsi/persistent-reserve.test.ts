import fc from 'fast-check'
import t from 'tap'
import { Opcode } from '../../src/scsi/opcode.ts'
import {
  decodeMoveParameters,
  decodePersistentReserveInCdb,
  decodePersistentReserveOutCdb,
  decodeReadKeys,
  decodeReadReservation,
  decodeReservationCapabilities,
  decodeReserveParameters,
  encodeMoveParameters,
  encodePersistentReserveInCdb,
  encodePersistentReserveOutCdb,
  encodeReadFullStatus,
  encodeReadKeys,
  encodeReadReservation,
  encodeReservationCapabilities,
  encodeReserveParameters,
  isReservationType,
} from '../../src/scsi/persistent-reserve.ts'
import { decodeTransportId, encodeTransportId } from '../../src/scsi/transport-id.ts'

const key = fc.bigInt({ min: 0n, max: 0xffffffffffffffffn })
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const nibble = fc.integer({ min: 0, max: 15 })
const serviceAction = fc.integer({ min: 0, max: 31 })
const position = fc.integer({ min: 0, max: 9 })

t.test('both CDBs go there and back at any position', async (t) => {
  fc.assert(
    fc.property(
      position,
      fc.record({ serviceAction, allocationLength: u16 }),
      fc.record({ serviceAction, scope: nibble, type: nibble, parameterListLength: u32 }),
      (at, inFields, outFields) => {
        const cdb = Buffer.alloc(at + 10)
        encodePersistentReserveInCdb(cdb, at, inFields)
        t.equal(cdb[at], Opcode.PersistentReserveIn)
        t.same(decodePersistentReserveInCdb(cdb, at), inFields)
        cdb.fill(0)
        encodePersistentReserveOutCdb(cdb, at, outFields)
        t.equal(cdb[at], Opcode.PersistentReserveOut)
        t.same(decodePersistentReserveOutCdb(cdb, at), outFields)
      },
    ),
  )
})

t.test('parameter lists go there and back', async (t) => {
  const common = {
    reservationKey: key,
    serviceActionReservationKey: key,
    persistThroughPowerLoss: fc.boolean(),
  }
  const reserve = fc.record({
    ...common,
    specifyInitiatorPorts: fc.boolean(),
    allTargetPorts: fc.boolean(),
  })
  const move = fc.record({
    ...common,
    unregister: fc.boolean(),
    relativeTargetPort: u16,
    transportId: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  })
  fc.assert(
    fc.property(reserve, move, (reserveFields, moveFields) => {
      t.same(decodeReserveParameters(encodeReserveParameters(reserveFields)), reserveFields)
      t.same(decodeMoveParameters(encodeMoveParameters(moveFields)), moveFields)
    }),
  )
  t.throws(() => decodeReserveParameters(Buffer.alloc(23)), /got 23 bytes, want 24/)
  t.throws(() => decodeMoveParameters(Buffer.alloc(23)), RangeError)
})

t.test('READ KEYS and READ RESERVATION data go there and back', async (t) => {
  fc.assert(
    fc.property(u32, fc.array(key), nibble, (generation, keys, type) => {
      const data = encodeReadKeys(generation, keys)
      t.same(decodeReadKeys(data), { generation, keys })
      t.same(decodeReadKeys(data.subarray(0, 15)).keys, [], 'a key that was cut is none')
      const held = { key: keys[0] ?? 1n, type }
      t.same(decodeReadReservation(encodeReadReservation(generation, held)), { generation, held })
    }),
  )
  t.same(decodeReadReservation(encodeReadReservation(7)), { generation: 7, held: undefined })
  t.throws(() => decodeReadKeys(Buffer.alloc(7)), RangeError)
})

t.test('REPORT CAPABILITIES has a place for each, and says all six types', async (t) => {
  const names = [
    'compatibleReservations',
    'specifyInitiatorPorts',
    'allTargetPorts',
    'persistThroughPowerLoss',
    'persistActive',
  ] as const
  for (const on of names) {
    const capabilities = {
      compatibleReservations: on === 'compatibleReservations',
      specifyInitiatorPorts: on === 'specifyInitiatorPorts',
      allTargetPorts: on === 'allTargetPorts',
      persistThroughPowerLoss: on === 'persistThroughPowerLoss',
      persistActive: on === 'persistActive',
    }
    const data = encodeReservationCapabilities(capabilities)
    t.same(decodeReservationCapabilities(data), capabilities)
    t.equal(data.readUInt16BE(4), 0xea01)
  }
  const valid = Array.from({ length: 16 }, (_, type) => type).filter(isReservationType)
  t.same(valid, [1, 3, 5, 6, 7, 8])
})

t.test('READ FULL STATUS describes each registration with its TransportID', async (t) => {
  const initiatorPort = 'iqn.2024-01.org.example:a,i,0x400000010000'
  const base = { key: 0x0102030405060708n, relativeTargetPort: 1, initiatorPort }
  const data = encodeReadFullStatus(9, [
    { ...base, allTargetPorts: true, heldType: 5 },
    { ...base, allTargetPorts: false },
  ])
  const each = (data.length - 8) / 2
  t.equal(data.readUInt32BE(0), 9)
  t.equal(data.readUInt32BE(4), data.length - 8)
  t.equal(data.toString('hex', 8, 32), `010203040506070800000000030500000000000100000030`)
  t.equal(data.toString('hex', 8 + each + 12, 8 + each + 14), '0000')
  t.equal(decodeTransportId(data.subarray(32, 8 + each)), initiatorPort)
})

t.test('TransportIDs go there and back, padded to four bytes', async (t) => {
  const name = fc.string({ minLength: 1, maxLength: 223, unit: fc.constantFrom(...'iqn.2-:az') })
  const isid = fc.stringMatching(/^[0-9a-f]{12}$/)
  fc.assert(
    fc.property(name, isid, (initiatorName, digits) => {
      const port = `${initiatorName},i,0x${digits}`
      const data = encodeTransportId(port)
      t.equal(data.length % 4, 0)
      t.equal(data[data.length - 1], 0)
      t.equal(decodeTransportId(data), port)
    }),
  )
})

t.test('a TransportID that names no iSCSI initiator port is none', async (t) => {
  const good = encodeTransportId('iqn.2024-01.org.example:a,i,0x40000001ABCD')
  t.equal(decodeTransportId(good), 'iqn.2024-01.org.example:a,i,0x40000001abcd')
  t.equal(decodeTransportId(good.subarray(0, 20)), undefined, 'cut')
  t.equal(decodeTransportId(Buffer.concat([good, Buffer.alloc(4)])), undefined, 'too long')
  const other = Buffer.from(good)
  other.writeUInt8(0x06, 0)
  t.equal(decodeTransportId(other), undefined, 'SAS')
  other.writeUInt8(0x05, 0)
  t.equal(decodeTransportId(other), undefined, 'the name of a device')
  t.equal(decodeTransportId(encodeTransportId('iqn.2024-01.org.example:a')), undefined)
  t.equal(decodeTransportId(encodeTransportId('iqn.a,t,0x0001 and so on')), undefined)
})
