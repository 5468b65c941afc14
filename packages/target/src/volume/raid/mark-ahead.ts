/** Which regions will be written next: those after what somebody writes from front to back. */

/** As many sequences are followed at once; the one that was taken up first makes room for another. */
const SEQUENCES_MAX = 16
const FIRST_COUNT = 2

/**
 * To mark a region costs a flush. When what is to be marked continues what was marked before, some regions
 * after it are marked with it, twice as many each time.
 */
export class MarkAhead {
  readonly #countMax: number
  /** The region that would continue each sequence. */
  readonly #next = new Float64Array(SEQUENCES_MAX).fill(-1)
  /** How many regions were marked ahead in it the last time. */
  readonly #count = new Float64Array(SEQUENCES_MAX)
  #oldest = 0

  /** Never marks more ahead than `countMax`. */
  constructor(countMax: number) {
    this.#countMax = countMax
  }

  /** How many regions from `end` on to mark too, when it is `first` and what follows up to `end`. */
  count(first: number, end: number): number {
    let sequence = this.#next.indexOf(first)
    if (sequence < 0) {
      sequence = this.#oldest
      this.#oldest = (this.#oldest + 1) % SEQUENCES_MAX
      this.#count[sequence] = 0
    } else {
      const doubled = Math.max(2 * this.#count[sequence]!, FIRST_COUNT)
      this.#count[sequence] = Math.min(doubled, this.#countMax)
    }
    const count = this.#count[sequence]!
    this.#next[sequence] = end + count
    return count
  }
}
