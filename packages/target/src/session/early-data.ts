/**
 * Buffers for the data of commands that come before their turn, which with several connections is most of
 * them. Large ones are used again: memory that is new for each costs more than the copy into it, in page
 * faults and in garbage collection.
 */

/** From here on buffers are used again, all of one length. */
const REUSED_BYTES_MIN = 32 * 1024
/** Of those, how much is kept for the next command. */
const KEPT_BYTES_MAX = 2 * 1024 * 1024

export class EarlyDataBuffers {
  readonly #longest: number
  readonly #free: Buffer[] = []

  /** `longest`: the most that a command brings unasked, FirstBurstLength, in bytes. */
  constructor(longest: number) {
    this.#longest = longest
  }

  /** A buffer of at least `length` bytes, up to `longest`; they hold anything. */
  take(length: number): Buffer {
    if (length < REUSED_BYTES_MIN) return Buffer.allocUnsafeSlow(length)
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#longest)
  }

  /** `buffer` must be one that `take` returned, and no longer be used. Not to give one back does no harm. */
  giveBack(buffer: Buffer): void {
    if (buffer.length < REUSED_BYTES_MIN) return
    if ((this.#free.length + 1) * this.#longest <= KEPT_BYTES_MAX) this.#free.push(buffer)
  }
}
