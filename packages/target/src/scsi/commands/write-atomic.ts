/**
 * WRITE ATOMIC(16) (SBC-4 section 5.48): writes all of its blocks or none, whenever the server ends, and
 * with no other command at them meanwhile. GOOD means that they are on the disks, FUA or not.
 */
import {
  invalidFieldInCdb,
  Opcode,
  readAtomicBoundary,
  readAtomicTransferLength,
  readLba16,
  Status,
  TransferFlag,
} from '@platter/protocol/scsi'
import type { AtomicWriter } from '../../volume/volume.ts'
import { checkRange } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { finishFlushed } from '../durability.ts'
import { gatherThenExclude } from '../gathered-data.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'

const BOUNDARY_BYTE = 10
const LENGTH_BYTE = 12

function writeAtomic(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const lba = readLba16(cdb, cdbPosition)
  const blockCount = readAtomicTransferLength(cdb, cdbPosition)
  const lengthBytes = blockCount * unit.blockSizeBytes
  const flags = cdb.readUInt8(cdbPosition + 1)
  if ((flags & TransferFlag.Protect) !== 0) fail(task, invalidFieldInCdb(1, 7))
  else if (checkRange(task, unit, lba, blockCount)) {
    // A boundary allows to write the pieces between boundaries apart: all at once is more than that.
    const boundary = readAtomicBoundary(cdb, cdbPosition)
    if (boundary > unit.atomicBlocksMax) fail(task, invalidFieldInCdb(BOUNDARY_BYTE))
    else if (blockCount > unit.atomicBlocksMax) fail(task, invalidFieldInCdb(LENGTH_BYTE))
    else if (blockCount === 0) task.finish(Status.Good)
    else if (!unit.dataOutBudget.take(task, lengthBytes)) task.finish(Status.TaskSetFull)
    else gatherThenExclude(task, unit, { lba, blockCount, lengthBytes }, writeBlocks)
  }
}

function writeBlocks(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition, dataOut } = task
  const offset = readLba16(cdb, cdbPosition) * unit.blockSizeBytes
  task.next = finishFlushed
  const writer = unit.atomicWriter as AtomicWriter
  writer.writeAtomic(offset, dataOut, 0, dataOut.length, task.awaitIo())
}

const FLAGS = TransferFlag.Protect | TransferFlag.Dpo | TransferFlag.Fua

export const writeAtomicCommand: Command = {
  name: 'WRITE ATOMIC(16)',
  opcode: Opcode.WriteAtomic16,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.WriteAtomic16, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
  access: 'change',
  effect: 'blocks',
  execute: writeAtomic,
}
