import fc from 'fast-check'
import t from 'tap'
import {
  decodeCapacity10,
  decodeCapacity16,
  decodeReadCapacity16Cdb,
  encodeCapacity10,
  encodeCapacity16,
  encodeReadCapacity10Cdb,
  encodeReadCapacity16Cdb,
} from '../../src/scsi/capacity.ts'
import {
  decodeInquiryCdb,
  decodeStandardInquiry,
  encodeInquiryCdb,
  encodeStandardInquiry,
  Peripheral,
  VersionDescriptor,
} from '../../src/scsi/inquiry.ts'
import {
  decodeLun,
  decodeLunList,
  decodeReportLunsCdb,
  encodeLun,
  encodeLunList,
  encodeReportLunsCdb,
  LUN_LENGTH,
} from '../../src/scsi/lun.ts'
import {
  decodeReportFunctionsCdb,
  decodeTaskFunctions,
  encodeReportFunctionsCdb,
  encodeTaskFunctions,
  TaskFunction,
} from '../../src/scsi/report-functions.ts'
import {
  decodeAllCommands,
  decodeOneCommand,
  decodeReportOpcodesCdb,
  encodeAllCommands,
  encodeOneCommand,
  encodeReportOpcodesCdb,
} from '../../src/scsi/report-opcodes.ts'
import {
  decodeTargetPortGroups,
  decodeTargetPortGroupsCdb,
  encodeTargetPortGroups,
  encodeTargetPortGroupsCdb,
} from '../../src/scsi/target-port-groups.ts'

t.test('every single-level LUN is read as it was written', async (t) => {
  const buffer = Buffer.alloc(12, 0xee)
  for (const lun of [0, 1, 255, 256, 1000, 16383]) {
    encodeLun(buffer, 3, lun)
    t.equal(decodeLun(buffer, 3), lun)
  }
  t.throws(() => encodeLun(buffer, 0, 16384), /LUN must be 0 to 16383, got 16384/)
  t.throws(() => encodeLun(buffer, 0, -1), RangeError)
})

t.test('LUNs in other formats have no number', async (t) => {
  const lun = (hex: string): number => decodeLun(Buffer.from(hex, 'hex'), 0)
  t.equal(lun('4005000000000000'), 5, 'flat space for a small number')
  t.equal(lun('c101000000000000'), -1, 'well-known REPORT LUNS')
  t.equal(lun('0105000000000000'), -1, 'peripheral on another bus')
  t.equal(lun('8005000000000000'), -1, 'logical unit addressing')
  t.equal(lun('0005000100000000'), -1, 'second level')
  t.equal(lun('0005000000000001'), -1, 'fourth level')
})

t.test('REPORT LUNS goes there and back, and says its length when it was cut', async (t) => {
  const cdb = Buffer.alloc(12)
  encodeReportLunsCdb(cdb, 0, { selectReport: 2, allocationLength: 0x12345678 })
  t.same(decodeReportLunsCdb(cdb, 0), { selectReport: 2, allocationLength: 0x12345678 })
  const data = encodeLunList([0, 3, 500])
  t.same(decodeLunList(data), { luns: [0, 3, 500], length: 8 + 3 * LUN_LENGTH })
  t.same(decodeLunList(data.subarray(0, 20)), { luns: [0], length: 32 })
  t.throws(() => decodeLunList(data.subarray(0, 7)), RangeError)
})

t.test('capacities go there and back, the short form only up to 32 bits', async (t) => {
  const short = { lastLba: 12345, blockSizeBytes: 4096 }
  t.same(decodeCapacity10(encodeCapacity10(short)), short)
  t.equal(decodeCapacity10(encodeCapacity10({ ...short, lastLba: 2 ** 33 })).lastLba, 0xffffffff)
  const long = {
    lastLba: 2 ** 44 - 1,
    blockSizeBytes: 512,
    physicalBlockExponent: 3,
    lowestAlignedLba: 0x3ffe,
    provisioningManaged: true,
    readsZeros: true,
  }
  t.same(decodeCapacity16(encodeCapacity16(long)), long)
  const plain = { ...long, provisioningManaged: false, readsZeros: false }
  t.same(decodeCapacity16(encodeCapacity16(plain).subarray(0, 16)), plain)
  t.throws(() => decodeCapacity10(Buffer.alloc(7)), RangeError)
  t.throws(() => decodeCapacity16(Buffer.alloc(15)), RangeError)
  t.throws(() => decodeCapacity16(Buffer.alloc(32, 0xff)), /beyond 2\^53/)
})

t.test('READ CAPACITY CDBs', async (t) => {
  const cdb = Buffer.alloc(16)
  encodeReadCapacity16Cdb(cdb, 0)
  t.equal(cdb.toString('hex'), '9e100000000000000000000000200000')
  t.equal(decodeReadCapacity16Cdb(cdb, 0), 32)
  encodeReadCapacity10Cdb(cdb.fill(0), 0)
  t.equal(cdb[0], 0x25)
})

