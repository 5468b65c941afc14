/**
 * Task management functions (RFC 7143 section 11.5, and RFC 7144). The response waits until storage operations of
 * the tasks they aborted have ended, on every connection: nothing aborted is written after it.
 */
import {
  RejectReason,
  serialLess,
  TaskManagementFunction,
  TaskManagementRequest,
  TaskManagementResponseCode,
} from '@platter/protocol/iscsi'
import type { Nexus, TaskManagementOutcome } from '../scsi/scsi-task.ts'
import { abortAll } from './abort.ts'
import { Turn } from './command-window.ts'
import { type ControlContext, type ControlPdu, rejectPdu } from './control-pdu.ts'
import { abortTasks } from './multi-task-abort.ts'
import { IMMEDIATE_TASKS, RFC_7144_LEVEL, type Session, type SessionIdentity } from './session.ts'
import type { Task } from './task.ts'
import { lunOf, queryAsynchronousEvent, queryTask, queryTaskSet } from './task-query.ts'

const Code = TaskManagementResponseCode
const Fn = TaskManagementFunction

const outcomeCodes: Record<TaskManagementOutcome, number> = {
  complete: Code.FunctionComplete,
  'lun-does-not-exist': Code.LunDoesNotExist,
  'not-supported': Code.FunctionNotSupported,
}

export function taskManagementRequest(context: ControlContext, { header }: ControlPdu): void {
  const pdu = new TaskManagementRequest().at(header, 0)
  const { iSCSIProtocolLevel } = context.session.parameters
  if (pdu.function >= Fn.QueryTask && iSCSIProtocolLevel < RFC_7144_LEVEL) {
    answer(context, pdu, { code: Code.FunctionNotSupported })
    return
  }
  const { managing } = context.session
  if (managing.has(pdu.initiatorTaskTag)) {
    refuse(context, pdu, RejectReason.TaskInProgress)
    return
  }
  if (managing.size >= IMMEDIATE_TASKS) {
    refuse(context, pdu, RejectReason.ImmediateCommandReject)
    return
  }
  managing.add(pdu.initiatorTaskTag)
  switch (pdu.function) {
    case Fn.AbortTask:
      abortTask(context, pdu)
      break
    case Fn.AbortTaskSet:
    case Fn.ClearTaskSet:
    case Fn.LogicalUnitReset:
    case Fn.ITNexusReset:
    case Fn.QueryTaskSet:
      // An immediate request may overtake commands that it is for (RFC 7143 section 4.2.3.3).
      context.session.whenReceived(pdu.cmdSN, () => manageTasks(context, pdu))
      break
    case Fn.TargetWarmReset:
    case Fn.TargetColdReset:
      resetTarget(context, pdu)
      break
    case Fn.TaskReassign:
      answer(context, pdu, { code: Code.TaskAllegianceReassignmentNotSupported })
      break
    case Fn.QueryTask:
      answer(context, pdu, { code: queryTask(context.session, pdu) })
      break
    case Fn.QueryAsynchronousEvent: {
      const { response, information } = queryAsynchronousEvent(context.session, pdu)
      answer(context, pdu, { code: response, information })
      break
    }
    default:
      answer(context, pdu, { code: Code.FunctionNotSupported })
  }
}

/** The functions of RFC 7144 must not be answered with a Reject (its section 4.1). */
function refuse(context: ControlContext, pdu: TaskManagementRequest, reason: RejectReason): void {
  const { buffer, initiatorTaskTag } = pdu
  if (pdu.function >= Fn.QueryTask) {
    context.responder.taskManagementResponse(initiatorTaskTag, Code.FunctionRejected)
  } else rejectPdu(context, reason, buffer)
}

interface Answer {
  readonly code: number
  readonly information?: number
  /** That of a function for many tasks (RFC 7143 section 4.2.2.3.4). */
  readonly isFenced?: boolean
  /** What follows, once it is sent. */
  then?(): void
}

function answer(
  context: ControlContext,
  { initiatorTaskTag }: TaskManagementRequest,
  { code, information, isFenced = false, then }: Answer,
): void {
  const { session } = context
  const send = () => {
    session.managing.delete(initiatorTaskTag)
    if (context.isOpen) {
      context.responder.taskManagementResponse(initiatorTaskTag, code, information)
    }
    then?.()
  }
  session.fence.hand({ task: null, connection: context, isFenced, send })
}

