/** REPORT SUPPORTED OPERATION CODES (SPC-4 section 6.35), told from the command table itself. */
import {
  decodeReportOpcodesCdb,
  encodeAllCommands,
  encodeOneCommand,
  invalidFieldInCdb,
  MaintenanceIn,
  Opcode,
  ReportingOptions,
  type ReportOpcodesCdb,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, sendParameterData } from '../command.ts'
import type { ScsiTask } from '../scsi-task.ts'

/** The command for a table that holds `others` and itself. */
export function reportSupportedOpcodesCommand(others: readonly Command[]): Command {
  const command: Command = {
    name: 'REPORT SUPPORTED OPERATION CODES',
    opcode: Opcode.MaintenanceIn,
    serviceAction: MaintenanceIn.ReportSupportedOperationCodes,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.MaintenanceIn, MaintenanceIn.ReportSupportedOperationCodes, 0x87, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'change',
    effect: 'none',
    execute: (task) => report(task, table),
  }
  const table = [...others, command].sort(
    (a, b) => a.opcode - b.opcode || (a.serviceAction ?? 0) - (b.serviceAction ?? 0),
  )
  return command
}

function report(task: ScsiTask, table: readonly Command[]): void {
  const fields = decodeReportOpcodesCdb(task.cdb, task.cdbPosition)
  if (fields.reportingOptions === ReportingOptions.All) {
    const commands = table.map((command) => ({
      opcode: command.opcode,
      ...(command.serviceAction !== undefined && { serviceAction: command.serviceAction }),
      cdbLength: command.usage.length,
    }))
    sendParameterData(task, encodeAllCommands(commands, fields.timeouts), fields.allocationLength)
    return
  }
  const wrongField = checkOneCommand(fields, table)
  if (wrongField !== undefined) {
    fail(task, invalidFieldInCdb(wrongField))
    return
  }
  const asked = table.find(
    ({ opcode, serviceAction = 0 }) =>
      opcode === fields.opcode && serviceAction === askedServiceAction(fields),
  )
  sendParameterData(task, encodeOneCommand(asked?.usage, fields.timeouts), fields.allocationLength)
}

/** The CDB byte that does not suit the operation code; undefined when all do. */
function checkOneCommand(fields: ReportOpcodesCdb, table: readonly Command[]): number | undefined {
  const sameOpcode = table.find(({ opcode }) => opcode === fields.opcode)
  const hasServiceActions = sameOpcode?.serviceAction !== undefined
  switch (fields.reportingOptions) {
    case ReportingOptions.Opcode:
      return hasServiceActions ? 2 : undefined
    case ReportingOptions.ServiceAction:
      return sameOpcode !== undefined && !hasServiceActions ? 2 : undefined
    case ReportingOptions.OpcodeOrServiceAction:
      return undefined
    default:
      return 2
  }
}

/** With the option for operation codes alone, the service action field is not looked at. */
function askedServiceAction(fields: ReportOpcodesCdb): number {
  return fields.reportingOptions === ReportingOptions.Opcode ? 0 : fields.serviceAction
}
