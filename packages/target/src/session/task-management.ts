/**
 * Task management functions (RFC 7143 section 11.5). The response waits until storage operations of
 * the tasks they aborted have ended, on every connection: nothing aborted is written after it.
 */
import {
  serialLess,
  TaskManagementFunction,
  TaskManagementRequest,
  TaskManagementResponseCode,
} from '@platter/protocol/iscsi'
import type { TaskManagementOutcome } from '../scsi/scsi-task.ts'
import type { ControlContext, ControlPdu } from './control-pdu.ts'
import type { Session } from './session.ts'
import { type Task, TaskStage } from './task.ts'

const Code = TaskManagementResponseCode

const outcomeCodes: Record<TaskManagementOutcome, number> = {
  complete: Code.FunctionComplete,
  'lun-does-not-exist': Code.LunDoesNotExist,
  'not-supported': Code.FunctionNotSupported,
}

export function taskManagementRequest(context: ControlContext, { header }: ControlPdu): void {
  const pdu = new TaskManagementRequest().at(header, 0)
  const { session } = context
  const lun = Buffer.from(header.subarray(8, 16))
  const onLun = (task: Task) => task.lunBuffer.equals(lun)
  const { executor, nexus } = session
  const whenAborted = (tasks: Iterable<[Session, Task]>, code: () => number) =>
    abortAll(tasks, () => context.responder.taskManagementResponse(pdu.initiatorTaskTag, code()))
  const complete = () => Code.FunctionComplete
  switch (pdu.function) {
    case TaskManagementFunction.AbortTask:
      abortTask(context, pdu, whenAborted)
      break
    case TaskManagementFunction.AbortTaskSet:
      whenAborted(tasksOf([session], onLun), complete)
      break
    case TaskManagementFunction.ClearTaskSet:
      whenAborted(tasksOf(context.sessions(), onLun), complete)
      break
    case TaskManagementFunction.LogicalUnitReset:
      whenAborted(
        tasksOf(context.sessions(), onLun),
        () => outcomeCodes[executor.resetLogicalUnit(nexus, lun)],
      )
      break
    case TaskManagementFunction.TargetWarmReset:
    case TaskManagementFunction.TargetColdReset:
      whenAborted(
        tasksOf(context.sessions(), () => true),
        () => outcomeCodes[executor.resetTarget(nexus)],
      )
      break
    case TaskManagementFunction.TaskReassign:
      whenAborted([], () => Code.TaskAllegianceReassignmentNotSupported)
      break
    default:
      whenAborted([], () => Code.FunctionNotSupported)
  }
}

type WhenAborted = (tasks: Iterable<[Session, Task]>, code: () => number) => void

function abortTask(
  context: ControlContext,
  pdu: TaskManagementRequest,
  whenAborted: WhenAborted,
): void {
  const { session } = context
  const task = session.tasks.get(pdu.referencedTaskTag)
  if (task !== undefined) {
    whenAborted([[session, task]], () => Code.FunctionComplete)
    return
  }
  // A command that is still on its way is taken as received and aborted (RFC 7143 section 11.6.1).
  const { window } = session
  const onItsWay = !serialLess(pdu.refCmdSN, window.expCmdSN) && serialLess(pdu.refCmdSN, pdu.cmdSN)
  if (onItsWay && !session.isKept(pdu.refCmdSN)) {
    session.keepEarly(pdu.refCmdSN, { deliver: () => window.release() })
    session.runEarly()
  }
  whenAborted([], () => (onItsWay ? Code.FunctionComplete : Code.TaskDoesNotExist))
}

function* tasksOf(
  sessions: Iterable<Session>,
  chosen: (task: Task) => boolean,
): Generator<[Session, Task]> {
  for (const session of sessions) {
    for (const task of [...session.tasks.values()]) {
      if (chosen(task)) yield [session, task]
    }
  }
}

/** Aborts all, and calls `done` when the last of their storage operations has ended. */
function abortAll(tasks: Iterable<[Session, Task]>, done: () => void): void {
  let waiting = 1
  const ended = () => {
    waiting--
    if (waiting === 0) done()
  }
  for (const [session, task] of tasks) {
    if (task.stage === TaskStage.Free) continue
    const busy = task.pendingIo > 0
    if (busy) {
      waiting++
      const before = task.onAborted
      task.onAborted = () => {
        before?.()
        ended()
      }
    }
    session.abort(task)
  }
  ended()
}
