/** Aborting tasks in the middle of what they do, of one session or of several. */
import type { Session } from './session.ts'
import { type Task, TaskStage } from './task.ts'

/** The tasks of `sessions` that `chosen` picks. */
export function* tasksOf(
  sessions: Iterable<Session>,
  chosen: (task: Task) => boolean,
): Generator<[Session, Task]> {
  for (const session of sessions) {
    for (const task of [...session.tasks.values()]) {
      if (chosen(task)) yield [session, task]
    }
  }
}

/**
 * Aborts `tasks`, and calls `done` when the last of their storage operations has ended: nothing of
 * them reaches a volume after it. At once if there is none.
 */
export function abortAll(tasks: Iterable<[Session, Task]>, done: () => void): void {
  let waiting = 1
  const ended = () => {
    waiting--
    if (waiting === 0) done()
  }
  for (const [session, task] of tasks) {
    if (task.pendingIo > 0) {
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

/**
 * Ends the tasks of `session` for which `senseOf` has sense data as `abortAll` does, but answers them:
 * CHECK CONDITION.
 */
export function failAll(
  session: Session,
  senseOf: (task: Task) => Buffer | null,
  done: () => void,
): void {
  const failed: [Session, Task][] = []
  for (const task of session.tasks.values()) {
    if (task.stage !== TaskStage.Executing && task.stage !== TaskStage.Aborted) continue
    const sense = senseOf(task)
    if (sense === null) continue
    failed.push([session, task])
    if (task.stage === TaskStage.Executing) task.failWith(sense)
  }
  abortAll(failed, done)
}
