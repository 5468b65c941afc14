/** What a nexus has in progress and may not do any more, because it sees or may change less. */
import {
  copyTargetNotReachable,
  logicalUnitNotSupported,
  type Sense,
  writeProtected,
} from '@platter/protocol/scsi'
import { findCommand } from './command-table.ts'
import type { LogicalUnit } from './logical-unit.ts'
import type { ScsiNexus } from './nexus.ts'
import type { ScsiTask } from './scsi-task.ts'
import { encodeSense } from './sense-format.ts'

/** The sense data for a task of `nexus` that has to end; null when it may go on. */
export function senseIfForbidden(task: ScsiTask, nexus: ScsiNexus): Buffer | null {
  const unit = task.unit as LogicalUnit | null
  const sense = unit === null ? undefined : whyForbidden(task, unit, nexus)
  return sense === undefined ? null : encodeSense(unit, sense)
}

function whyForbidden(task: ScsiTask, unit: LogicalUnit, nexus: ScsiNexus): Sense | undefined {
  if (!nexus.sees(unit)) return logicalUnitNotSupported
  const effect = findCommand(task.cdb, task.cdbPosition)?.effect ?? 'none'
  if (effect !== 'none' && nexus.isReadOnly(unit)) return writeProtected
  const ranges = nexus.copying.get(task)?.ranges ?? []
  const mayCopy = ranges.every(
    ({ source, destination }) =>
      nexus.sees(source) && nexus.sees(destination) && !nexus.isReadOnly(destination),
  )
  return mayCopy ? undefined : copyTargetNotReachable
}
