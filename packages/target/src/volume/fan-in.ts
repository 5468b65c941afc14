/** Several operations that report as one. */
import type { IoCompletion, VolumeError } from './volume.ts'

/**
 * Counts down the parts of one operation. Records are kept and reused by the FanInPool that made
 * them; a record is the caller's from `start` until its owner is told.
 */
export class FanIn implements IoCompletion {
  /** What the whole operation reports to. */
  completion: IoCompletion | null = null
  pending = 0
  error: VolumeError | null = null
  readonly pool: FanInPool

  constructor(pool: FanInPool) {
    this.pool = pool
  }

  ioCompleted(error: VolumeError | null): void {
    if (error !== null && this.error === null) this.error = error
    this.pending--
    if (this.pending === 0) this.pool.finish(this)
  }
}

/** Says where an error of a part lies in the whole. */
export type LocateError = (error: VolumeError) => VolumeError

/** Makes and keeps FanIn records, and knows how many operations are in flight. */
export class FanInPool {
  readonly #locate: LocateError | null
  readonly #free: FanIn[] = []
  #inFlight = 0
  #idleWaiters: (() => void)[] = []

  constructor(locate: LocateError | null = null) {
    this.#locate = locate
  }

  /** A record for `parts` operations, each of which must then be started with it as completion. */
  start(parts: number, completion: IoCompletion): FanIn {
    const fanIn = this.#free.pop() ?? new FanIn(this)
    fanIn.pending = parts
    fanIn.completion = completion
    this.#inFlight++
    return fanIn
  }

  finish(fanIn: FanIn): void {
    const completion = fanIn.completion!
    const { error } = fanIn
    fanIn.completion = null
    fanIn.error = null
    this.#free.push(fanIn)
    this.#inFlight--
    completion.ioCompleted(error !== null && this.#locate !== null ? this.#locate(error) : error)
    if (this.#inFlight === 0 && this.#idleWaiters.length > 0) {
      for (const wake of this.#idleWaiters.splice(0)) wake()
    }
  }

  /** Resolves once nothing is in flight. */
  idle(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idleWaiters.push(resolve))
  }
}
