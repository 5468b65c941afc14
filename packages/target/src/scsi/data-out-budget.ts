/**
 * What the commands of one logical unit may gather of their data before they do anything: those that are
 * atomic need all of it at hand, and a window full of them would fill the memory.
 */
import type { ScsiTask } from './scsi-task.ts'

export class DataOutBudget {
  readonly #limitBytes: number
  readonly #taken = new Map<ScsiTask, number>()
  #takenBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Reserves the bytes for the task until `release`; false when others have too many. */
  take(task: ScsiTask, bytes: number): boolean {
    if (this.#takenBytes + bytes > this.#limitBytes) return false
    this.#taken.set(task, bytes)
    this.#takenBytes += bytes
    return true
  }

  /** The task has ended, however; it may never have taken anything. */
  release(task: ScsiTask): void {
    if (this.#taken.size === 0) return
    this.#takenBytes -= this.#taken.get(task) ?? 0
    this.#taken.delete(task)
  }
}
