/**
 * ORWRITE(16) (SBC-3 section 5.6): writes each block or'ed with what it was, with no other command at
 * the blocks meanwhile.
 */
import {
  invalidFieldInCdb,
  Opcode,
  readLba16,
  readTransferLength16,
  Status,
  TransferFlag,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import { checkTransfer } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { finishWritten, flushWritten } from '../durability.ts'
import { gatherThenExclude } from '../gathered-data.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'

/** What one step reads and writes. */
const PIECE_BYTES = 256 * 1024

function orWrite(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const lba = readLba16(cdb, cdbPosition)
  const blockCount = readTransferLength16(cdb, cdbPosition)
  const lengthBytes = blockCount * unit.blockSizeBytes
  if ((readFlags(task) & TransferFlag.Protect) !== 0) fail(task, invalidFieldInCdb(1, 7))
  else if (checkTransfer(task, unit, lba, blockCount)) {
    if (blockCount === 0) task.finish(Status.Good)
    else if (!unit.dataOutBudget.take(task, lengthBytes)) task.finish(Status.TaskSetFull)
    else gatherThenExclude(task, unit, { lba, blockCount, lengthBytes }, orBlocks)
  }
}

function readFlags(task: ScsiTask): number {
  return task.cdb.readUInt8(task.cdbPosition + 1)
}

/** How far a command has come; in `task.state` meanwhile. */
interface Progress {
  readonly piece: Buffer
  /** Bytes of the command's data that are done. */
  done: number
  /** Bytes of the piece in hand. */
  length: number
}

function orBlocks(task: ScsiTask, unit: LogicalUnit): void {
  const pieceBlocks = Math.max(1, Math.floor(PIECE_BYTES / unit.blockSizeBytes))
  const length = Math.min(task.dataOut.length, pieceBlocks * unit.blockSizeBytes)
  const progress: Progress = { piece: Buffer.allocUnsafeSlow(length), done: 0, length: 0 }
  task.state = progress
  readNext(task, null)
}

function offsetOf(task: ScsiTask): number {
  return readLba16(task.cdb, task.cdbPosition) * (task.unit as LogicalUnit).blockSizeBytes
}

function readNext(task: ScsiTask, error: VolumeError | null): void {
  const unit = task.unit as LogicalUnit
  const progress = task.state as Progress
  if (error !== null) {
    failWithVolumeError(task, error)
    return
  }
  progress.done += progress.length
  progress.length = Math.min(progress.piece.length, task.dataOut.length - progress.done)
  if (progress.length === 0) {
    if ((readFlags(task) & TransferFlag.Fua) === 0) finishWritten(task, null)
    else flushWritten(task, null)
    return
  }
  task.next = writeNext
  const offset = offsetOf(task) + progress.done
  unit.volume.read(offset, progress.piece, 0, progress.length, task.awaitIo())
}

function writeNext(task: ScsiTask, error: VolumeError | null): void {
  if (error !== null) {
    failWithVolumeError(task, error)
    return
  }
  const { piece, done, length } = task.state as Progress
  const { dataOut } = task
  for (let at = 0; at < length; at += 1) {
    piece[at] = (piece[at] as number) | (dataOut[done + at] as number)
  }
  task.next = readNext
  const { volume } = task.unit as LogicalUnit
  volume.write(offsetOf(task) + done, piece, 0, length, task.awaitIo())
}

const FLAGS = TransferFlag.Protect | TransferFlag.Dpo | TransferFlag.Fua

export const orWriteCommand: Command = {
  name: 'ORWRITE(16)',
  opcode: Opcode.OrWrite16,
  // biome-ignore format: a CDB is one line
  usage: Uint8Array.of(Opcode.OrWrite16, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
  access: 'change',
  effect: 'blocks',
  execute: orWrite,
}
