/** What a unit says of itself: INQUIRY, MODE SENSE, the opcode report, and the small commands. */
import {
  decodeAllCommands,
  decodeBlockDeviceCharacteristics,
  decodeBlockLimits,
  decodeCachingPage,
  decodeCapacity16,
  decodeControlPage,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeLogicalBlockProvisioning,
  decodeModeParameters6,
  decodeModeParameters10,
  decodeOneCommand,
  decodeSense,
  decodeStandardInquiry,
  decodeSupportedPages,
  decodeTargetPortGroups,
  decodeTaskFunctions,
  decodeUnitSerialNumber,
  encodeInquiryCdb,
  encodeModeSenseCdb,
  encodeReadCapacity16Cdb,
  encodeReportFunctionsCdb,
  encodeReportOpcodesCdb,
  encodeRequestSenseCdb,
  encodeTargetPortGroupsCdb,
  findModePage,
  ModePage,
  Opcode,
  PageControl,
  ReportingOptions,
  VersionDescriptor,
  VpdPage,
} from '@platter/protocol/scsi'
import t from 'tap'
import { LogicalUnit, type LogicalUnitOptions } from '../../src/scsi/logical-unit.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { nexusTransport } from '../support/nexus-transport.ts'
import { cdbOf, run, serve, verdict } from '../support/scsi-run.ts'
import { ShownUnits } from '../support/shown-units.ts'

const MIB = 1024 * 1024
const UUID = '7b2d6f0a-5d0e-4c8f-9a11-0123456789ab'

const TARGET = nexusTransport().targetDevice

const makeUnit = (options: Partial<LogicalUnitOptions> = {}): LogicalUnit =>
  new LogicalUnit({
    volume: new MemoryVolume('array/films', 64 * MIB, 512),
    uuid: UUID,
    name: 'films',
    ...options,
  })

const inquiryCdb = (pageCode: number | null, allocationLength = 4096): Buffer =>
  cdbOf((cdb, at) =>
    encodeInquiryCdb(cdb, at, {
      vitalProductData: pageCode !== null,
      pageCode: pageCode ?? 0,
      allocationLength,
    }),
  )

t.test(
  'standard INQUIRY data are those of an SPC-4 disk, cut at the allocation length',
  async (t) => {
    const execute = await serve(makeUnit())
    const data = (await execute(inquiryCdb(null))).data as Buffer
    t.match(decodeStandardInquiry(data), {
      peripheral: 0,
      version: 6,
      implicitAsymmetricAccess: true,
      commandQueuing: true,
      vendor: 'PLATTER',
      product: 'PARTITION',
    })
    const claimed = decodeStandardInquiry(data).versionDescriptors
    for (const descriptor of Object.values(VersionDescriptor)) t.ok(claimed.includes(descriptor))
    for (const length of [0, 1, 5, 36, 95, 96, 97]) {
      const cut = await execute(inquiryCdb(null, length))
      t.equal(verdict(cut), 'GOOD')
      t.same(cut.data ?? Buffer.alloc(0), data.subarray(0, length))
    }
    t.equal(
      verdict(await execute([Opcode.Inquiry, 0, 0x83, 0, 255, 0])),
      '05/24/00',
      'page without EVPD',
    )
  },
)

t.test('the transport is claimed by the version descriptor of its nexus', async (t) => {
  const server = new ShownUnits()
  server.addUnit(0, makeUnit())
  for (const versionDescriptor of [0x0960, 0x0961, 0x0962]) {
    const nexus = server.openNexus(`${TARGET},i,0x1`, nexusTransport({ versionDescriptor }))
    for (const lun of [0, 9]) {
      const { data } = await run(server, { nexus, lun, cdb: inquiryCdb(null) })
      const iscsi = decodeStandardInquiry(data as Buffer).versionDescriptors.filter(
        (descriptor) => descriptor >> 5 === 0x0960 >> 5,
      )
      t.same(iscsi, [versionDescriptor])
    }
  }
})

t.test('every VPD page that page 00h lists is there, in order, and no other', async (t) => {
  const execute = await serve(makeUnit())
  const listed = decodeSupportedPages((await execute(inquiryCdb(0))).data as Buffer)
  t.same(listed, [0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2])
  for (let code = 0; code < 256; code += 1) {
    const outcome = await execute(inquiryCdb(code, 255))
    t.equal(verdict(outcome), listed.includes(code) ? 'GOOD' : '05/24/00')
    if (outcome.data) t.equal(outcome.data[1], code)
  }
})

