/**
 * Time for sessions: what passes while this process runs. When it was held up (stopped, or its machine
 * asleep), answers may have come that it could not look at; so a long step counts as a short one.
 */

/** The most that one step counts, in ms; the sockets' ticks come more often. */
const STEP_MAX_MS = 1000

export class RunningClock {
  nowMs = 0
  #seenMs = performance.now()

  /** To be called a few times a second; returns the new time. */
  advance(): number {
    const seenMs = performance.now()
    this.nowMs += Math.min(seenMs - this.#seenMs, STEP_MAX_MS)
    this.#seenMs = seenMs
    return this.nowMs
  }
}
