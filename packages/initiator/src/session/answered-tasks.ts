/**
 * Commands that have their outcome. Each ends at once or, if it was answered before all of its data were
 * sent, when the network has taken those that were lent to it: then its buffer is free.
 */
import type { PduWriter } from './pdu-writer.ts'
import { type ScsiTask, TaskQueue } from './task.ts'

export class AnsweredTasks {
  readonly #writer: PduWriter
  readonly #end: (task: ScsiTask) => void
  readonly #waiting = new TaskQueue()

  constructor(writer: PduWriter, end: (task: ScsiTask) => void) {
    this.#writer = writer
    this.#end = end
  }

  add(task: ScsiTask): void {
    if (this.#writer.hasSent(task.lentUntilBytes)) {
      this.#end(task)
    } else {
      task.answered = true
      this.#waiting.push(task)
    }
  }

  /** To be called when the network has taken some of the output. */
  onDrain(): void {
    for (let task = this.#waiting.head; task !== null; task = this.#waiting.head) {
      if (!this.#writer.hasSent(task.lentUntilBytes)) return
      this.#waiting.shift()
      this.#end(task)
    }
  }
}
