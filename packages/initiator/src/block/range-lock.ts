/**
 * Holds overlapping ranges apart: a range is granted when no range asked for before it, and not yet
 * released, overlaps it. So nobody overtakes, and nobody waits for ever.
 */

/** Bytes `start` to `end`; the same object may be acquired again after its release. */
export interface LockedRange {
  readonly start: number
  readonly end: number
  /** The range is held from now on: from within `acquire`, or from within somebody's `release`. */
  granted(): void
}

export class RangeLock {
  /** Held ranges do not overlap one another. */
  readonly #held: LockedRange[] = []
  #waiting: LockedRange[] = []

  acquire(range: LockedRange): void {
    if (overlapsAny(this.#held, range) || overlapsAny(this.#waiting, range)) {
      this.#waiting.push(range)
      return
    }
    this.#held.push(range)
    range.granted()
  }

  /** `range` must be held. */
  release(range: LockedRange): void {
    const last = this.#held.pop() as LockedRange
    if (last !== range) this.#held[this.#held.indexOf(range)] = last
    if (this.#waiting.length > 0) this.#grantWaiting()
  }

  #grantWaiting(): void {
    const still: LockedRange[] = []
    const granted: LockedRange[] = []
    for (const range of this.#waiting) {
      if (overlapsAny(this.#held, range) || overlapsAny(still, range)) still.push(range)
      else {
        this.#held.push(range)
        granted.push(range)
      }
    }
    this.#waiting = still
    for (const range of granted) range.granted()
  }
}

function overlapsAny(ranges: readonly LockedRange[], range: LockedRange): boolean {
  for (const other of ranges) {
    if (other.start < range.end && range.start < other.end) return true
  }
  return false
}
