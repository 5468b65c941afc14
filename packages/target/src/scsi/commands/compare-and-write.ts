/**
 * COMPARE AND WRITE (SBC-3 section 5.2): writes blocks if they are what the initiator thinks, with no
 * other command at them from the check to the end of the write.
 */
import {
  invalidFieldInCdb,
  miscompareDuringVerify,
  Opcode,
  readCompareAndWriteBlockCount,
  readLba16,
  Status,
  TransferFlag,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import { checkRange } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { finishWritten, flushWritten } from '../durability.ts'
import { gatherThenExclude } from '../gathered-data.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'

const BLOCK_COUNT_BYTE = 13

function compareAndWrite(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const lba = readLba16(cdb, cdbPosition)
  const blockCount = readCompareAndWriteBlockCount(cdb, cdbPosition)
  const lengthBytes = 2 * blockCount * unit.blockSizeBytes
  if ((readFlags(task) & TransferFlag.Protect) !== 0) fail(task, invalidFieldInCdb(1, 7))
  else if (checkRange(task, unit, lba, blockCount)) {
    if (
      blockCount > unit.compareAndWriteBlocksMax ||
      // More data than blocks: so many that their number did not fit into the CDB. Less: another block size.
      task.dataOutLength !== lengthBytes
    ) {
      fail(task, invalidFieldInCdb(BLOCK_COUNT_BYTE))
    } else if (blockCount === 0) task.finish(Status.Good)
    else gatherThenExclude(task, unit, { lba, blockCount, lengthBytes }, readBlocks)
  }
}

function readFlags(task: ScsiTask): number {
  return task.cdb.readUInt8(task.cdbPosition + 1)
}

function offsetOf(task: ScsiTask): number {
  return readLba16(task.cdb, task.cdbPosition) * (task.unit as LogicalUnit).blockSizeBytes
}

/** The bytes that are compared, and as many that are written. */
function lengthOf(task: ScsiTask): number {
  const blockCount = readCompareAndWriteBlockCount(task.cdb, task.cdbPosition)
  return blockCount * (task.unit as LogicalUnit).blockSizeBytes
}

function readBlocks(task: ScsiTask, unit: LogicalUnit): void {
  const length = lengthOf(task)
  const medium = Buffer.allocUnsafeSlow(length)
  task.state = medium
  task.next = compareBlocks
  unit.volume.read(offsetOf(task), medium, 0, length, task.awaitIo())
}

function compareBlocks(task: ScsiTask, error: VolumeError | null): void {
  if (error !== null) {
    failWithVolumeError(task, error)
    return
  }
  const { dataOut } = task
  const medium = task.state as Buffer
  const { length } = medium
  if (medium.compare(dataOut, 0, length) !== 0) {
    // INFORMATION is where in the data the first byte lies that differs.
    fail(task, miscompareDuringVerify(medium.findIndex((byte, at) => byte !== dataOut[at])))
    return
  }
  task.next = (readFlags(task) & TransferFlag.Fua) === 0 ? finishWritten : flushWritten
  const { volume } = task.unit as LogicalUnit
  volume.write(offsetOf(task), dataOut, length, length, task.awaitIo())
}

const FLAGS = TransferFlag.Protect | TransferFlag.Dpo | TransferFlag.Fua

export const compareAndWriteCommand: Command = {
  name: 'COMPARE AND WRITE',
  opcode: Opcode.CompareAndWrite,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.CompareAndWrite, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 255, 0, CONTROL_USAGE),
  access: 'change',
  effect: 'blocks',
  execute: compareAndWrite,
}
