/** What identifies a logical unit and the target port that it is reached by (VPD page 83h). */
import { Association, CodeSet, type Designator, DesignatorType } from '@platter/protocol/scsi'
import type { LogicalUnit } from './logical-unit.ts'
import type { NexusTransport } from './scsi-task.ts'
import { RELATIVE_TARGET_PORT, TARGET_PORT_GROUP } from './target-port.ts'

export const VENDOR = 'PLATTER'

/** What names the unit itself, on whichever way. */
export function unitDesignators(unit: LogicalUnit): Designator[] {
  const association = Association.LogicalUnit
  return [
    {
      type: DesignatorType.Naa,
      codeSet: CodeSet.Binary,
      association,
      value: locallyAssignedNaa(unit.uuid),
    },
    {
      type: DesignatorType.T10VendorId,
      codeSet: CodeSet.Ascii,
      association,
      value: Buffer.from(VENDOR.padEnd(8) + unit.uuid, 'latin1'),
    },
    {
      type: DesignatorType.VendorSpecific,
      codeSet: CodeSet.Utf8,
      association,
      value: Buffer.from(unit.name, 'utf8'),
    },
  ]
}

/** What names the port and the device that the unit is reached by. */
export function portDesignators(transport: NexusTransport | undefined): Designator[] {
  const { TargetPort, TargetDevice } = Association
  const { RelativeTargetPort, TargetPortGroup } = DesignatorType
  const numbers = [
    numberOf(RelativeTargetPort, RELATIVE_TARGET_PORT),
    numberOf(TargetPortGroup, TARGET_PORT_GROUP),
  ]
  if (transport === undefined) return numbers
  const { targetPort, targetDevice } = transport
  return [...numbers, nameString(TargetPort, targetPort), nameString(TargetDevice, targetDevice)]
}

function numberOf(type: number, number: number): Designator {
  const value = Buffer.alloc(4)
  value.writeUInt16BE(number, 2)
  return { type, codeSet: CodeSet.Binary, association: Association.TargetPort, value }
}

/** A SCSI name string ends with a NUL, and is padded with more to whole words (SPC-4 section 7.8.6). */
function nameString(association: number, name: string): Designator {
  const bytes = Buffer.from(name, 'utf8')
  const value = Buffer.alloc((bytes.length + 4) & ~3)
  bytes.copy(value)
  return { type: DesignatorType.ScsiNameString, codeSet: CodeSet.Utf8, association, value }
}

/**
 * NAA 3h, locally assigned (SPC-4 section 7.8.6.4), for which nobody needs to own an IEEE company
 * id: its other 60 bits are the last 60 of the UUID, all of them random in version 4.
 */
function locallyAssignedNaa(uuid: string): Buffer {
  return Buffer.from(`3${uuid.replaceAll('-', '').slice(-15)}`, 'hex')
}
