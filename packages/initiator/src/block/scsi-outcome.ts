/** What the end of a SCSI command means for the host: done, worth another try, or an error. */
import {
  decodeSense,
  formatSense,
  formatStatus,
  type Sense,
  SenseKey,
  Status,
} from '@platter/protocol/scsi'
import type { ScsiTask } from '../session/task.ts'
import { BlockError, type BlockErrorCode } from './block-error.ts'

/** `Retry`: at once. `Wait`: after a while. */
export const Verdict = { Done: 0, Retry: 1, Wait: 2, Failed: 3 } as const
export type Verdict = (typeof Verdict)[keyof typeof Verdict]

const BECOMING_READY = 0x0401
const WRITE_PROTECTED = 0x2700
const SPACE_ALLOCATION_FAILED = 0x2707

/** The verdict on a task that has ended. GOOD with fewer bytes than were asked for is a failure. */
export function verdictOf(task: ScsiTask): Verdict {
  if (task.error !== null) return Verdict.Failed
  switch (task.status) {
    case Status.Good:
      return verdictOfTransfer(task)
    case Status.Busy:
    case Status.TaskSetFull:
      return Verdict.Wait
    case Status.TaskAborted:
      return Verdict.Retry
    case Status.CheckCondition:
      return verdictOfSense(task, senseOf(task))
    default:
      return Verdict.Failed
  }
}

function verdictOfTransfer(task: ScsiTask): Verdict {
  return task.transferredLength === task.length ? Verdict.Done : Verdict.Failed
}

function verdictOfSense(task: ScsiTask, sense: Sense | undefined): Verdict {
  switch (sense?.senseKey) {
    case SenseKey.RecoveredError:
      return verdictOfTransfer(task)
    case SenseKey.UnitAttention:
    case SenseKey.AbortedCommand:
      return Verdict.Retry
    case SenseKey.NotReady:
      return codeOf(sense) === BECOMING_READY ? Verdict.Wait : Verdict.Failed
    default:
      return Verdict.Failed
  }
}

/** Whether the unit has told, with this command, that something is not what it was. */
export function isUnitAttention(task: ScsiTask): boolean {
  return task.status === Status.CheckCondition && senseOf(task)?.senseKey === SenseKey.UnitAttention
}

/** The error for a task that was not done; `what` says which operation, on what. */
export function errorOf(task: ScsiTask, what: string): BlockError {
  if (task.error !== null) {
    return new BlockError('EIO', `${what}: ${task.error.message}`, task.error)
  }
  if (task.status === Status.Good) {
    const got = `${task.transferredLength} of ${task.length} bytes`
    return new BlockError('EIO', `${what}: the target moved only ${got}`)
  }
  const sense = task.status === Status.CheckCondition ? senseOf(task) : undefined
  const said = formatStatus(task.status) + (sense === undefined ? '' : `, ${formatSense(sense)}`)
  return new BlockError(errnoOf(task.status, sense), `${what}: ${said}`)
}

function errnoOf(status: number, sense: Sense | undefined): BlockErrorCode {
  if (status === Status.ReservationConflict) return 'EBADE'
  if (sense?.senseKey !== SenseKey.DataProtect) return 'EIO'
  switch (codeOf(sense)) {
    case WRITE_PROTECTED:
      return 'EROFS'
    case SPACE_ALLOCATION_FAILED:
      return 'ENOSPC'
    default:
      return 'EIO'
  }
}

/** ASC and ASCQ as four hex digits, as in 0x2a09. */
function codeOf(sense: Sense): number {
  return sense.additionalSenseCode * 256 + sense.additionalSenseCodeQualifier
}

function senseOf(task: ScsiTask): Sense | undefined {
  if (task.senseLength === 0) return undefined
  try {
    return decodeSense(task.sense.subarray(0, task.senseLength))
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
