import {
  Association,
  CodeSet,
  DesignatorType,
  decodeInquiryCdb,
  decodeLun,
  decodeReportLunsCdb,
  encodeBlockLimits,
  encodeCachingPage,
  encodeCapacity16,
  encodeDeviceIdentification,
  encodeLogicalBlockProvisioning,
  encodeLunList,
  encodeModeParameters6,
  encodeStandardInquiry,
  encodeSupportedPages,
  invalidFieldInCdb,
  invalidOpcode,
  Opcode,
  Peripheral,
  ProvisioningType,
  powerOnUnitAttention,
  VpdPage,
} from '@platter/protocol/scsi'
import t from 'tap'
import { inspectUnit, listLuns, readBlockCount } from '../../src/block/logical-unit.ts'
import type { ScsiTask } from '../../src/session/task.ts'
import { endError, endGood, endSense, FakeTransport } from '../support/fake-transport.ts'

/** What a unit answers with; a test changes some of it. */
interface Unit {
  peripheral: number
  vendor: string
  pages: Map<number, Buffer>
  capacity: Buffer
  mode: Buffer | null
  luns: Buffer
}

t.test('a partition of Platter is known by its name', async (t) => {
  const { transport } = setUp()
  t.strictSame(await inspectUnit(transport, 3), {
    name: 'scratch',
    lun: 3,
    blockSizeBytes: 4096,
    blockCount: 1000,
    readOnly: false,
    volatileCache: true,
    transferBlocksMax: 2048,
    transferBlocksOptimal: 64,
    transferBlocksGranularity: 16,
    writeSame: null,
  })
})

t.test('the unit attention that greets a new session is no hindrance', async (t) => {
  const { transport, answer } = setUp()
  let greeted = false
  transport.answer = (task) => {
    if (greeted) answer(task)
    else endSense(task, powerOnUnitAttention)
    greeted = true
  }
  t.match(await inspectUnit(transport, 0), { name: 'scratch' })
})

t.test('how blocks are made zeros, if the unit has a command for it', async (t) => {
  const { transport, unit } = setUp()
  const writeSame = async () => (await inspectUnit(transport, 0))?.writeSame
  const provisioning = (readsZeros: boolean) =>
    encodeLogicalBlockProvisioning({
      unmap: true,
      writeSame16: true,
      writeSame10: false,
      readsZeros,
      provisioningType: ProvisioningType.Thin,
    })
  unit.pages.set(VpdPage.BlockLimits, blockLimits(2048, 32768))
  t.strictSame(await writeSame(), { blocksMax: 32768, unmap: false })
  unit.pages.set(VpdPage.LogicalBlockProvisioning, provisioning(true))
  t.strictSame(await writeSame(), { blocksMax: 32768, unmap: true })
  unit.pages.set(VpdPage.BlockLimits, blockLimits(2048, 0))
  t.strictSame(await writeSame(), { blocksMax: 65536, unmap: true }, 'no limit told')
  unit.pages.set(VpdPage.LogicalBlockProvisioning, provisioning(false))
  t.equal(await writeSame(), null, 'what it unmaps may read as anything')
})

t.test('what is no disk is passed over', async (t) => {
  const { transport, unit } = setUp()
  for (const peripheral of [Peripheral.Unsupported, 0x0c, 0x05]) {
    unit.peripheral = peripheral
    t.equal(await inspectUnit(transport, 0), undefined)
  }
})

t.test('a unit of another make is named by its LUN, whatever it calls itself', async (t) => {
  const { transport, unit } = setUp()
  unit.vendor = 'IET'
  t.match(await inspectUnit(transport, 7), { name: 'lun7' })
})

t.test('a name that could not be that of a file is not taken', async (t) => {
  const { transport, unit } = setUp()
  for (const name of ['', '.', '..', 'a/b', 'a b', 'a\0b']) {
    unit.pages.set(VpdPage.DeviceIdentification, namePage(name))
    t.match(await inspectUnit(transport, 1), { name: 'lun1' }, JSON.stringify(name))
  }
})

t.test('a simple unit needs neither VPD nor mode pages', async (t) => {
  const { transport, unit } = setUp()
  unit.pages.clear()
  unit.mode = null
  t.match(await inspectUnit(transport, 2), {
    name: 'lun2',
    readOnly: false,
    volatileCache: true,
    transferBlocksMax: 0,
  })
})

t.test('mode pages tell of write protection and caches', async (t) => {
  const { transport, unit } = setUp()
  unit.mode = encodeModeParameters6({
    writeProtected: true,
    dpoFua: true,
    pages: encodeCachingPage({ writeCacheEnabled: false, readCacheDisabled: false }),
  })
  t.match(await inspectUnit(transport, 0), { readOnly: true, volatileCache: false })
})

t.test('a connection that is lost is an error, not a unit without pages', async (t) => {
  const { transport, answer } = setUp()
  transport.answer = (task) => {
    if (task.cdb[0] === Opcode.ModeSense6) endError(task, new Error('connection lost'))
    else answer(task)
  }
  await t.rejects(inspectUnit(transport, 0), /MODE SENSE\(6\): connection lost/)
})