t.test('VPD pages tell the identity and limits of the unit', async (t) => {
  const unit = makeUnit({
    optimalTransferGranularityBytes: 64 * 1024,
    optimalTransferBytes: 256 * 1024,
    rotationRate: 7200,
  })
  const execute = await serve(unit)
  const page = async (code: VpdPage): Promise<Buffer> =>
    (await execute(inquiryCdb(code))).data as Buffer
  t.equal(decodeUnitSerialNumber(await page(VpdPage.UnitSerialNumber)), UUID.replaceAll('-', ''))
  const designators = decodeDeviceIdentification(await page(VpdPage.DeviceIdentification))
  t.same(
    designators.map(({ association, value }) => [association, value.toString('latin1')]),
    [
      [0, Buffer.from('3a110123456789ab', 'hex').toString('latin1')],
      [0, `PLATTER ${UUID}`],
      [0, 'films'],
      [1, '\0\0\0\x01'],
      [1, '\0\0\0\x01'],
      [1, `${TARGET},t,0x0001\0`.padEnd(40, '\0')],
      [2, `${TARGET}\0\0`],
    ],
  )
  t.match(decodeBlockLimits(await page(VpdPage.BlockLimits)), {
    transferBlocksMax: 32768,
    optimalTransferGranularityBlocks: 128,
    optimalTransferBlocks: 512,
    unmapBlocksMax: 512 * 1024,
    unmapDescriptorsMax: 256,
    optimalUnmapGranularityBlocks: 8,
    writeSameBlocksMax: 32768,
    writeSameNonZero: false,
    compareAndWriteBlocksMax: 64,
  })
  const characteristics = await page(VpdPage.BlockDeviceCharacteristics)
  t.equal(decodeBlockDeviceCharacteristics(characteristics), 7200)
  t.equal(characteristics.readUInt8(7) >> 6, 1, 'WABEREQ')
  t.match(decodeExtendedInquiry(await page(VpdPage.ExtendedInquiry)), { volatileCache: true })
  const provisioning = decodeLogicalBlockProvisioning(await page(VpdPage.LogicalBlockProvisioning))
  const capacity = decodeCapacity16((await execute(cdbOf(encodeReadCapacity16Cdb))).data as Buffer)
  t.equal(provisioning.unmap, capacity.provisioningManaged)
  t.equal(provisioning.readsZeros, capacity.readsZeros)
  t.same(provisioning, {
    unmap: true,
    writeSame16: true,
    writeSame10: false,
    readsZeros: true,
    provisioningType: 2,
  })
})

t.test('a unit that cannot be is refused', async (t) => {
  t.throws(() => makeUnit({ uuid: 'films' }), RangeError)
  t.throws(() => makeUnit({ volume: new MemoryVolume('v', MIB, 4096) }), /multiple of 4096/)
  t.throws(() => makeUnit({ volume: new MemoryVolume('v', 0, 512) }), /want a block of 512/)
  t.equal(
    makeUnit({ volume: new MemoryVolume('v', MIB, 4096), blockSizeBytes: 4096 }).capacityBlocks,
    256,
  )
})

const modeSense = {
  disableBlockDescriptor: false,
  longLba: false,
  pageControl: PageControl.Current as number,
  pageCode: ModePage.All as number,
  subpageCode: 0,
  allocationLength: 255,
}
const modeSenseCdb = (
  opcode: typeof Opcode.ModeSense6 | typeof Opcode.ModeSense10,
  fields: Partial<typeof modeSense>,
): Buffer => cdbOf((cdb, at) => encodeModeSenseCdb(cdb, at, opcode, { ...modeSense, ...fields }))

