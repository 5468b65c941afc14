/** Keeps operations on overlapping ranges apart, in the order in which they were asked for. */

/** A range somebody wants to himself: an operation's own record, which it may use again afterwards. */
export interface LockedRange {
  readonly offset: number
  readonly length: number
  /** It is held now. Called at most once for each `acquire`, and never from within it. */
  lockGranted(): void
}

/**
 * As many are held as operations are in flight, which queues further up bound: so a look at each costs less
 * than keeping them in order would.
 */
export class RangeLocks {
  readonly #held: LockedRange[] = []
  readonly #waiting: LockedRange[] = []

  /** Whether nobody holds or waits for any of these bytes. */
  isFree(offset: number, length: number): boolean {
    return !overlapsAny(this.#held, offset, length) && !overlapsAny(this.#waiting, offset, length)
  }

  /** True if the range is held from now on; false if `lockGranted` will say so. */
  acquire(range: LockedRange): boolean {
    const free = this.isFree(range.offset, range.length)
    if (free) this.#held.push(range)
    else this.#waiting.push(range)
    return free
  }

  /** Gives a held range back, and grants what has waited for it. */
  release(range: LockedRange): void {
    const index = this.#held.indexOf(range)
    if (index < 0) throw new Error('a range that is not held was released')
    const last = this.#held.pop()!
    if (index < this.#held.length) this.#held[index] = last
    if (this.#waiting.length > 0) this.#grant()
  }

  #grant(): void {
    const granted: LockedRange[] = []
    let kept = 0
    for (const range of this.#waiting) {
      const { offset, length } = range
      // Those before it that still wait come first, or a large range would wait for ever.
      const free =
        !overlapsAny(this.#held, offset, length) &&
        !overlapsAny(this.#waiting, offset, length, kept)
      if (free) {
        this.#held.push(range)
        granted.push(range)
      } else {
        this.#waiting[kept] = range
        kept++
      }
    }
    this.#waiting.length = kept
    for (const range of granted) range.lockGranted()
  }
}

/** Does some work while holding a range. */
export async function whileLocked<T>(
  locks: RangeLocks,
  offset: number,
  length: number,
  work: () => Promise<T>,
): Promise<T> {
  const range = await new Promise<LockedRange>((resolve) => {
    const wanted = { offset, length, lockGranted: () => resolve(wanted) }
    if (locks.acquire(wanted)) resolve(wanted)
  })
  try {
    return await work()
  } finally {
    locks.release(range)
  }
}

function overlapsAny(
  ranges: readonly LockedRange[],
  offset: number,
  length: number,
  count = ranges.length,
): boolean {
  for (let index = 0; index < count; index++) {
    const range = ranges[index]!
    if (offset < range.offset + range.length && range.offset < offset + length) return true
  }
  return false
}