t.test('blocks of a size that cannot be are refused', async (t) => {
  const { transport, unit } = setUp()
  for (const blockSizeBytes of [0, 256, 520, 1000]) {
    unit.capacity = capacity(10, blockSizeBytes)
    await t.rejects(inspectUnit(transport, 0), /wanted 512, 1024/)
  }
})

t.test('the size of a unit can be asked for again', async (t) => {
  const { transport, unit } = setUp()
  t.equal(await readBlockCount(transport, 0), 1000)
  unit.capacity = capacity(5000, 4096)
  t.equal(await readBlockCount(transport, 0), 5000)
})

t.test('a list of LUNs that is longer than the room for it is asked for again', async (t) => {
  const { transport, unit } = setUp()
  t.strictSame(await listLuns(transport), [0, 3])
  const many = Array.from({ length: 2000 }, (_, index) => index)
  unit.luns = encodeLunList(many)
  transport.executed = 0
  t.strictSame(await listLuns(transport), many)
  t.equal(transport.executed, 2)
})

function setUp() {
  const unit: Unit = {
    peripheral: Peripheral.DirectAccess,
    vendor: 'PLATTER',
    pages: new Map([
      [VpdPage.DeviceIdentification, namePage('scratch')],
      [VpdPage.BlockLimits, blockLimits(2048)],
    ]),
    capacity: capacity(1000, 4096),
    mode: encodeModeParameters6({
      writeProtected: false,
      dpoFua: true,
      pages: encodeCachingPage({ writeCacheEnabled: true, readCacheDisabled: false }),
    }),
    luns: encodeLunList([0, 3]),
  }
  const transport = new FakeTransport()
  const answer = (task: ScsiTask) => answerFrom(unit, task)
  transport.answer = answer
  return { unit, transport, answer }
}

function answerFrom(unit: Unit, task: ScsiTask): void {
  const [opcode] = task.cdb
  if (opcode === Opcode.Inquiry) inquiry(unit, task)
  else if (opcode === Opcode.ServiceActionIn16) endGood(task, unit.capacity)
  else if (opcode === Opcode.ReportLuns) reportLuns(unit, task)
  else if (unit.mode === null) endSense(task, invalidOpcode)
  else endGood(task, unit.mode)
}

function reportLuns(unit: Unit, task: ScsiTask): void {
  const { allocationLength } = decodeReportLunsCdb(task.cdb, 0)
  if (decodeLun(task.lun, 0) !== 0) throw new Error('REPORT LUNS is for LUN 0')
  endGood(task, unit.luns.subarray(0, allocationLength))
}

function inquiry(unit: Unit, task: ScsiTask): void {
  const { vitalProductData, pageCode } = decodeInquiryCdb(task.cdb, 0)
  if (!vitalProductData) {
    const { peripheral, vendor } = unit
    const rest = {
      version: 6,
      implicitAsymmetricAccess: false,
      thirdPartyCopy: false,
      commandQueuing: true,
      product: 'P',
      revision: '1',
    }
    endGood(task, encodeStandardInquiry({ peripheral, vendor, versionDescriptors: [], ...rest }))
    return
  }
  const pages = [...unit.pages.keys()]
  const list = pages.length > 0 ? encodeSupportedPages([0, ...pages]) : undefined
  const page = pageCode === VpdPage.SupportedPages ? list : unit.pages.get(pageCode)
  if (page === undefined) endSense(task, invalidFieldInCdb(2))
  else endGood(task, page)
}

function namePage(name: string): Buffer {
  return encodeDeviceIdentification([
    {
      type: DesignatorType.VendorSpecific,
      codeSet: CodeSet.Utf8,
      association: Association.LogicalUnit,
      value: Buffer.from(name),
    },
  ])
}

function blockLimits(transferBlocksMax: number, writeSameBlocksMax = 0): Buffer {
  return encodeBlockLimits({
    writeSameNonZero: false,
    compareAndWriteBlocksMax: 0,
    optimalTransferGranularityBlocks: 16,
    transferBlocksMax,
    optimalTransferBlocks: 64,
    unmapBlocksMax: 0,
    unmapDescriptorsMax: 0,
    optimalUnmapGranularityBlocks: 0,
    writeSameBlocksMax,
    atomicBlocksMax: 0,
    atomicAlignmentBlocks: 0,
    atomicGranularityBlocks: 0,
    atomicBlocksMaxWithBoundary: 0,
    atomicBoundaryMax: 0,
  })
}

function capacity(blockCount: number, blockSizeBytes: number): Buffer {
  return encodeCapacity16({
    lastLba: blockCount - 1,
    blockSizeBytes,
    physicalBlockExponent: 0,
    lowestAlignedLba: 0,
    provisioningManaged: false,
    readsZeros: false,
  })
}
