import t from 'tap'
import {
  decodeCachingPage,
  decodeControlPage,
  decodeInformationalExceptionsPage,
  decodeModeParameters6,
  decodeModeParameters10,
  decodeModeSenseCdb,
  encodeCachingPage,
  encodeControlPage,
  encodeInformationalExceptionsPage,
  encodeModeParameters6,
  encodeModeParameters10,
  encodeModeSenseCdb,
  encodeReadWriteErrorRecoveryPage,
  findModePage,
  ModePage,
} from '../../src/scsi/mode-page.ts'
import { Opcode } from '../../src/scsi/opcode.ts'
import {
  Association,
  CodeSet,
  DesignatorType,
  decodeBlockDeviceCharacteristics,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeExtendedInquiry,
  decodeLogicalBlockProvisioning,
  decodeSupportedPages,
  decodeUnitSerialNumber,
  encodeBlockDeviceCharacteristics,
  encodeBlockLimits,
  encodeDeviceIdentification,
  encodeExtendedInquiry,
  encodeLogicalBlockProvisioning,
  encodeSupportedPages,
  encodeUnitSerialNumber,
} from '../../src/scsi/vpd.ts'

t.test('VPD pages go there and back', async (t) => {
  t.same(decodeSupportedPages(encodeSupportedPages([0, 0x80, 0xb0])), [0, 0x80, 0xb0])
  t.equal(decodeUnitSerialNumber(encodeUnitSerialNumber('0123abc')), '0123abc')
  t.equal(decodeBlockDeviceCharacteristics(encodeBlockDeviceCharacteristics(7200)), 7200)
  for (const on of [true, false]) {
    const inquiry = { simpleTasks: on, orderedTasks: !on, headOfQueueTasks: on, volatileCache: on }
    t.same(decodeExtendedInquiry(encodeExtendedInquiry(inquiry)), inquiry)
    const provisioning = {
      unmap: on,
      writeSame16: !on,
      writeSame10: on,
      readsZeros: on,
      provisioningType: 2,
    }
    t.same(
      decodeLogicalBlockProvisioning(encodeLogicalBlockProvisioning(provisioning)),
      provisioning,
    )
  }
})

t.test('block limits go there and back, and in the short form of SBC-2', async (t) => {
  const limits = {
    writeSameNonZero: true,
    compareAndWriteBlocksMax: 1,
    optimalTransferGranularityBlocks: 128,
    transferBlocksMax: 32768,
    optimalTransferBlocks: 512,
    unmapBlocksMax: 0x10000,
    unmapDescriptorsMax: 16,
    optimalUnmapGranularityBlocks: 8,
    writeSameBlocksMax: 2 ** 40,
    atomicBlocksMax: 2048,
    atomicAlignmentBlocks: 8,
    atomicGranularityBlocks: 4,
    atomicBlocksMaxWithBoundary: 1024,
    atomicBoundaryMax: 256,
  }
  const page = encodeBlockLimits(limits)
  t.equal(page.toString('hex', 0, 4), '00b0003c')
  t.equal(page.toString('hex', 28, 36), '0000000880000000', 'units of 8 blocks from LBA 0 on')
  t.equal(page.toString('hex', 44), '0000080000000008000000040000040000000100')
  t.same(decodeBlockLimits(page), limits)
  const none = encodeBlockLimits({ ...limits, optimalUnmapGranularityBlocks: 0 })
  t.equal(none.toString('hex', 28, 36), '0000000000000000', 'no granularity, no alignment')
  t.match(decodeBlockLimits(page.subarray(0, 16)), {
    optimalTransferBlocks: 512,
    unmapBlocksMax: 0,
    writeSameBlocksMax: 0,
    atomicBlocksMax: 0,
    atomicBoundaryMax: 0,
  })
})

t.test('designators go there and back, and a cut one is left out', async (t) => {
  const designators = [
    {
      type: DesignatorType.Naa,
      codeSet: CodeSet.Binary,
      association: Association.LogicalUnit,
      value: Buffer.from('3123456789abcdef', 'hex'),
    },
    {
      type: DesignatorType.RelativeTargetPort,
      codeSet: CodeSet.Binary,
      association: Association.TargetPort,
      value: Buffer.from([0, 0, 0, 1]),
    },
  ]
  const page = encodeDeviceIdentification(designators)
  t.equal(
    page.toString('hex'),
    '00830014' + '01030008' + '3123456789abcdef' + '51940004' + '00000001',
    'PIV and iSCSI for the port',
  )
  t.same(decodeDeviceIdentification(page), designators)
  t.same(decodeDeviceIdentification(page.subarray(0, 20)), designators.slice(0, 1))
})

