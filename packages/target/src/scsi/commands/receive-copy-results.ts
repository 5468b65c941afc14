/** RECEIVE COPY RESULTS (SPC-4 sections 6.18, 6.20): how a third-party copy went, and what one may ask for. */
import {
  CopyResults,
  CopyState,
  encodeCopyOperatingParameters,
  encodeCopyStatus,
  invalidFieldInCdb,
  Opcode,
  readCopyLength,
  readCopyListId,
} from '@platter/protocol/scsi'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, sendParameterData } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiNexus } from '../nexus.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { copyLimits } from './extended-copy.ts'

/** What is told of a copy that is over is forgotten with it. */
function copyStatus(task: ScsiTask, unit: LogicalUnit, nexus: ScsiNexus): void {
  const listId = readCopyListId(task.cdb, task.cdbPosition)
  const status = nexus.copies.get(unit)?.get(listId)
  if (status === undefined) {
    fail(task, invalidFieldInCdb(2))
    return
  }
  if (status.state !== CopyState.InProgress) nexus.copies.get(unit)?.delete(listId)
  sendParameterData(task, encodeCopyStatus(status), readCopyLength(task.cdb, task.cdbPosition))
}

function operatingParameters(task: ScsiTask): void {
  const data = encodeCopyOperatingParameters(copyLimits)
  sendParameterData(task, data, readCopyLength(task.cdb, task.cdbPosition))
}

export const receiveCopyResultsCommands: readonly Command[] = [
  {
    name: 'RECEIVE COPY RESULTS (COPY STATUS)',
    opcode: Opcode.ReceiveCopyResults,
    serviceAction: CopyResults.CopyStatus,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.ReceiveCopyResults, CopyResults.CopyStatus, 255, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'change',
    effect: 'none',
    execute: copyStatus,
  },
  {
    name: 'RECEIVE COPY RESULTS (OPERATING PARAMETERS)',
    opcode: Opcode.ReceiveCopyResults,
    serviceAction: CopyResults.OperatingParameters,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.ReceiveCopyResults, CopyResults.OperatingParameters, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'change',
    effect: 'none',
    execute: operatingParameters,
  },
]