t.test('MODE SENSE gives the pages, the cache being one that must be synchronized', async (t) => {
  const execute = await serve(makeUnit())
  const six = decodeModeParameters6(
    (await execute(modeSenseCdb(Opcode.ModeSense6, {}))).data as Buffer,
  )
  const ten = decodeModeParameters10(
    (await execute(modeSenseCdb(Opcode.ModeSense10, {}))).data as Buffer,
  )
  const long = await execute(modeSenseCdb(Opcode.ModeSense10, { longLba: true }))
  for (const parameters of [six, ten, decodeModeParameters10(long.data as Buffer)]) {
    t.match(parameters, {
      writeProtected: false,
      dpoFua: true,
      blockDescriptor: { blockCount: 131072, blockSizeBytes: 512 },
    })
    t.same(parameters.pages, six.pages)
  }
  t.same(decodeCachingPage(findModePage(six.pages, ModePage.Caching) as Buffer), {
    writeCacheEnabled: true,
    readCacheDisabled: false,
  })
  t.equal(
    decodeControlPage(findModePage(six.pages, ModePage.Control) as Buffer).descriptorSense,
    false,
  )
  for (const pageCode of [0x01, 0x08, 0x0a, 0x1c]) {
    const one = await execute(
      modeSenseCdb(Opcode.ModeSense6, { pageCode, disableBlockDescriptor: true }),
    )
    const parameters = decodeModeParameters6(one.data as Buffer)
    t.same(parameters.pages, findModePage(six.pages, pageCode))
    t.equal(parameters.blockDescriptor, undefined)
  }
  const cut = await execute(modeSenseCdb(Opcode.ModeSense6, { allocationLength: 4 }))
  t.equal(cut.data?.length, 4)
  t.equal(cut.data?.[0], 11 + six.pages.length, 'the length before it was cut')
})

t.test(
  'MODE SENSE has three bits that are changeable, the same defaults, and nothing saved',
  async (t) => {
    const execute = await serve(makeUnit({ writeProtected: true }))
    const pages = async (pageControl: number): Promise<Buffer> => {
      const { data } = await execute(modeSenseCdb(Opcode.ModeSense6, { pageControl }))
      const parameters = decodeModeParameters6(data as Buffer)
      t.equal(parameters.writeProtected, true)
      return parameters.pages
    }
    t.same(await pages(PageControl.Default), await pages(PageControl.Current))
    const mask = await pages(PageControl.Changeable)
    for (const pageCode of [0x01, 0x08, 0x0a, 0x1c]) {
      const bits = { [ModePage.Control]: '040008', [ModePage.Caching]: '04' }[pageCode] ?? ''
      t.match(findModePage(mask, pageCode)?.toString('hex', 2), new RegExp(`^${bits}0*$`))
    }
    const refused = { pageControl: PageControl.Saved }
    t.equal(verdict(await execute(modeSenseCdb(Opcode.ModeSense6, refused))), '05/39/00')
    t.equal(
      verdict(await execute(modeSenseCdb(Opcode.ModeSense10, { pageCode: 0x02 }))),
      '05/24/00',
    )
    t.equal(
      verdict(await execute(modeSenseCdb(Opcode.ModeSense10, { subpageCode: 1 }))),
      '05/24/00',
    )
    t.equal(verdict(await execute(modeSenseCdb(Opcode.ModeSense10, { subpageCode: 0xff }))), 'GOOD')
  },
)

const opcodesCdb = (
  reportingOptions: number,
  opcode = 0,
  serviceAction = 0,
  timeouts = false,
): Buffer =>
  cdbOf((cdb, at) =>
    encodeReportOpcodesCdb(cdb, at, {
      timeouts,
      reportingOptions,
      opcode,
      serviceAction,
      allocationLength: 65535,
    }),
  )

