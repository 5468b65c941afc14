/** Runs changes one after another, so that each sees what the one before it made. */
import { TargetError } from './admin/target-facade.ts'

/** Changes that may wait; a person's commands never come near it. */
const waitingMax = 256

export class ChangeQueue {
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #closed = false

  /** Runs `change` when those before it are done. Rejects with TargetError when there are too many, or after `close`. */
  run<T>(change: () => Promise<T>): Promise<T> {
    if (this.#closed) {
      return Promise.reject(new TargetError('shutting-down', 'the server is stopping'))
    }
    if (this.#waiting >= waitingMax) {
      return Promise.reject(
        new TargetError('unavailable', `${waitingMax} changes are waiting already`),
      )
    }
    this.#waiting++
    const result = this.#last.then(change).finally(() => {
      this.#waiting--
    })
    this.#last = result.catch(() => {})
    return result
  }

  /** Takes no more; resolves when those taken are done. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#last
  }
}
