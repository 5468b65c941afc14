/**
 * VERIFY(10), (12) and (16): SBC-3 sections 5.33 to 5.35. BYTCHK 00b reads the blocks, so that medium
 * errors show; 01b compares them with as much data from the initiator; 11b compares each with the
 * one block that it sends.
 */
import {
  dataPhaseError,
  invalidFieldInCdb,
  Opcode,
  readLba,
  readTransferLength,
  Status,
  VerifyFlag,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import { checkRange, checkTransfer } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail } from '../command.ts'
import { CompareDestination } from '../compare-destination.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import { failMiscompare, scanMedium } from '../medium-scan.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'

const ByteCheck = { None: 0, All: 1, Reserved: 2, OneBlock: 3 } as const

function verify(task: ScsiTask, unit: LogicalUnit): void {
  const lba = readLba(task.cdb, task.cdbPosition)
  const blockCount = readTransferLength(task.cdb, task.cdbPosition)
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
  else scanMedium(task, unit, lba, blockCount, null)
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

function receivePattern(task: ScsiTask, unit: LogicalUnit): void {
  task.next = scanWithPattern
  task.receiveData(unit.blockSizeBytes)
}

function scanWithPattern(task: ScsiTask): void {
  const unit = task.unit as LogicalUnit
  const { cdb, cdbPosition, dataOut } = task
  if (dataOut.length < unit.blockSizeBytes) fail(task, dataPhaseError)
  else {
    scanMedium(task, unit, readLba(cdb, cdbPosition), readTransferLength(cdb, cdbPosition), dataOut)
  }
}

const FLAGS = VerifyFlag.Protect | VerifyFlag.Dpo | VerifyFlag.BytchkMask

export const verifyCommands: readonly Command[] = [
  {
    name: 'VERIFY(10)',
    opcode: Opcode.Verify10,
    usage: Uint8Array.of(Opcode.Verify10, FLAGS, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    accessesBlocks: true,
    execute: verify,
  },
  {
    name: 'VERIFY(12)',
    opcode: Opcode.Verify12,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Verify12, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    accessesBlocks: true,
    execute: verify,
  },
  {
    name: 'VERIFY(16)',
    opcode: Opcode.Verify16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.Verify16, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'read',
    effect: 'none',
    accessesBlocks: true,
    execute: verify,
  },
]