t.test('a VPD page of another code, or a cut one, is refused', async (t) => {
  t.throws(() => decodeUnitSerialNumber(encodeSupportedPages([0])), /got page 0h .* want page 80h/)
  t.throws(() => decodeBlockLimits(encodeBlockDeviceCharacteristics(1)), RangeError)
  t.throws(() => decodeSupportedPages(Buffer.alloc(3)), /no page/)
  t.throws(
    () => decodeBlockDeviceCharacteristics(encodeBlockDeviceCharacteristics(1).subarray(0, 5)),
    RangeError,
  )
})

t.test('mode pages go there and back', async (t) => {
  for (const on of [true, false]) {
    const caching = { writeCacheEnabled: on, readCacheDisabled: !on }
    t.same(decodeCachingPage(encodeCachingPage(caching)), caching)
    const control = {
      descriptorSense: on,
      globalLoggingTargetSaveDisable: !on,
      queueAlgorithmModifier: on ? 1 : 0,
      softwareWriteProtect: on,
      taskAbortedStatus: !on,
    }
    t.same(decodeControlPage(encodeControlPage(control)), control)
    t.equal(decodeInformationalExceptionsPage(encodeInformationalExceptionsPage(on)), on)
  }
  t.equal(
    encodeCachingPage({ writeCacheEnabled: true, readCacheDisabled: false }).toString('hex', 0, 3),
    '081204',
  )
})

t.test('mode parameters go there and back behind both headers', async (t) => {
  const pages = Buffer.concat([
    encodeReadWriteErrorRecoveryPage(),
    encodeCachingPage({ writeCacheEnabled: true, readCacheDisabled: false }),
  ])
  const parameters = {
    writeProtected: true,
    dpoFua: true,
    blockDescriptor: { blockCount: 2 ** 31, blockSizeBytes: 512 },
    pages,
  }
  t.same(decodeModeParameters6(encodeModeParameters6(parameters)), parameters)
  for (const long of [true, false]) {
    t.same(decodeModeParameters10(encodeModeParameters10(parameters, long)), parameters)
  }
  const large = { ...parameters, blockDescriptor: { blockCount: 2 ** 40, blockSizeBytes: 512 } }
  t.same(decodeModeParameters10(encodeModeParameters10(large, true)), large)
  t.equal(
    decodeModeParameters6(encodeModeParameters6(large)).blockDescriptor?.blockCount,
    0xffffffff,
  )
  const bare = { writeProtected: false, dpoFua: false, pages }
  t.same(decodeModeParameters6(encodeModeParameters6(bare)), bare)
  t.same(decodeModeParameters10(encodeModeParameters10(bare, true)), bare)
  const data = encodeModeParameters6(parameters)
  t.equal(data[0], data.length - 1)
  t.same(decodeModeParameters6(data.subarray(0, 6)), {
    writeProtected: true,
    dpoFua: true,
    pages: Buffer.alloc(0),
  })
  t.throws(() => decodeModeParameters6(Buffer.alloc(3)), RangeError)
  t.throws(() => decodeModeParameters10(Buffer.alloc(7)), RangeError)
})

t.test('a mode page is found among others, whole or not at all', async (t) => {
  const subpage = Buffer.from([0x4a, 0x01, 0x00, 0x02, 0, 0])
  const caching = encodeCachingPage({ writeCacheEnabled: true, readCacheDisabled: false })
  const pages = Buffer.concat([subpage, encodeReadWriteErrorRecoveryPage(), caching])
  t.same(findModePage(pages, ModePage.Caching), caching)
  t.equal(findModePage(pages, ModePage.Control), undefined, 'a subpage is not the page')
  t.equal(findModePage(pages.subarray(0, pages.length - 1), ModePage.Caching), undefined)
  t.equal(findModePage(subpage.subarray(0, 3), ModePage.Control), undefined)
})

t.test('MODE SENSE CDBs go there and back', async (t) => {
  const fields = {
    disableBlockDescriptor: true,
    longLba: false,
    pageControl: 2,
    pageCode: 0x3f,
    subpageCode: 0xff,
    allocationLength: 192,
  }
  const cdb = Buffer.alloc(12)
  encodeModeSenseCdb(cdb, 1, Opcode.ModeSense6, fields)
  t.same(decodeModeSenseCdb(cdb, 1), fields)
  const ten = { ...fields, longLba: true, allocationLength: 4096 }
  encodeModeSenseCdb(cdb.fill(0), 1, Opcode.ModeSense10, ten)
  t.same(decodeModeSenseCdb(cdb, 1), ten)
  t.throws(() => encodeModeSenseCdb(cdb, 1, Opcode.ModeSense6, ten), /LLBAA/)
})
