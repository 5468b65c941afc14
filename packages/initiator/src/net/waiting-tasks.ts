/** Commands that wait for a session to come back, in their order; and what becomes of those that wait too long. */
import { COMMAND_COST_BYTES } from '../session/placement.ts'
import type { ScsiTask } from '../session/task.ts'

export class WaitingTasks {
  #tasks: ScsiTask[] = []
  /** What they will move, and a little for each. */
  bytes = 0

  push(task: ScsiTask): void {
    this.#tasks.push(task)
    this.bytes += task.length + COMMAND_COST_BYTES
  }

  /** Those that have been under way go before those that came since. */
  putBack(unanswered: readonly ScsiTask[]): void {
    const since = this.take()
    for (const task of unanswered) this.push(task)
    for (const task of since) this.push(task)
  }

  take(): ScsiTask[] {
    const tasks = this.#tasks
    this.#tasks = []
    this.bytes = 0
    return tasks
  }

  /** Ends those that `isOverdue`. */
  failOverdue(isOverdue: (task: ScsiTask) => boolean, error: Error): void {
    for (const task of this.take()) {
      if (isOverdue(task)) endWithout(task, error)
      else this.push(task)
    }
  }

  failAll(error: Error): void {
    for (const task of this.take()) endWithout(task, error)
  }
}

/**
 * Ends a task without a status: not from within the call that executed it, and after whatever else
 * is due, so that who tries again at once does not keep the connection from coming back.
 */
export function endWithout(task: ScsiTask, error: Error): void {
  setImmediate(() => {
    task.reset()
    task.error = error
    task.done(task)
  })
}
