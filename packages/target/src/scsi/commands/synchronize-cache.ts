/** SYNCHRONIZE CACHE(10) and (16): SBC-3 sections 5.25 and 5.26. */
import { Opcode, readLba, readTransferLength, Status } from '@platter/protocol/scsi'
import type { VolumeError } from '../../volume/volume.ts'
import { checkRange } from '../block-range.ts'
import type { Command } from '../command.ts'
import { CONTROL_USAGE, flushThen } from '../command.ts'
import type { LogicalUnit } from '../logical-unit.ts'
import type { ScsiTask } from '../scsi-task.ts'
import { failWithVolumeError } from '../volume-failure.ts'

/**
 * Flushes the whole unit, whatever the range: a disk has no way to flush a part. IMMED is not
 * looked at: to answer after the flush is allowed with it as well, and then GOOD always means it.
 */
function synchronizeCache(task: ScsiTask, unit: LogicalUnit): void {
  const { cdb, cdbPosition } = task
  const lba = readLba(cdb, cdbPosition)
  const blockCount = readTransferLength(cdb, cdbPosition)
  if (checkRange(task, unit, lba, blockCount)) flushThen(task, unit, synchronized)
}

function synchronized(task: ScsiTask, error: VolumeError | null): void {
  if (error === null) task.finish(Status.Good)
  else failWithVolumeError(task, error)
}

export const synchronizeCacheCommands: readonly Command[] = [
  {
    name: 'SYNCHRONIZE CACHE(10)',
    opcode: Opcode.SynchronizeCache10,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.SynchronizeCache10, 0, 255, 255, 255, 255, 0, 255, 255, CONTROL_USAGE),
    access: 'change',
    effect: 'none',
    execute: synchronizeCache,
  },
  {
    name: 'SYNCHRONIZE CACHE(16)',
    opcode: Opcode.SynchronizeCache16,
    // biome-ignore format: a CDB is one line
    usage: Uint8Array.of(Opcode.SynchronizeCache16, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, CONTROL_USAGE),
    access: 'change',
    effect: 'none',
    execute: synchronizeCache,
  },
]