t.test('the opcode report lists what is supported and nothing else', async (t) => {
  const execute = await serve(makeUnit())
  const all = decodeAllCommands((await execute(opcodesCdb(ReportingOptions.All))).data as Buffer)
  const listed = new Set(all.map(({ opcode }) => opcode))
  for (let opcode = 0; opcode < 256; opcode += 1) {
    const known = listed.has(opcode)
    const outcome = await execute([opcode, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    t.equal(verdict(outcome) === '05/20/00', !known, `operation code ${opcode}`)
  }
  const timeouts = await execute(opcodesCdb(ReportingOptions.All, 0, 0, true))
  t.same(decodeAllCommands(timeouts.data as Buffer), all)
  t.equal(timeouts.data?.length, 4 + all.length * 20)
})

t.test('the opcode report on one command suits every option', async (t) => {
  const execute = await serve(makeUnit())
  const all = decodeAllCommands((await execute(opcodesCdb(ReportingOptions.All))).data as Buffer)
  for (const { opcode, serviceAction, cdbLength } of all) {
    const withAction = serviceAction !== undefined
    const ask = (options: number): Promise<Awaited<ReturnType<typeof execute>>> =>
      execute(opcodesCdb(options, opcode, serviceAction ?? 0))
    const either = await ask(ReportingOptions.OpcodeOrServiceAction)
    const usage = decodeOneCommand(either.data as Buffer) as Buffer
    t.equal(usage.length, cdbLength)
    t.equal(usage[0], opcode)
    t.equal(usage[cdbLength - 1], 0x04, 'NACA is looked at')
    if (withAction) t.equal((usage[1] as number) & 0x1f, serviceAction)
    const right = await ask(withAction ? ReportingOptions.ServiceAction : ReportingOptions.Opcode)
    t.same(right.data, either.data)
    const wrong = await ask(withAction ? ReportingOptions.Opcode : ReportingOptions.ServiceAction)
    t.equal(verdict(wrong), '05/24/00')
  }
  const unsupported = [
    opcodesCdb(ReportingOptions.Opcode, 0xff),
    opcodesCdb(ReportingOptions.ServiceAction, 0xff, 1),
    opcodesCdb(ReportingOptions.ServiceAction, Opcode.ServiceActionIn16, 0x1f),
    opcodesCdb(ReportingOptions.OpcodeOrServiceAction, Opcode.Read10, 1),
  ]
  for (const cdb of unsupported) {
    t.equal(decodeOneCommand((await execute(cdb)).data as Buffer), undefined)
  }
  t.equal(verdict(await execute(opcodesCdb(4))), '05/24/00')
  const dpoFua = decodeOneCommand((await execute(opcodesCdb(1, Opcode.Write16))).data as Buffer)
  t.equal((dpoFua?.[1] as number) & 0x18, 0x18, 'as the DPOFUA bit of MODE SENSE says')
})

t.test('START is as done, and what would stop or eject is refused', async (t) => {
  const execute = await serve(makeUnit())
  t.equal(verdict(await execute([Opcode.StartStopUnit, 0, 0, 0, 0x01, 0])), 'GOOD')
  for (const flags of [0x00, 0x02, 0x03, 0x11, 0x30]) {
    t.equal(verdict(await execute([Opcode.StartStopUnit, 0, 0, 0, flags, 0])), '05/24/00')
  }
  for (const [prevent, expected] of [
    [0, 'GOOD'],
    [1, 'GOOD'],
    [2, '05/24/00'],
    [3, '05/24/00'],
  ] as const) {
    const cdb = [Opcode.PreventAllowMediumRemoval, 0, 0, 0, prevent, 0]
    t.equal(verdict(await execute(cdb)), expected)
  }
})

t.test('REQUEST SENSE answers in the format asked for', async (t) => {
  const execute = await serve(makeUnit())
  for (const descriptorFormat of [true, false]) {
    const cdb = cdbOf((cdb, at) =>
      encodeRequestSenseCdb(cdb, at, { descriptorFormat, allocationLength: 252 }),
    )
    const data = (await execute(cdb)).data as Buffer
    t.equal(data[0], descriptorFormat ? 0x72 : 0x70)
    t.match(decodeSense(data), { senseKey: 0, additionalSenseCode: 0 })
  }
})

t.test('the task management functions that work are told, in both forms', async (t) => {
  const execute = await serve(makeUnit())
  for (const extended of [false, true]) {
    const cdb = cdbOf((bytes, at) =>
      encodeReportFunctionsCdb(bytes, at, { extended, allocationLength: 64 }),
    )
    const data = (await execute(cdb)).data as Buffer
    t.equal(data.length, extended ? 16 : 4)
    t.equal(decodeTaskFunctions(data), 0xda00)
  }
})

t.test('the one target port is in one group, active and optimized', async (t) => {
  const execute = await serve(makeUnit())
  const ask = (format: number) =>
    execute(
      cdbOf((bytes, at) => encodeTargetPortGroupsCdb(bytes, at, { format, allocationLength: 64 })),
    )
  for (const format of [0, 1]) {
    const data = (await ask(format)).data as Buffer
    t.same(decodeTargetPortGroups(data, format === 1), [
      { state: 0, supportedStates: 1, targetPortGroup: 1, ports: [1] },
    ])
  }
  t.equal(verdict(await ask(2)), '05/24/00')
})

t.test('a service action that is not there is a wrong field of a command that is', async (t) => {
  const execute = await serve(makeUnit())
  for (const opcode of [Opcode.PersistentReserveIn, Opcode.ServiceActionIn16]) {
    const outcome = await execute([opcode, 0x1f])
    t.equal(verdict(outcome), '05/24/00')
    t.same(decodeSense(outcome.sense as Buffer).cdbField, { byte: 1, bit: 4 })
  }
  t.equal(verdict(await execute([0xff, 0x1f])), '05/20/00')
})
