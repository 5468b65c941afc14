/** INQUIRY (SPC-4 section 6.6): standard data, and every VPD page a unit has. */
import {
  CopyResults,
  decodeInquiryCdb,
  encodeBlockDeviceCharacteristics,
  encodeBlockLimits,
  encodeDeviceIdentification,
  encodeExtendedInquiry,
  encodeLogicalBlockProvisioning,
  encodeStandardInquiry,
  encodeSupportedPages,
  encodeThirdPartyCopy,
  encodeUnitSerialNumber,
  invalidFieldInCdb,
  Opcode,
  Peripheral,
  ProvisioningType,
  VersionDescriptor,
  VpdPage,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, sendParameterData } from '../command.ts'
import { portDesignators, unitDesignators, VENDOR } from '../designators.ts'
import { type LogicalUnit, UNMAP_DESCRIPTORS_MAX } from '../logical-unit.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { copyLimits } from './extended-copy.ts'

const PRODUCT = 'PARTITION'
const REVISION = '0.1'

function inquiry(task: ScsiTask, unit: LogicalUnit, nexus: ScsiNexus): void {
  const fields = decodeInquiryCdb(task.cdb, task.cdbPosition)
  if (!fields.vitalProductData) {
    if (fields.pageCode !== 0) fail(task, invalidFieldInCdb(2))
    else sendParameterData(task, standard(Peripheral.DirectAccess, nexus), fields.allocationLength)
    return
  }
  const encodePage = vpdPages.get(fields.pageCode)
  if (encodePage === undefined) fail(task, invalidFieldInCdb(2))
  else sendParameterData(task, encodePage(unit, nexus), fields.allocationLength)
}

/** Where no unit is, the standard data say so; there are no VPD pages. */
function inquiryWithoutUnit(task: ScsiTask, nexus: ScsiNexus): void {
  const fields = decodeInquiryCdb(task.cdb, task.cdbPosition)
  if (fields.vitalProductData) fail(task, invalidFieldInCdb(1, 0))
  else if (fields.pageCode !== 0) fail(task, invalidFieldInCdb(2))
  else sendParameterData(task, standard(Peripheral.Unsupported, nexus), fields.allocationLength)
}

function standard(peripheral: number, { transport }: ScsiNexus): Buffer {
  return encodeStandardInquiry({
    peripheral,
    version: 0x06,
    implicitAsymmetricAccess: true,
    thirdPartyCopy: true,
    commandQueuing: true,
    vendor: VENDOR,
    product: PRODUCT,
    revision: REVISION,
    versionDescriptors: [
      VersionDescriptor.Sam5,
      ...(transport === undefined ? [] : [transport.versionDescriptor]),
      VersionDescriptor.Spc4,
      VersionDescriptor.Sbc3,
    ],
  })
}

/** The pages in ascending order, as page 00h lists them. */
const vpdPages: ReadonlyMap<number, (unit: LogicalUnit, nexus: ScsiNexus) => Buffer> = new Map([
  [VpdPage.SupportedPages, () => encodeSupportedPages([...vpdPages.keys()])],
  [VpdPage.UnitSerialNumber, (unit) => encodeUnitSerialNumber(unit.uuid.replaceAll('-', ''))],
  [VpdPage.DeviceIdentification, deviceIdentification],
  [VpdPage.ExtendedInquiry, extendedInquiry],
  [VpdPage.ThirdPartyCopy, thirdPartyCopy],
  [VpdPage.BlockLimits, blockLimits],
  [
    VpdPage.BlockDeviceCharacteristics,
    (unit) => encodeBlockDeviceCharacteristics(unit.rotationRate),
  ],
  [VpdPage.LogicalBlockProvisioning, logicalBlockProvisioning],
])

function deviceIdentification(unit: LogicalUnit, { transport }: ScsiNexus): Buffer {
  return encodeDeviceIdentification([...unitDesignators(unit), ...portDesignators(transport)])
}

function extendedInquiry(): Buffer {
  return encodeExtendedInquiry({
    simpleTasks: true,
    orderedTasks: true,
    headOfQueueTasks: true,
    volatileCache: true,
  })
}

function thirdPartyCopy(): Buffer {
  const { CopyStatus, OperatingParameters } = CopyResults
  return encodeThirdPartyCopy(copyLimits, [
    { opcode: Opcode.ExtendedCopy, serviceActions: [0] },
    { opcode: Opcode.ReceiveCopyResults, serviceActions: [CopyStatus, OperatingParameters] },
  ])
}

function blockLimits(unit: LogicalUnit): Buffer {
  return encodeBlockLimits({
    writeSameNonZero: false,
    compareAndWriteBlocksMax: unit.compareAndWriteBlocksMax,
    optimalTransferGranularityBlocks: unit.optimalTransferGranularityBlocks,
    transferBlocksMax: unit.transferBlocksMax,
    optimalTransferBlocks: unit.optimalTransferBlocks,
    unmapBlocksMax: unit.unmapBlocksMax,
    unmapDescriptorsMax: UNMAP_DESCRIPTORS_MAX,
    optimalUnmapGranularityBlocks: unit.optimalUnmapGranularityBlocks,
    writeSameBlocksMax: unit.writeSameBlocksMax,
    atomicBlocksMax: unit.atomicBlocksMax,
    atomicAlignmentBlocks: 0,
    atomicGranularityBlocks: 0,
    // With or without boundaries, all of a command is written as one.
    atomicBlocksMaxWithBoundary: unit.atomicBlocksMax,
    atomicBoundaryMax: unit.atomicBlocksMax,
  })
}

/** Agrees with LBPME and LBPRZ of READ CAPACITY(16): thin, since disk files are sparse. */
function logicalBlockProvisioning(): Buffer {
  return encodeLogicalBlockProvisioning({
    unmap: true,
    writeSame16: true,
    writeSame10: false,
    readsZeros: true,
    provisioningType: ProvisioningType.Thin,
  })
}

export const inquiryCommand: Command = {
  name: 'INQUIRY',
  opcode: Opcode.Inquiry,
  usage: Uint8Array.of(Opcode.Inquiry, 0x01, 0xff, 0xff, 0xff, CONTROL_USAGE),
  access: 'nothing',
  effect: 'none',
  execute: inquiry,
  executeWithoutUnit: inquiryWithoutUnit,
  passesUnitAttention: true,
}
