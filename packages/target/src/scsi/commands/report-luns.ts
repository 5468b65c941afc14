/** REPORT LUNS (SPC-4 section 6.33), answered at every LUN with what this nexus may see. */
import {
  decodeReportLunsCdb,
  encodeLunList,
  invalidFieldInCdb,
  lunsChangedUnitAttention,
  Opcode,
  SelectReport,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'

/** SPC-4: an allocation length that cannot hold a header and one LUN is an error. */
const ALLOCATION_LENGTH_MIN = 16

function reportLuns(task: ScsiTask, _unit: LogicalUnit, nexus: ScsiNexus): void {
  report(task, nexus)
}

function report(task: ScsiTask, nexus: ScsiNexus): void {
  const { selectReport, allocationLength } = decodeReportLunsCdb(task.cdb, task.cdbPosition)
  if (selectReport > SelectReport.All) {
    fail(task, invalidFieldInCdb(2))
    return
  }
  if (allocationLength < ALLOCATION_LENGTH_MIN) {
    fail(task, invalidFieldInCdb(6))
    return
  }
  nexus.clearAttention(lunsChangedUnitAttention)
  // There are no well-known logical units.
  const luns = selectReport === SelectReport.WellKnownOnly ? [] : [...nexus.units.keys()]
  sendParameterData(task, encodeLunList(luns.sort((a, b) => a - b)), allocationLength)
}

export const reportLunsCommand: Command = {
  name: 'REPORT LUNS',
  opcode: Opcode.ReportLuns,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.ReportLuns, 0, 255, 0, 0, 0, 255, 255, 255, 255, 0, CONTROL_USAGE),
  access: 'nothing',
  effect: 'none',
  execute: reportLuns,
  executeWithoutUnit: report,
  passesUnitAttention: true,
}
