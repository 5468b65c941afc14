/**
 * WRITE AND VERIFY(10), (12) and (16): SBC-3 sections 5.45 to 5.48. Writes the blocks, flushes, and reads
 * them back; BYTCHK 01b also compares them with what the initiator sent.
 */
import {
  invalidFieldInCdb,
  miscompareDuringVerify,
  Opcode,
  readLba,
  readTransferLength,
  Status,
  VerifyFlag,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import { checkTransfer } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, fail, flushThen } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import { scanMedium } from '../medium-scan.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'
import { digestOf, WrittenData } from '../written-data.ts'

const ByteCheck = { None: 0, All: 1 } as const

function writeAndVerify(task: ScsiTask, unit: LogicalUnit): void {
  const lba = readLba(task.cdb, task.cdbPosition)
  const blockCount = readTransferLength(task.cdb, task.cdbPosition)
  const flags = task.cdb.readUInt8(task.cdbPosition + 1)
  const byteCheck = (flags & VerifyFlag.BytchkMask) >> VerifyFlag.BytchkShift
  if ((flags & VerifyFlag.Protect) !== 0) fail(task, invalidFieldInCdb(1, 7))
  else if (checkTransfer(task, unit, lba, blockCount)) {
    if (byteCheck > ByteCheck.All) fail(task, invalidFieldInCdb(1, 2))
    else if (blockCount === 0) task.finish(Status.Good)
    else {
      const written = byteCheck === ByteCheck.All ? new WrittenData(unit.volume) : null
      task.state = written
      task.next = flushWritten
      const { blockSizeBytes } = unit
      task.receiveExtent(written ?? unit.volume, lba * blockSizeBytes, blockCount * blockSizeBytes)
    }
  }
}

function flushWritten(task: ScsiTask, error: VolumeError | null): void {
  if (error === null) flushThen(task, task.unit as LogicalUnit, verify)
  else failWithVolumeError(task, error)
}

function verify(task: ScsiTask, error: VolumeError | null): void {
  const { cdb, cdbPosition } = task
  if (error !== null) failWithVolumeError(task, error)
  else if (task.state !== null) compareNext(task, task.state as WrittenData)
  else {
    const blockCount = readTransferLength(cdb, cdbPosition)
    scanMedium(task, task.unit as LogicalUnit, readLba(cdb, cdbPosition), blockCount, null)
  }
}

/** One extent after the other; which of its blocks differs, its digest does not say. */
function compareNext(task: ScsiTask, written: WrittenData): void {
  const extent = written.next()
  if (extent === undefined) {
    task.finish(Status.Good)
    return
  }
  const { offset, length, digest } = extent
  const medium = Buffer.allocUnsafeSlow(length)
  task.next = (_, error) => {
    if (error !== null) failWithVolumeError(task, error)
    else if (!digestOf(medium).equals(digest)) fail(task, miscompareDuringVerify())
    else compareNext(task, written)
  }
  ;(task.unit as LogicalUnit).volume.read(offset, medium, 0, length, task.awaitIo())
}

const FLAGS = VerifyFlag.Protect | VerifyFlag.Dpo | VerifyFlag.BytchkMask

export const writeAndVerifyCommands: readonly Command[] = [
  {
    name: 'WRITE AND VERIFY(10)',
    opcode: Opcode.WriteAndVerify10,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.WriteAndVerify10, FLAGS, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    access: 'change',
    effect: 'blocks',
    accessesBlocks: true,
    execute: writeAndVerify,
  },
  {
    name: 'WRITE AND VERIFY(12)',
    opcode: Opcode.WriteAndVerify12,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.WriteAndVerify12, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'change',
    effect: 'blocks',
    accessesBlocks: true,
    execute: writeAndVerify,
  },
  {
    name: 'WRITE AND VERIFY(16)',
    opcode: Opcode.WriteAndVerify16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.WriteAndVerify16, FLAGS, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'change',
    effect: 'blocks',
    accessesBlocks: true,
    execute: writeAndVerify,
  },
]