/** The functions for several tasks, once all commands before them have come. */
function manageTasks(context: ControlContext, pdu: TaskManagementRequest): void {
  if (!context.isOpen) context.session.managing.delete(pdu.initiatorTaskTag)
  else if (pdu.function === Fn.ITNexusReset) resetNexus(context, pdu)
  else if (pdu.function === Fn.QueryTaskSet) {
    answer(context, pdu, { code: queryTaskSet(context.session, pdu) })
  } else manageUnit(context, pdu)
}

/** The functions that end all tasks of a logical unit. */
function manageUnit(context: ControlContext, pdu: TaskManagementRequest): void {
  const { session } = context
  const { executor, nexus } = session
  const lun = Buffer.from(lunOf(pdu))
  if (!executor.hasUnit(nexus, lun)) {
    answer(context, pdu, { code: Code.LunDoesNotExist })
    return
  }
  const resets = pdu.function === Fn.LogicalUnitReset
  abortTasks({
    issuer: session,
    sessions: pdu.function === Fn.AbortTaskSet ? [session] : context.port.sessions(),
    isAffected: (task) =>
      executor.isForUnit(task, nexus, lun) && (resets || isEarlier(task, nexus, pdu.cmdSN)),
    aborted: (nexuses) => {
      let code: number = Code.FunctionComplete
      if (resets) code = outcomeCodes[executor.resetLogicalUnit(nexus, lun)]
      else if (pdu.function === Fn.ClearTaskSet) executor.taskSetCleared(nexus, lun, nexuses)
      answer(context, pdu, { code, isFenced: true })
    },
  })
}

/** Only resets are for later commands of their own session as well (RFC 7143 section 11.5.1). */
function isEarlier(task: Task, nexus: Nexus, cmdSN: number): boolean {
  return task.nexus !== nexus || task.immediate || serialLess(task.cmdSN, cmdSN)
}

/** All tasks of the session end, and then it does, with its connections and its nexus (RFC 7144 section 6.3). */
function resetNexus(context: ControlContext, pdu: TaskManagementRequest): void {
  const { session } = context
  abortTasks({
    issuer: session,
    sessions: [session],
    isAffected: () => true,
    aborted: () => {
      const then = () => session.endConnections('the initiator reset its nexus')
      answer(context, pdu, { code: Code.FunctionComplete, isFenced: true, then })
    },
  })
}

function resetTarget(context: ControlContext, pdu: TaskManagementRequest): void {
  const { session } = context
  const { executor, nexus } = session
  const then = () => {
    if (pdu.function === Fn.TargetColdReset) endAllOf(session.identity, context.port.sessions())
  }
  abortTasks({
    issuer: session,
    sessions: context.port.sessions(),
    isAffected: (task) => executor.isVisible(task, nexus),
    aborted: () => {
      const code = outcomeCodes[executor.resetTarget(nexus)]
      answer(context, pdu, { code, isFenced: true, then })
    },
  })
  // Commands before it that have not come must not outlive it.
  session.plug(pdu.cmdSN)
}

/**
 * A cold reset is a power-on, and ends connections (RFC 7143 section 11.5.1): those of the initiator
 * that asks for it, since to the others this is a target of their own.
 */
function endAllOf({ initiatorName }: SessionIdentity, sessions: Iterable<Session>): void {
  for (const session of [...sessions]) {
    if (session.identity.initiatorName !== initiatorName) continue
    session.announceEnd()
    session.endConnections('the target was reset')
  }
}

function abortTask(context: ControlContext, pdu: TaskManagementRequest): void {
  const { session } = context
  if (session.managing.has(pdu.referencedTaskTag)) {
    // Task management itself cannot be aborted (RFC 7143 section 11.5.1).
    answer(context, pdu, { code: Code.FunctionRejected })
    return
  }
  const task = session.tasks.get(pdu.referencedTaskTag)
  if (task?.lunBuffer.equals(lunOf(pdu))) {
    abortAll([[session, task]], () => answer(context, pdu, { code: Code.FunctionComplete }))
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
  answer(context, pdu, { code: onItsWay ? Code.FunctionComplete : Code.TaskDoesNotExist })
}
