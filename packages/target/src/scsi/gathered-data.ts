/** The data of commands that have their blocks to themselves: COMPARE AND WRITE, ORWRITE, WRITE ATOMIC. */
import { dataPhaseError } from '@platter/protocol/scsi'
import { fail } from './command.ts'
import type { LogicalUnit } from './logical-unit.ts'
import type { ScsiTask } from './scsi-task.ts'

/** What a command addresses, and the bytes of data that it takes for that. */
export interface GatheredBlocks {
  readonly lba: number
  readonly blockCount: number
  readonly lengthBytes: number
}

/**
 * Gathers all data of the command, and calls `act` when its blocks are its own; until the task has ended,
 * they are. All data first: nobody has to wait for blocks because this initiator is slow to send. Too
 * few data end the command with ABORTED COMMAND.
 */
export function gatherThenExclude(
  task: ScsiTask,
  unit: LogicalUnit,
  { lba, blockCount, lengthBytes }: GatheredBlocks,
  act: (task: ScsiTask, unit: LogicalUnit) => void,
): void {
  task.next = () => {
    if (task.dataOut.length < lengthBytes) fail(task, dataPhaseError)
    else unit.blockAccess.exclude(task, lba, blockCount, () => act(task, unit))
  }
  task.receiveData(lengthBytes)
}
