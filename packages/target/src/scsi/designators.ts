/** What identifies a logical unit and the target port that it is reached by (VPD page 83h). */
import { Association, CodeSet, type Designator, DesignatorType } from '@platter/protocol/scsi'
import type { LogicalUnit } from './logical-unit.ts'
import { RELATIVE_TARGET_PORT, TARGET_PORT_GROUP } from './target-port.ts'

export const VENDOR = 'PLATTER'

/** The designators of the unit, and those of the port. */
export function designatorsOf(unit: LogicalUnit): Designator[] {
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
