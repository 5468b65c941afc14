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
import { abortAll, tasksOf } from './abort.ts'
import { Turn } from './command-window.ts'
import type { ControlContext, ControlPdu } from './control-pdu.ts'
import type { Session } from './session.ts'
import type { Task } from './task.ts'

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
  const { executor, nexus } = session
  const onLun = (task: Task) => executor.isForUnit(task, nexus, lun)
  const whenAborted: WhenAborted = (tasks, code, answered) =>
    abortAll(tasks, () => {
      const outcome = code()
      if (context.isOpen) context.responder.taskManagementResponse(pdu.initiatorTaskTag, outcome)
      answered?.()
    })
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
      whenAborted(
        tasksOf(context.sessions(), () => true),
        () => outcomeCodes[executor.resetTarget(nexus)],
      )
      break
    case TaskManagementFunction.TargetColdReset:
      whenAborted(
        tasksOf(context.sessions(), () => true),
        () => outcomeCodes[executor.resetTarget(nexus)],
        () => endAll(context.sessions()),
      )
      break
    case TaskManagementFunction.TaskReassign:
      whenAborted([], () => Code.TaskAllegianceReassignmentNotSupported)
      break
    default:
      whenAborted([], () => Code.FunctionNotSupported)
  }
}

/** Aborts, answers with the code that is asked for then, and goes on with `answered`. */
type WhenAborted = (
  tasks: Iterable<[Session, Task]>,
  code: () => number,
  answered?: () => void,
) => void

/** A cold reset is a power-on to every initiator: all their connections end (RFC 7143 section 11.5.1). */
function endAll(sessions: Iterable<Session>): void {
  for (const session of [...sessions]) {
    for (const connection of [...session.connections.values()]) {
      connection.end('session-ended', 'the target was reset')
    }
  }
}

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
  const { refCmdSN } = pdu
  const onItsWay = window.turn(refCmdSN) !== Turn.Outside && serialLess(refCmdSN, pdu.cmdSN)
  if (onItsWay && !session.isKept(refCmdSN)) {
    session.keepPlace(refCmdSN)
    session.runEarly()
  }
  whenAborted([], () => (onItsWay ? Code.FunctionComplete : Code.TaskDoesNotExist))
}
