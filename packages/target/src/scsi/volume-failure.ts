/** What a Volume's error is to a SCSI initiator: the one place that decides it. */
import type { Sense } from '@platter/protocol/scsi'
import {
  internalTargetFailure,
  Opcode,
  readLba,
  spaceAllocationFailed,
  unrecoveredReadError,
  writeError,
} from '@platter/protocol/scsi'
import type { VolumeError } from '../volume/volume.ts'
import { fail } from './command.ts'
import type { LogicalUnit } from './logical-unit.ts'
import type { ScsiTask } from './scsi-task.ts'

/** Ends a command of `task.unit` whose storage failed. */
export function failWithVolumeError(task: ScsiTask, error: VolumeError): void {
  fail(task, senseOfVolumeError(error, task.unit as LogicalUnit, task.cdb, task.cdbPosition))
}

function senseOfVolumeError(
  error: VolumeError,
  unit: LogicalUnit,
  cdb: Buffer,
  cdbPosition: number,
): Sense {
  switch (systemCode(error)) {
    case 'EIO':
      return mediumError(error, failedLba(error, unit, cdb, cdbPosition))
    case 'ENOSPC':
    case 'EDQUOT':
      return spaceAllocationFailed
    default:
      return internalTargetFailure
  }
}

function mediumError(error: VolumeError, lba: number | undefined): Sense {
  if (error.op === 'read') return unrecoveredReadError(lba)
  // Which of the blocks written before a flush were lost, nobody knows.
  return error.op === 'flush' ? writeError() : writeError(lba)
}

/**
 * Exact when the unit's own volume names the place. An error that a member disk below it reports
 * has that disk's offset: then the command's first block stands for the range.
 */
function failedLba(
  error: VolumeError,
  unit: LogicalUnit,
  cdb: Buffer,
  cdbPosition: number,
): number | undefined {
  if (error.volume === unit.volume.name) return Math.floor(error.offset / unit.blockSizeBytes)
  // The ranges of UNMAP are not in its CDB.
  return cdb[cdbPosition] === Opcode.Unmap ? undefined : readLba(cdb, cdbPosition)
}

/** The first system error code in the chain of causes. */
function systemCode(error: Error): string | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code
  }
  return undefined
}
