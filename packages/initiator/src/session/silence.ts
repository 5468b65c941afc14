/** How long the other end has been silent, and when it is to be asked, and given up. */

/** A path is dead when nothing has come over it for so long while something was due, in ms. */
export const PATH_TIMEOUT_MS = 5_000

export class Silence {
  readonly timeoutMs: number
  #broken = true
  #sinceMs: number
  #askedMs: number | null = null

  constructor(timeoutMs: number, nowMs: number) {
    this.timeoutMs = timeoutMs
    this.#sinceMs = nowMs
  }

  /** Something was heard; when, is for the next `onTimer` to say. */
  break(): void {
    this.#broken = true
  }

  onTimer(nowMs: number): void {
    if (!this.#broken) return
    this.#broken = false
    this.#sinceMs = nowMs
    this.#askedMs = null
  }

  /** How long it lasts, in ms. */
  lasts(nowMs: number): number {
    return nowMs - this.#sinceMs
  }

  /** An answer may take half the time, and is asked for when the other half has passed. */
  get answerMs(): number {
    return this.timeoutMs / 2
  }

  /** Whether to ask now; later when nothing is due. Each silence is asked about once. */
  asks(nowMs: number, due: boolean): boolean {
    if (this.#askedMs !== null) return false
    if (this.lasts(nowMs) <= (due ? this.answerMs : this.timeoutMs)) return false
    this.#askedMs = nowMs
    return true
  }

  /** Whether it was asked, and has not answered in time. */
  isDeath(nowMs: number): boolean {
    return this.#askedMs !== null && nowMs - this.#askedMs > this.answerMs
  }
}
