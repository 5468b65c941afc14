/** INQUIRY (SPC-4 section 6.6): standard data, and every VPD page a unit has. */
import {
  Association,
  CodeSet,
  type Designator,
  DesignatorType,
  decodeInquiryCdb,
  encodeBlockDeviceCharacteristics,
  encodeBlockLimits,
  encodeDeviceIdentification,
  encodeExtendedInquiry,
  encodeLogicalBlockProvisioning,
  encodeStandardInquiry,
  encodeSupportedPages,
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
import { type LogicalUnit, UNMAP_DESCRIPTORS_MAX } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { RELATIVE_TARGET_PORT, TARGET_PORT_GROUP } from '../target-port.ts'

const VENDOR = 'PLATTER'
const PRODUCT = 'PARTITION'
const REVISION = '0.1'

function inquiry(task: ScsiTask, unit: LogicalUnit): void {
  const fields = decodeInquiryCdb(task.cdb, task.cdbPosition)
  if (!fields.vitalProductData) {
    if (fields.pageCode !== 0) fail(task, invalidFieldInCdb(2))
    else sendParameterData(task, standard(Peripheral.DirectAccess), fields.allocationLength)
    return
  }
  const encodePage = vpdPages.get(fields.pageCode)
  if (encodePage === undefined) fail(task, invalidFieldInCdb(2))
  else sendParameterData(task, encodePage(unit), fields.allocationLength)
}

/** Where no unit is, the standard data say so; there are no VPD pages. */
function inquiryWithoutUnit(task: ScsiTask): void {
  const fields = decodeInquiryCdb(task.cdb, task.cdbPosition)
  if (fields.vitalProductData) fail(task, invalidFieldInCdb(1, 0))
  else if (fields.pageCode !== 0) fail(task, invalidFieldInCdb(2))
  else sendParameterData(task, standard(Peripheral.Unsupported), fields.allocationLength)
}

function standard(peripheral: number): Buffer {
  return encodeStandardInquiry({
    peripheral,
    version: 0x06,
    implicitAsymmetricAccess: true,
    commandQueuing: true,
    vendor: VENDOR,
    product: PRODUCT,
    revision: REVISION,
    versionDescriptors: [
      VersionDescriptor.Sam5,
      VersionDescriptor.Iscsi,
      VersionDescriptor.Spc4,
      VersionDescriptor.Sbc3,
    ],
  })
}

/** The pages in ascending order, as page 00h lists them. */
const vpdPages: ReadonlyMap<number, (unit: LogicalUnit) => Buffer> = new Map([
  [VpdPage.SupportedPages, () => encodeSupportedPages([...vpdPages.keys()])],
  [VpdPage.UnitSerialNumber, (unit) => encodeUnitSerialNumber(unit.uuid.replaceAll('-', ''))],
  [VpdPage.DeviceIdentification, (unit) => encodeDeviceIdentification(designators(unit))],
  [VpdPage.ExtendedInquiry, extendedInquiry],
  [VpdPage.BlockLimits, blockLimits],
  [
    VpdPage.BlockDeviceCharacteristics,
    (unit) => encodeBlockDeviceCharacteristics(unit.rotationRate),
  ],
  [VpdPage.LogicalBlockProvisioning, logicalBlockProvisioning],
])

function designators(unit: LogicalUnit): Designator[] {
  const port = Buffer.alloc(4)
  port.writeUInt16BE(RELATIVE_TARGET_PORT, 2)
  const group = Buffer.alloc(4)
  group.writeUInt16BE(TARGET_PORT_GROUP, 2)
  return [
    {
      type: DesignatorType.Naa,
      codeSet: CodeSet.Binary,
      association: Association.LogicalUnit,
      value: locallyAssignedNaa(unit.uuid),
    },
    {
      type: DesignatorType.T10VendorId,
      codeSet: CodeSet.Ascii,
      association: Association.LogicalUnit,
      value: Buffer.from(VENDOR.padEnd(8) + unit.uuid, 'latin1'),
    },
    {
      type: DesignatorType.VendorSpecific,
      codeSet: CodeSet.Utf8,
      association: Association.LogicalUnit,
      value: Buffer.from(unit.name, 'utf8'),
    },
    {
      type: DesignatorType.RelativeTargetPort,
      codeSet: CodeSet.Binary,
      association: Association.TargetPort,
      value: port,
    },
    {
      type: DesignatorType.TargetPortGroup,
      codeSet: CodeSet.Binary,
      association: Association.TargetPort,
      value: group,
    },
  ]
}

/**
 * NAA 3h, locally assigned (SPC-4 section 7.8.6.4), for which nobody needs to own an IEEE company
 * id: its other 60 bits are the last 60 of the UUID, all of them random in version 4.
 */
function locallyAssignedNaa(uuid: string): Buffer {
  return Buffer.from(`3${uuid.replaceAll('-', '').slice(-15)}`, 'hex')
}

function extendedInquiry(): Buffer {
  return encodeExtendedInquiry({
    simpleTasks: true,
    orderedTasks: false,
    headOfQueueTasks: false,
    volatileCache: true,
  })
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
  execute: inquiry,
  executeWithoutUnit: inquiryWithoutUnit,
  passesUnitAttention: true,
}
