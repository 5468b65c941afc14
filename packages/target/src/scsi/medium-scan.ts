/** Reads a range of the medium in pieces, so that errors show, and compares each block if asked to. */
import { miscompareDuringVerify, Status } from '@platter/protocol/scsi'
import type { VolumeError } from '../volume/volume.ts'
import { fail } from './command.ts'
import type { LogicalUnit } from './logical-unit.ts'
import type { ScsiTask } from './scsi-task.ts'
import { failWithVolumeError } from './volume-failure.ts'

/** What one step reads. */
const PIECE_BYTES = 256 * 1024

/** How far the reading of a range has come; in `task.state` meanwhile. */
interface Scan {
  readonly piece: Buffer
  readonly end: number
  readonly pattern: Buffer | null
  offset: number
  length: number
}

/**
 * Reads the blocks, and ends the command: with GOOD, with the storage's error, or where a block is not
 * `pattern` with MISCOMPARE. The pattern is one block; null compares nothing.
 */
export function scanMedium(
  task: ScsiTask,
  unit: LogicalUnit,
  lba: number,
  blockCount: number,
  pattern: Buffer | null,
): void {
  const { blockSizeBytes } = unit
  const pieceBlocks = Math.max(1, Math.floor(PIECE_BYTES / blockSizeBytes))
  const scan: Scan = {
    piece: Buffer.allocUnsafeSlow(Math.min(blockCount, pieceBlocks) * blockSizeBytes),
    end: (lba + blockCount) * blockSizeBytes,
    pattern,
    offset: lba * blockSizeBytes,
    length: 0,
  }
  task.state = scan
  task.next = scanPiece
  readPiece(task, scan)
}

/** Ends the command; INFORMATION is the LBA of the block that differs. */
export function failMiscompare(task: ScsiTask, offset: number): void {
  const { blockSizeBytes } = task.unit as LogicalUnit
  fail(task, miscompareDuringVerify(Math.floor(offset / blockSizeBytes)))
}

/** Always by the way that waits, so that a long range leaves the event loop to others. */
function readPiece(task: ScsiTask, scan: Scan): void {
  const { volume } = task.unit as LogicalUnit
  scan.length = Math.min(scan.piece.length, scan.end - scan.offset)
  volume.read(scan.offset, scan.piece, 0, scan.length, task.awaitIo())
}

function scanPiece(task: ScsiTask, error: VolumeError | null): void {
  if (error !== null) {
    failWithVolumeError(task, error)
    return
  }
  const scan = task.state as Scan
  const mismatch =
    scan.pattern === null ? -1 : findOtherBlock(scan.piece, scan.length, scan.pattern)
  if (mismatch >= 0) {
    failMiscompare(task, scan.offset + mismatch)
    return
  }
  scan.offset += scan.length
  if (scan.offset < scan.end) readPiece(task, scan)
  else task.finish(Status.Good)
}

/** Where the first block of `data` that is not `pattern` begins; -1 if there is none. */
function findOtherBlock(data: Buffer, length: number, pattern: Buffer): number {
  for (let at = 0; at < length; at += pattern.length) {
    if (data.compare(pattern, 0, pattern.length, at, at + pattern.length) !== 0) return at
  }
  return -1
}
