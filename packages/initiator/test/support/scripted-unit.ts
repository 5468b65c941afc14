/** Units that say of themselves what a test has them say, and answer no command but those that ask. */
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
  encodeLunList,
  encodeModeParameters6,
  encodeStandardInquiry,
  encodeSupportedPages,
  invalidFieldInCdb,
  invalidOpcode,
  Opcode,
  Peripheral,
  VpdPage,
} from '@platter/protocol/scsi'
import type { ScsiTask } from '../../src/session/task.ts'
import { endGood, endSense } from './fake-transport.ts'

/** What a unit answers with; a test changes some of it. */
export interface ScriptedUnit {
  peripheral: number
  vendor: string
  pages: Map<number, Buffer>
  capacity: Buffer
  mode: Buffer | null
}

/** A partition of Platter: 1000 blocks of 4096 bytes. */
export function scriptedUnit(name: string): ScriptedUnit {
  return {
    peripheral: Peripheral.DirectAccess,
    vendor: 'PLATTER',
    pages: new Map([
      [VpdPage.DeviceIdentification, namePage(name)],
      [VpdPage.BlockLimits, blockLimits(2048)],
    ]),
    capacity: capacity(1000, 4096),
    mode: encodeModeParameters6({
      writeProtected: false,
      dpoFua: true,
      pages: encodeCachingPage({ writeCacheEnabled: true, readCacheDisabled: false }),
    }),
  }
}

/** Answers a command to one of the units, by their LUNs. */
export function answerFrom(
  units: { get(lun: number): ScriptedUnit | undefined; keys(): Iterable<number> },
  task: ScsiTask,
): void {
  const lun = decodeLun(task.lun, 0)
  const [opcode] = task.cdb
  if (opcode === Opcode.ReportLuns) {
    const { allocationLength } = decodeReportLunsCdb(task.cdb, 0)
    if (lun !== 0) throw new Error('REPORT LUNS is for LUN 0')
    endGood(task, encodeLunList([...units.keys()]).subarray(0, allocationLength))
    return
  }
  const unit = units.get(lun ?? 0)
  if (unit === undefined) throw new Error(`there is no unit at LUN ${lun}`)
  if (opcode === Opcode.Inquiry) inquiry(unit, task)
  else if (opcode === Opcode.ServiceActionIn16) endGood(task, unit.capacity)
  else if (unit.mode === null) endSense(task, invalidOpcode)
  else endGood(task, unit.mode)
}

function inquiry(unit: ScriptedUnit, task: ScsiTask): void {
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

/** Device Identification of a unit that has but a name. */
export function namePage(name: string): Buffer {
  return encodeDeviceIdentification([
    {
      type: DesignatorType.VendorSpecific,
      codeSet: CodeSet.Utf8,
      association: Association.LogicalUnit,
      value: Buffer.from(name),
    },
  ])
}

export function blockLimits(transferBlocksMax: number, writeSameBlocksMax = 0): Buffer {
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

export function capacity(blockCount: number, blockSizeBytes: number): Buffer {
  return encodeCapacity16({
    lastLba: blockCount - 1,
    blockSizeBytes,
    physicalBlockExponent: 0,
    lowestAlignedLba: 0,
    provisioningManaged: false,
    readsZeros: false,
  })
}
