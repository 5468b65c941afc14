/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 section 6.36): what session/task-management.ts does. */
import {
  decodeReportFunctionsCdb,
  encodeTaskFunctions,
  MaintenanceIn,
  Opcode,
  TaskFunction,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'

const FUNCTIONS =
  TaskFunction.AbortTask |
  TaskFunction.AbortTaskSet |
  TaskFunction.ClearTaskSet |
  TaskFunction.LogicalUnitReset |
  TaskFunction.TargetReset

/** Where the transport has agreed on them with the initiator. */
const QUERIES =
  TaskFunction.QueryTask |
  TaskFunction.QueryTaskSet |
  TaskFunction.QueryAsynchronousEvent |
  TaskFunction.ITNexusReset

function report(task: ScsiTask, _unit: LogicalUnit, nexus: ScsiNexus): void {
  const { extended, allocationLength } = decodeReportFunctionsCdb(task.cdb, task.cdbPosition)
  const functions = nexus.answersQueries ? FUNCTIONS | QUERIES : FUNCTIONS
  sendParameterData(task, encodeTaskFunctions(functions, extended), allocationLength)
}

export const reportSupportedFunctionsCommand: Command = {
  name: 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
  opcode: Opcode.MaintenanceIn,
  serviceAction: MaintenanceIn.ReportSupportedTaskManagementFunctions,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.MaintenanceIn, MaintenanceIn.ReportSupportedTaskManagementFunctions, 0x80, 0, 0, 0, 255, 255, 255, 255, 0, CONTROL_USAGE),
  access: 'change',
  effect: 'none',
  execute: report,
}
