/**
 * WRITE SAME(10) and (16): SBC-3 sections 5.43 and 5.44. With UNMAP=1 and a block of zeros the range
 * is given back, which then reads the same (LBPRZ=1); any other block is written all the same.
 */
import {
  invalidFieldInCdb,
  Opcode,
  readLba,
  readLba10,
  readLba16,
  readTransferLength,
  readTransferLength10,
  readTransferLength16,
  WriteSameFlag,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import { checkRange, transferLengthPosition } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { finishWritten } from '../durability.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'

/** What one step writes. */
const PIECE_BYTES = 256 * 1024

function writeSame10(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const blockCount = readTransferLength10(cdb, cdbPosition)
  const flags = readFlags(task)
  // Bit 0 is NDOB in the 16 byte CDB only; here it was RELADR.
  if ((flags & WriteSameFlag.NoDataOut) !== 0) fail(task, invalidFieldInCdb(1, 0))
  // LBPWS10 is 0: hosts unmap by UNMAP or WRITE SAME(16).
  else if ((flags & WriteSameFlag.Unmap) !== 0) fail(task, invalidFieldInCdb(1, 3))
  else writeSame(task, unit, readLba10(cdb, cdbPosition), blockCount)
}

function writeSame16(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  writeSame(task, unit, readLba16(cdb, cdbPosition), readTransferLength16(cdb, cdbPosition))
}

function writeSame(task: ScsiTask, unit: LogicalUnit, lba: number, blockCount: number): void {
  const flags = readFlags(task)
  const wrongBit = findWrongBit(flags)
  if (wrongBit !== undefined) fail(task, invalidFieldInCdb(1, wrongBit))
  else if (checkRange(task, unit, lba, blockCount)) {
    if (countBlocks(unit, lba, blockCount) > unit.writeSameBlocksMax) {
      fail(task, invalidFieldInCdb(transferLengthPosition(task)))
    } else if ((flags & WriteSameFlag.NoDataOut) !== 0) {
      fill(task, unit, Buffer.alloc(unit.blockSizeBytes))
    } else if (task.dataOutLength !== unit.blockSizeBytes) {
      // More than the one block means that the initiator has another block size in mind.
      fail(task, invalidFieldInCdb())
    } else {
      task.next = fillReceived
      task.receiveData(unit.blockSizeBytes)
    }
  }
}

function readFlags(task: ScsiTask): number {
  return task.cdb.readUInt8(task.cdbPosition + 1)
}

/** LBDATA and PBDATA, obsolete now, asked for other data in each block: not to be passed over. */
function findWrongBit(flags: number): number | undefined {
  if ((flags & WriteSameFlag.Protect) !== 0) return 7
  if ((flags & WriteSameFlag.Anchor) !== 0) return 4
  return (flags & WriteSameFlag.Obsolete) !== 0 ? 2 : undefined
}

/** NUMBER OF LOGICAL BLOCKS 0 means all up to the end, since WSNZ is 0. */
function countBlocks(unit: LogicalUnit, lba: number, blockCount: number): number {
  return blockCount === 0 ? unit.capacityBlocks - lba : blockCount
}

function fillReceived(task: ScsiTask): void {
  fill(task, task.unit as LogicalUnit, task.dataOut)
}

/** How far the writing of a range has come; in `task.state` meanwhile. */
interface Fill {
  readonly piece: Buffer
  readonly end: number
  offset: number
}

function fill(task: ScsiTask, unit: LogicalUnit, block: Buffer): void {
  const { cdb, cdbPosition } = task
  const { blockSizeBytes } = unit
  const lba = readLba(cdb, cdbPosition)
  const blockCount = countBlocks(unit, lba, readTransferLength(cdb, cdbPosition))
  const offset = lba * blockSizeBytes
  if ((readFlags(task) & WriteSameFlag.Unmap) !== 0 && block.every((byte) => byte === 0)) {
    task.next = finishWritten
    unit.volume.discard(offset, blockCount * blockSizeBytes, task.awaitIo())
    return
  }
  const pieceBlocks = Math.max(1, Math.floor(PIECE_BYTES / blockSizeBytes))
  const fill: Fill = {
    piece: Buffer.alloc(Math.min(blockCount, pieceBlocks) * blockSizeBytes, block),
    end: offset + blockCount * blockSizeBytes,
    offset,
  }
  task.state = fill
  task.next = writePiece
  writePiece(task, null)
}

/** Always by the way that waits, so that a long WRITE SAME leaves the event loop to others. */
function writePiece(task: ScsiTask, error: VolumeError | null): void {
  const fill = task.state as Fill
  if (error !== null || fill.offset === fill.end) {
    finishWritten(task, error)
    return
  }
  const { volume } = task.unit as LogicalUnit
  const { offset, piece } = fill
  const length = Math.min(piece.length, fill.end - offset)
  fill.offset += length
  volume.write(offset, piece, 0, length, task.awaitIo())
}

/** Every bit of byte 1 is looked at. */
const FLAGS = 0xff

export const writeSameCommands: readonly Command[] = [
  {
    name: 'WRITE SAME(10)',
    opcode: Opcode.WriteSame10,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.WriteSame10, FLAGS, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    accessesBlocks: true,
    access: 'change',
    effect: 'blocks',
    execute: writeSame10,
  },
  {
    name: 'WRITE SAME(16)',
    opcode: Opcode.WriteSame16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.WriteSame16, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    accessesBlocks: true,
    access: 'change',
    effect: 'blocks',
    execute: writeSame16,
  },
]
