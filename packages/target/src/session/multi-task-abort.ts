/**
 * Ending many tasks at once by the standard semantics (RFC 7143 section 4.2.3.3), which hold unless
 * TaskReporting is FastAbort. That the response stays in its order is for the Response Fence.
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
  /** No affected task is left, on any connection; `nexuses` are those that had some. */
  aborted(nexuses: ReadonlySet<Nexus>): void
}

export function abortTasks(abort: MultiTaskAbort): void {
  const affected = [...tasksOf(abort.sessions, abort.isAffected)]
  const nexuses = new Set(affected.map(([{ nexus }]) => nexus))
  // The issuer goes on answering the R2Ts that it has; others need not know of the abort.
  for (const [session, task] of affected) {
    if (session === abort.issuer && task.stage === TaskStage.Executing) task.awaitData()
  }
  abortAll(affected, () => abort.aborted(nexuses))
}
