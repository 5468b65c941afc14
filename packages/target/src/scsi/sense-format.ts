/** Sense data in the format that a unit is to send them in. */
import { encodeDescriptorSense, encodeFixedSense, type Sense } from '@platter/protocol/scsi'
import type { LogicalUnit } from './logical-unit.ts'

/** As D_SENSE of the unit says; fixed where there is none. */
export function encodeSense(unit: LogicalUnit | null | undefined, sense: Sense): Buffer {
  return unit?.descriptorSense === true ? encodeDescriptorSense(sense) : encodeFixedSense(sense)
}