t.test('standard INQUIRY data go there and back', async (t) => {
  const inquiry = {
    peripheral: Peripheral.DirectAccess,
    version: 6,
    implicitAsymmetricAccess: true,
    thirdPartyCopy: true,
    commandQueuing: true,
    vendor: 'PLATTER',
    product: 'PARTITION',
    revision: '0.1',
    versionDescriptors: [VersionDescriptor.Spc4, VersionDescriptor.Sbc3],
  }
  const data = encodeStandardInquiry(inquiry)
  t.same(decodeStandardInquiry(data), inquiry)
  t.equal(data[4], data.length - 5, 'ADDITIONAL LENGTH')
  t.equal((data[3] as number) & 0x0f, 2, 'RESPONSE DATA FORMAT')
  t.equal(data.toString('latin1', 8, 36), 'PLATTER PARTITION       0.1 ')
  t.same(decodeStandardInquiry(data.subarray(0, 36)).versionDescriptors, [])
  t.throws(() => decodeStandardInquiry(data.subarray(0, 35)), RangeError)
  t.throws(() => encodeStandardInquiry({ ...inquiry, vendor: 'TOO LONG?' }), RangeError)
  t.throws(() => encodeStandardInquiry({ ...inquiry, product: 'ü' }), RangeError)
  t.throws(
    () => encodeStandardInquiry({ ...inquiry, versionDescriptors: new Array(9).fill(1) }),
    RangeError,
  )
})

t.test('an INQUIRY CDB goes there and back', async (t) => {
  for (const vitalProductData of [true, false]) {
    const fields = { vitalProductData, pageCode: 0x83, allocationLength: 0x1234 }
    const cdb = Buffer.alloc(10)
    encodeInquiryCdb(cdb, 4, fields)
    t.same(decodeInquiryCdb(cdb, 4), fields)
  }
})

t.test('REPORT SUPPORTED OPERATION CODES goes there and back', async (t) => {
  const fields = {
    timeouts: true,
    reportingOptions: 3,
    opcode: 0x9e,
    serviceAction: 0x10,
    allocationLength: 65535,
  }
  const cdb = Buffer.alloc(12)
  encodeReportOpcodesCdb(cdb, 0, fields)
  t.same(decodeReportOpcodesCdb(cdb, 0), fields)
  const commands = [
    { opcode: 0x28, cdbLength: 10 },
    { opcode: 0x9e, serviceAction: 0, cdbLength: 16 },
    { opcode: 0x9e, serviceAction: 0x10, cdbLength: 16 },
  ]
  for (const timeouts of [true, false]) {
    const all = encodeAllCommands(commands, timeouts)
    t.equal(all.length, 4 + 3 * (timeouts ? 20 : 8))
    t.same(decodeAllCommands(all), commands)
    t.same(decodeAllCommands(all.subarray(0, all.length - 1 - (timeouts ? 12 : 0))).length, 2)
    const usage = Uint8Array.of(0x28, 0xf8, 0xff)
    const one = encodeOneCommand(usage, timeouts)
    t.same(decodeOneCommand(one), Buffer.from(usage))
    t.equal(one.length, timeouts ? 19 : 7)
    t.equal(one[1], timeouts ? 0x83 : 0x03)
    t.equal(decodeOneCommand(encodeOneCommand(undefined, timeouts)), undefined)
  }
  t.throws(() => decodeAllCommands(Buffer.alloc(3)), RangeError)
  t.throws(() => decodeOneCommand(Buffer.alloc(3)), RangeError)
})

t.test('supported task management functions go there and back', async (t) => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.boolean(), fc.nat(0xffffffff), (functions, extended, length) => {
      const fields = { extended, allocationLength: length }
      const cdb = Buffer.alloc(15)
      encodeReportFunctionsCdb(cdb, 3, fields)
      t.equal(cdb.toString('hex', 3, 5), 'a30d')
      t.same(decodeReportFunctionsCdb(cdb, 3), fields)
      const data = encodeTaskFunctions(functions, extended)
      t.equal(decodeTaskFunctions(data), functions)
      t.same([data.length, data[3]], extended ? [16, 12] : [4, 0])
    }),
  )
  t.equal(TaskFunction.AbortTask | TaskFunction.TargetReset | TaskFunction.ITNexusReset, 0x8201)
  t.throws(() => decodeTaskFunctions(Buffer.alloc(3)), RangeError)
})

t.test('target port groups go there and back', async (t) => {
  const u16 = fc.nat(0xffff)
  const group = fc.record({
    state: fc.nat(15),
    supportedStates: fc.nat(255),
    targetPortGroup: u16,
    ports: fc.array(u16, { maxLength: 4 }),
  })
  fc.assert(
    fc.property(
      fc.array(group, { minLength: 1 }),
      fc.boolean(),
      fc.nat(0xffffffff),
      (groups, extended, length) => {
        const fields = { format: extended ? 1 : 0, allocationLength: length }
        const cdb = Buffer.alloc(15)
        encodeTargetPortGroupsCdb(cdb, 3, fields)
        t.same(decodeTargetPortGroupsCdb(cdb, 3), fields)
        const data = encodeTargetPortGroups(groups, extended)
        t.same(decodeTargetPortGroups(data, extended), groups)
        t.same(decodeTargetPortGroups(data.subarray(0, -1), extended), groups.slice(0, -1))
      },
    ),
    { examples: [[[{ state: 0, supportedStates: 1, targetPortGroup: 1, ports: [1] }], true, 64]] },
  )
  t.throws(() => decodeTargetPortGroups(Buffer.alloc(3), false), RangeError)
})
