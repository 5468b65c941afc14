/**
 * When the commands of one logical unit may begin, by their task attributes (SAM-5 section 8.6). SIMPLE ones
 * begin as they come. An ORDERED one begins when all that came before have ended, and what comes after begins
 * when it has ended. A HEAD OF QUEUE one begins at once, whoever waits.
 */
import { type ScsiTask, TaskAttribute } from './scsi-task.ts'

/** A command that may not begin yet (SAM-5 section 8.5: in dormant state). */
interface Dormant {
  readonly task: ScsiTask
  readonly begin: () => void
}

export class TaskSet {
  /** Commands that have begun and not ended. */
  #enabledCount = 0
  /** The ORDERED one among them. */
  #ordered: ScsiTask | null = null
  /** In the order of arrival. */
  readonly #dormant: Dormant[] = []
  #resuming = false

  /** `enable` in the usual case of a SIMPLE command that nobody holds up; else false, and nothing is done. */
  enableFree(task: ScsiTask): boolean {
    if (task.attribute !== TaskAttribute.Simple || this.#isHeldUp) return false
    this.#admit(task)
    return true
  }

  /** Calls `begin`, perhaps at once, when the command may begin. */
  enable(task: ScsiTask, begin: () => void): void {
    const isFirst = task.attribute === TaskAttribute.HeadOfQueue
    if (isFirst || (!this.#isHeldUp && this.#mayBegin(task))) {
      this.#admit(task)
      begin()
    } else this.#dormant.push({ task, begin })
  }

  /** The task has ended, however; it may never have come here. */
  leave(task: ScsiTask): void {
    if (task.isEnabled) {
      task.isEnabled = false
      this.#enabledCount -= 1
      if (this.#ordered === task) this.#ordered = null
    } else {
      const index = this.#dormant.findIndex((dormant) => dormant.task === task)
      if (index < 0) return
      this.#dormant.splice(index, 1)
    }
    // Not from within: the transport may be in the middle of laying out this task's response.
    if (this.#dormant.length === 0 || this.#resuming) return
    this.#resuming = true
    process.nextTick(() => this.#resume())
  }

  get #isHeldUp(): boolean {
    return this.#ordered !== null || this.#dormant.length > 0
  }

  /** Whether those that have begun let it begin, when its turn has come. */
  #mayBegin({ attribute }: ScsiTask): boolean {
    return attribute === TaskAttribute.Ordered ? this.#enabledCount === 0 : this.#ordered === null
  }

  #admit(task: ScsiTask): void {
    task.isEnabled = true
    this.#enabledCount += 1
    if (task.attribute === TaskAttribute.Ordered) this.#ordered = task
  }

  /** Begins, the oldest first, what may begin now. What they do may change the set. */
  #resume(): void {
    this.#resuming = false
    for (let next = this.#dormant[0]; next !== undefined; next = this.#dormant[0]) {
      if (!this.#mayBegin(next.task)) return
      this.#dormant.shift()
      this.#admit(next.task)
      next.begin()
    }
  }
}
