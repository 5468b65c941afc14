/**
 * WRITE(6), (10), (12) and (16): SBC-3 sections 5.37 to 5.41. Data go to the volume as they come, or all at
 * once where the volume is the better for it: with parity, half a row costs more than a whole one.
 */
import {
  invalidFieldInCdb,
  Opcode,
  readLba6,
  readLba10,
  readLba12,
  readLba16,
  readTransferLength6,
  readTransferLength10,
  readTransferLength12,
  readTransferLength16,
  Status,
  TransferFlag,
} from '@platter/protocol/scsi'
import { checkTransfer } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { finishWritten, flushWritten } from '../durability.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask, TaskStep } from '../scsi-task.ts'

function write6(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  write(task, unit, readLba6(cdb, cdbPosition), readTransferLength6(cdb, cdbPosition), 0)
}

function write10(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const flags = cdb.readUInt8(cdbPosition + 1)
  write(task, unit, readLba10(cdb, cdbPosition), readTransferLength10(cdb, cdbPosition), flags)
}

function write12(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const flags = cdb.readUInt8(cdbPosition + 1)
  write(task, unit, readLba12(cdb, cdbPosition), readTransferLength12(cdb, cdbPosition), flags)
}

function write16(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const flags = cdb.readUInt8(cdbPosition + 1)
  write(task, unit, readLba16(cdb, cdbPosition), readTransferLength16(cdb, cdbPosition), flags)
}

function write(
  task: ScsiTask,
  unit: LogicalUnit,
  lba: number,
  blockCount: number,
  flags: number,
): void {
  if ((flags & TransferFlag.Protect) !== 0) {
    fail(task, invalidFieldInCdb(1, 7))
    return
  }
  if (!checkTransfer(task, unit, lba, blockCount)) return
  if (blockCount === 0) {
    task.finish(Status.Good)
    return
  }
  const offset = lba * unit.blockSizeBytes
  const length = blockCount * unit.blockSizeBytes
  const finish = (flags & TransferFlag.Fua) === 0 ? finishWritten : flushWritten
  if (length <= unit.gatheredWriteBytesMax && unit.dataOutBudget.take(task, length)) {
    task.state = finish
    task.next = writeGathered
    task.receiveData(length)
  } else {
    task.next = finish
    task.receiveExtent(unit.volume, offset, length)
  }
}

/** All data of the command are here: as far as they are whole blocks they are written at once. */
function writeGathered(task: ScsiTask): void {
  const { volume, blockSizeBytes } = task.unit as LogicalUnit
  const { dataOut } = task
  const offset = lbaOf(task) * blockSizeBytes
  const length = dataOut.length - (dataOut.length % blockSizeBytes)
  task.next = task.state as TaskStep
  if (volume.writeNow(offset, dataOut, 0, length)) task.next(task, null)
  else volume.write(offset, dataOut, 0, length, task.awaitIo())
}

function lbaOf({ cdb, cdbPosition }: ScsiTask): number {
  const opcode = cdb.readUInt8(cdbPosition)
  if (opcode === Opcode.Write6) return readLba6(cdb, cdbPosition)
  if (opcode === Opcode.Write10) return readLba10(cdb, cdbPosition)
  return opcode === Opcode.Write12 ? readLba12(cdb, cdbPosition) : readLba16(cdb, cdbPosition)
}

const FLAGS = TransferFlag.Protect | TransferFlag.Dpo | TransferFlag.Fua

export const writeCommands: readonly Command[] = [
  {
    name: 'WRITE(6)',
    opcode: Opcode.Write6,
    usage: Uint8Array.of(Opcode.Write6, 0x1f, 0xff, 0xff, 0xff, CONTROL_USAGE),
    access: 'change',
    effect: 'blocks',
    accessesBlocks: true,
    execute: write6,
  },
  {
    name: 'WRITE(10)',
    opcode: Opcode.Write10,
    usage: Uint8Array.of(Opcode.Write10, FLAGS, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    access: 'change',
    effect: 'blocks',
    accessesBlocks: true,
    execute: write10,
  },
  {
    name: 'WRITE(12)',
    opcode: Opcode.Write12,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Write12, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'change',
    effect: 'blocks',
    accessesBlocks: true,
    execute: write12,
  },
  {
    name: 'WRITE(16)',
    opcode: Opcode.Write16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Write16, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'change',
    effect: 'blocks',
    accessesBlocks: true,
    execute: write16,
  },
]
