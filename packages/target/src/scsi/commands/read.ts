/** READ(6), (10), (12) and (16): SBC-3 sections 5.7 to 5.11. */
import {
  invalidFieldInCdb,
  Opcode,
  readLba,
  readLba6,
  readLba10,
  readLba12,
  readLba16,
  readTransferLength,
  readTransferLength6,
  readTransferLength10,
  readTransferLength12,
  readTransferLength16,
  Status,
  TransferFlag,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import { checkTransfer } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, flushThen } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'

function read6(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  read(task, unit, readLba6(cdb, cdbPosition), readTransferLength6(cdb, cdbPosition), 0)
}

function read10(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const flags = cdb.readUInt8(cdbPosition + 1)
  read(task, unit, readLba10(cdb, cdbPosition), readTransferLength10(cdb, cdbPosition), flags)
}

function read12(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const flags = cdb.readUInt8(cdbPosition + 1)
  read(task, unit, readLba12(cdb, cdbPosition), readTransferLength12(cdb, cdbPosition), flags)
}

function read16(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const flags = cdb.readUInt8(cdbPosition + 1)
  read(task, unit, readLba16(cdb, cdbPosition), readTransferLength16(cdb, cdbPosition), flags)
}

function read(
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
  } else if ((flags & TransferFlag.Fua) !== 0) {
    // FUA reads what is on the medium: so what is only in the cache goes there first.
    flushThen(task, unit, readFlushed)
  } else {
    send(task, unit, lba, blockCount)
  }
}

function readFlushed(task: ScsiTask, error: VolumeError | null): void {
  if (error !== null) {
    failWithVolumeError(task, error)
    return
  }
  const { cdb, cdbPosition } = task
  send(
    task,
    task.unit as LogicalUnit,
    readLba(cdb, cdbPosition),
    readTransferLength(cdb, cdbPosition),
  )
}

function send(task: ScsiTask, unit: LogicalUnit, lba: number, blockCount: number): void {
  task.next = readFailed
  task.sendExtent(unit.volume, lba * unit.blockSizeBytes, blockCount * unit.blockSizeBytes)
}

/** The step after `sendExtent` is only taken when that failed. */
function readFailed(task: ScsiTask, error: VolumeError | null): void {
  if (error !== null) failWithVolumeError(task, error)
}

const FLAGS = TransferFlag.Protect | TransferFlag.Dpo | TransferFlag.Fua

export const readCommands: readonly Command[] = [
  {
    name: 'READ(6)',
    opcode: Opcode.Read6,
    usage: Uint8Array.of(Opcode.Read6, 0x1f, 0xff, 0xff, 0xff, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    accessesBlocks: true,
    execute: read6,
  },
  {
    name: 'READ(10)',
    opcode: Opcode.Read10,
    usage: Uint8Array.of(Opcode.Read10, FLAGS, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    accessesBlocks: true,
    execute: read10,
  },
  {
    name: 'READ(12)',
    opcode: Opcode.Read12,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Read12, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    accessesBlocks: true,
    execute: read12,
  },
  {
    name: 'READ(16)',
    opcode: Opcode.Read16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Read16, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    accessesBlocks: true,
    execute: read16,
  },
]
