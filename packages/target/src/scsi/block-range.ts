/** Which blocks a command may address. */
import { invalidFieldInCdb, lbaOutOfRange } from '@platter/protocol/scsi'
import { fail } from './command.ts'
import type { LogicalUnit } from './logical-unit.ts'
import type { ScsiTask } from './scsi-task.ts'

/**
 * Whether the unit has all of these blocks; the command is ended if not. LBAs from 2^53 on come
 * rounded (see cdb.ts), and are out of range all the same. No blocks at all must still start
 * within the unit.
 */
export function checkRange(
  task: ScsiTask,
  unit: LogicalUnit,
  lba: number,
  blockCount: number,
): boolean {
  const capacityBlocks = unit.capacityBlocks
  if (lba < capacityBlocks && blockCount <= capacityBlocks - lba) return true
  fail(task, lbaOutOfRange)
  return false
}

/** `checkRange` for commands that move the blocks: no more than MAXIMUM TRANSFER LENGTH at a time. */
export function checkTransfer(
  task: ScsiTask,
  unit: LogicalUnit,
  lba: number,
  blockCount: number,
): boolean {
  if (!checkRange(task, unit, lba, blockCount)) return false
  if (blockCount <= unit.transferBlocksMax) return true
  fail(task, invalidFieldInCdb(transferLengthPosition(task)))
  return false
}

/** Where the TRANSFER LENGTH field starts; the 10 byte CDBs cannot reach the limit for 512 byte blocks, but for larger. */
export function transferLengthPosition(task: ScsiTask): number {
  const group = task.cdb.readUInt8(task.cdbPosition) >> 5
  if (group === 0) return 4
  if (group === 4) return 10
  return group === 5 ? 6 : 7
}
