/** Every command the device server knows, and how to find one. */
import { invalidFieldInCdb, invalidOpcode, type Sense } from '@platter/protocol/scsi'
import type { Command } from './command.ts'
import { compareAndWriteCommand } from './commands/compare-and-write.ts'
import { extendedCopyCommand } from './commands/extended-copy.ts'
import { getLbaStatusCommand } from './commands/get-lba-status.ts'
import { inquiryCommand } from './commands/inquiry.ts'
import { modeSelectCommands } from './commands/mode-select.ts'
import { modeSenseCommands } from './commands/mode-sense.ts'
import { orWriteCommand } from './commands/or-write.ts'
import { persistentReserveInCommands } from './commands/persistent-reserve-in.ts'
import { persistentReserveOutCommands } from './commands/persistent-reserve-out.ts'
import { preFetchCommands } from './commands/pre-fetch.ts'
import { preventAllowCommand } from './commands/prevent-allow.ts'
import { readCommands } from './commands/read.ts'
import { readCapacityCommands } from './commands/read-capacity.ts'
import { readDefectDataCommands } from './commands/read-defect-data.ts'
import { receiveCopyResultsCommands } from './commands/receive-copy-results.ts'
import { reportLunsCommand } from './commands/report-luns.ts'
import { reportSupportedFunctionsCommand } from './commands/report-supported-functions.ts'
import { reportSupportedOpcodesCommand } from './commands/report-supported-opcodes.ts'
import { reportTargetPortGroupsCommand } from './commands/report-target-port-groups.ts'
import { requestSenseCommand } from './commands/request-sense.ts'
import { reserveReleaseCommands } from './commands/reserve-release.ts'
import { sanitizeCommands } from './commands/sanitize.ts'
import { startStopUnitCommand } from './commands/start-stop-unit.ts'
import { synchronizeCacheCommands } from './commands/synchronize-cache.ts'
import { testUnitReadyCommand } from './commands/test-unit-ready.ts'
import { unmapCommand } from './commands/unmap.ts'
import { verifyCommands } from './commands/verify.ts'
import { writeCommands } from './commands/write.ts'
import { writeAndVerifyCommands } from './commands/write-and-verify.ts'
import { writeAtomicCommand } from './commands/write-atomic.ts'
import { writeSameCommands } from './commands/write-same.ts'

const others: readonly Command[] = [
  testUnitReadyCommand,
  requestSenseCommand,
  inquiryCommand,
  reportLunsCommand,
  ...readCapacityCommands,
  ...modeSelectCommands,
  ...modeSenseCommands,
  ...readCommands,
  ...writeCommands,
  ...writeAndVerifyCommands,
  ...synchronizeCacheCommands,
  ...verifyCommands,
  compareAndWriteCommand,
  orWriteCommand,
  writeAtomicCommand,
  unmapCommand,
  ...writeSameCommands,
  ...sanitizeCommands,
  extendedCopyCommand,
  ...receiveCopyResultsCommands,
  getLbaStatusCommand,
  ...preFetchCommands,
  ...readDefectDataCommands,
  startStopUnitCommand,
  preventAllowCommand,
  ...persistentReserveInCommands,
  ...persistentReserveOutCommands,
  ...reserveReleaseCommands,
  reportSupportedFunctionsCommand,
  reportTargetPortGroupsCommand,
]

export const commands: readonly Command[] = [...others, reportSupportedOpcodesCommand(others)]

/** Commands without service actions by operation code. */
const byOpcode: (Command | undefined)[] = new Array(256).fill(undefined)
/** The others by operation code and service action. */
const byServiceAction = new Map<number, Command>()

/** Operation codes of which only some service actions may be supported. */
const withServiceActions = new Set<number>()

const SERVICE_ACTION_MASK = 0x1f
const serviceActionKey = (opcode: number, serviceAction: number): number =>
  (opcode << 5) | serviceAction

for (const command of commands) {
  if (command.serviceAction === undefined) byOpcode[command.opcode] = command
  else {
    withServiceActions.add(command.opcode)
    byServiceAction.set(serviceActionKey(command.opcode, command.serviceAction), command)
  }
}

/** The command at `cdb[position]`; undefined if it is not supported. */
export function findCommand(cdb: Buffer, position: number): Command | undefined {
  const opcode = cdb.readUInt8(position)
  const command = byOpcode[opcode]
  if (command !== undefined) return command
  const serviceAction = cdb.readUInt8(position + 1) & SERVICE_ACTION_MASK
  return byServiceAction.get(serviceActionKey(opcode, serviceAction))
}

/** What is wrong with a CDB that `findCommand` finds nothing for: its operation code, or its service action. */
export function unknownCommand(cdb: Buffer, position: number): Sense {
  return withServiceActions.has(cdb.readUInt8(position)) ? invalidFieldInCdb(1, 4) : invalidOpcode
}
