/** Operations that are done at once, and are to be told so later: one tick for all of a turn. */
import type { IoCompletion } from '../volume.ts'

export class ReadyList {
  #ready: IoCompletion[] = []
  #told: IoCompletion[] = []

  /** It is told on the next tick that all went well. */
  add(completion: IoCompletion): void {
    this.#ready.push(completion)
    if (this.#ready.length === 1) process.nextTick(this.#tell)
  }

  readonly #tell = (): void => {
    const ready = this.#ready
    this.#ready = this.#told
    this.#told = ready
    for (const completion of ready) completion.ioCompleted(null)
    ready.length = 0
  }
}
