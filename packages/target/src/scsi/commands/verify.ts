/**
 * VERIFY(10), (12) and (16): SBC-3 sections 5.33 to 5.35. BYTCHK 00b reads the blocks, so that medium
 * errors show; 01b compares them with as much data from the initiator; 11b compares each with the
 * one block that it sends.
 */
import {
  dataPhaseError,
  invalidFieldInCdb,
  miscompareDuringVerify,
  Opcode,
  readLba,
  readLba10,
  readLba12,
  readLba16,
  readTransferLength,
  readTransferLength10,
  readTransferLength12,
  readTransferLength16,
  Status,
  VerifyFlag,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import { checkRange, checkTransfer } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { CompareDestination } from '../compare-destination.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'

/** What one step of a VERIFY without data of its own reads. */
const PIECE_BYTES = 256 * 1024

const ByteCheck = { None: 0, All: 1, Reserved: 2, OneBlock: 3 } as const

function verify10(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  verify(task, unit, readLba10(cdb, cdbPosition), readTransferLength10(cdb, cdbPosition))
}

function verify12(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  verify(task, unit, readLba12(cdb, cdbPosition), readTransferLength12(cdb, cdbPosition))
}

function verify16(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  verify(task, unit, readLba16(cdb, cdbPosition), readTransferLength16(cdb, cdbPosition))
}

function verify(task: ScsiTask, unit: LogicalUnit, lba: number, blockCount: number): void {
  const flags = task.cdb.readUInt8(task.cdbPosition + 1)
  const byteCheck = (flags & VerifyFlag.BytchkMask) >> VerifyFlag.BytchkShift
  if ((flags & VerifyFlag.Protect) !== 0) {
    fail(task, invalidFieldInCdb(1, 7))
    return
  }
  const check = byteCheck === ByteCheck.All ? checkTransfer : checkRange
  if (!check(task, unit, lba, blockCount)) return
  if (byteCheck === ByteCheck.Reserved) fail(task, invalidFieldInCdb(1, 2))
  else if (blockCount === 0) task.finish(Status.Good)
  else if (byteCheck === ByteCheck.All) compareAll(task, unit, lba, blockCount)
  else if (byteCheck === ByteCheck.OneBlock) receivePattern(task, unit)
  else scan(task, unit, lba, blockCount, null)
}

function compareAll(task: ScsiTask, unit: LogicalUnit, lba: number, blockCount: number): void {
  const destination = new CompareDestination(unit.volume)
  task.state = destination
  task.next = finishCompared
  task.receiveExtent(destination, lba * unit.blockSizeBytes, blockCount * unit.blockSizeBytes)
}

function finishCompared(task: ScsiTask, error: VolumeError | null): void {
  const { mismatchOffset } = task.state as CompareDestination
  if (error !== null) failWithVolumeError(task, error)
  else if (mismatchOffset >= 0) failMiscompare(task, mismatchOffset)
  else task.finish(Status.Good)
}

/** INFORMATION is the LBA of the block that differs. */
function failMiscompare(task: ScsiTask, offset: number): void {
  const { blockSizeBytes } = task.unit as LogicalUnit
  fail(task, miscompareDuringVerify(Math.floor(offset / blockSizeBytes)))
}

function receivePattern(task: ScsiTask, unit: LogicalUnit): void {
  task.next = scanWithPattern
  task.receiveData(unit.blockSizeBytes)
}

function scanWithPattern(task: ScsiTask): void {
  const unit = task.unit as LogicalUnit
  const { cdb, cdbPosition, dataOut } = task
  if (dataOut.length < unit.blockSizeBytes) fail(task, dataPhaseError)
  else {
    scan(task, unit, readLba(cdb, cdbPosition), readTransferLength(cdb, cdbPosition), dataOut)
  }
}

/** How far the reading of a range has come; in `task.state` meanwhile. */
interface Scan {
  readonly piece: Buffer
  readonly end: number
  /** One block that each must equal. */
  readonly pattern: Buffer | null
  offset: number
  length: number
}

function scan(
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

/** Always by the way that waits, so that a long VERIFY leaves the event loop to others. */
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

const FLAGS = VerifyFlag.Protect | VerifyFlag.Dpo | VerifyFlag.BytchkMask

export const verifyCommands: readonly Command[] = [
  {
    name: 'VERIFY(10)',
    opcode: Opcode.Verify10,
    usage: Uint8Array.of(Opcode.Verify10, FLAGS, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    access: 'read',
    accessesBlocks: true,
    execute: verify10,
  },
  {
    name: 'VERIFY(12)',
    opcode: Opcode.Verify12,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Verify12, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    accessesBlocks: true,
    execute: verify12,
  },
  {
    name: 'VERIFY(16)',
    opcode: Opcode.Verify16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Verify16, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    accessesBlocks: true,
    execute: verify16,
  },
]
