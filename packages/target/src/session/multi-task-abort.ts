/**
 * Ending many tasks at once by the standard semantics (RFC 7143 section 4.2.3.3), which are what
 * TaskReporting=RFC3720 asks for: the answer comes when the affected tasks are over on every
 * connection of every session, and when their initiators have all that was sent before.
 */
import type { Nexus } from '../scsi/scsi-task.ts'
import { abortAll, tasksOf } from './abort.ts'
import type { Session } from './session.ts'
import { type Task, TaskStage } from './task.ts'

export interface MultiTaskAbort {
  /** The session that asks. */
  readonly issuer: Session
  /** The sessions whose tasks may be affected, those included that have ended but for their I/O. */
  readonly sessions: Iterable<Session>
  isAffected(task: Task): boolean
  /** No affected task is left; `nexuses` are those that had some. */
  aborted(nexuses: ReadonlySet<Nexus>): void
  /** Nothing is to be waited for any more. */
  settled(): void
}

export function abortTasks(abort: MultiTaskAbort): void {
  const affected = [...tasksOf(abort.sessions, abort.isAffected)]
  const sessions = new Set(affected.map(([session]) => session))
  // The issuer goes on answering the R2Ts that it has; others need not know of the abort.
  for (const [session, task] of affected) {
    if (session === abort.issuer && task.stage === TaskStage.Executing) task.awaitData()
  }
  abortAll(affected, () => {
    abort.aborted(new Set([...sessions].map(({ nexus }) => nexus)))
    whenAcknowledged(sessions, abort.settled)
  })
}

/** Calls `done` when the initiators have every status sent so far on all connections of `sessions`. */
function whenAcknowledged(sessions: Iterable<Session>, done: () => void): void {
  let waiting = 1
  const acknowledged = () => {
    waiting--
    if (waiting === 0) done()
  }
  for (const session of sessions) {
    for (const connection of [...session.connections.values()]) {
      waiting++
      connection.whenAcknowledged(acknowledged)
    }
  }
  acknowledged()
}
