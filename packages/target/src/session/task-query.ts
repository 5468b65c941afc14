/** Task management functions that ask and change nothing (RFC 7144; SAM-5 sections 7.8 to 7.10). */
import {
  serialLess,
  type TaskManagementRequest,
  TaskManagementResponseCode,
} from '@platter/protocol/iscsi'
import type { PendingEvent } from '../scsi/scsi-task.ts'
import type { Session } from './session.ts'
import { type Task, TaskStage } from './task.ts'

const Code = TaskManagementResponseCode

/** QUERY TASK: whether the task is in the task set. */
export function queryTask(session: Session, pdu: TaskManagementRequest): number {
  if (session.managing.has(pdu.referencedTaskTag)) return Code.FunctionRejected
  const lun = lunOf(pdu)
  if (!session.executor.hasUnit(session.nexus, lun)) return Code.LunDoesNotExist
  const task = session.tasks.get(pdu.referencedTaskTag)
  const isThere = task !== undefined && isInTaskSet(session, lun, task)
  return isThere ? Code.FunctionSucceeded : Code.FunctionComplete
}

/** QUERY TASK SET: whether any task of the nexus, sent before, is in the task set. */
export function queryTaskSet(session: Session, pdu: TaskManagementRequest): number {
  const lun = lunOf(pdu)
  if (!session.executor.hasUnit(session.nexus, lun)) return Code.LunDoesNotExist
  for (const task of session.tasks.values()) {
    const isEarlier = task.immediate || serialLess(task.cmdSN, pdu.cmdSN)
    if (isEarlier && isInTaskSet(session, lun, task)) return Code.FunctionSucceeded
  }
  return Code.FunctionComplete
}

/** QUERY ASYNCHRONOUS EVENT: what the next command would be told of instead of being executed. */
export function queryAsynchronousEvent(
  session: Session,
  pdu: TaskManagementRequest,
): { response: number; information: number } {
  const { executor, nexus } = session
  const lun = lunOf(pdu)
  if (!executor.hasUnit(nexus, lun)) return { response: Code.LunDoesNotExist, information: 0 }
  const event = executor.pendingEvent(nexus, lun)
  if (event === undefined) return { response: Code.FunctionComplete, information: 0 }
  return { response: Code.FunctionSucceeded, information: eventInformation(event) }
}

/** UADE DEPTH: what is known of the number of events. */
const Depth = { One: 1, Several: 2 } as const

/** The Additional Response Information: UADE DEPTH and sense key, ASC, ASCQ. */
function eventInformation(event: PendingEvent): number {
  const depth = event.more ? Depth.Several : Depth.One
  const { senseKey, additionalSenseCode, additionalSenseCodeQualifier } = event
  return (
    (((depth << 4) | senseKey) << 16) | (additionalSenseCode << 8) | additionalSenseCodeQualifier
  )
}

function isInTaskSet(session: Session, lun: Buffer, task: Task): boolean {
  return task.stage !== TaskStage.Aborted && session.executor.isForUnit(task, session.nexus, lun)
}

/** The LUN field, not copied. */
export function lunOf(pdu: TaskManagementRequest): Buffer {
  return pdu.buffer.subarray(pdu.lunPosition, pdu.lunPosition + 8)
}
