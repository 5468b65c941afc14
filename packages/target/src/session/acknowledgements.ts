/**
 * Which statuses of one connection the initiator has acknowledged, by the ExpStatSN that all its PDUs
 * carry, and who waits for it to do so (RFC 7143 section 4.2.2.2).
 */
import { serialLess } from '@platter/protocol/iscsi'

export class Acknowledgements {
  /** As the last PDU had it: every status with a StatSN before it has arrived. */
  #expStatSN: number
  #waiting: { readonly statSN: number; readonly done: () => void }[] = []
  /** When `isOverdue` first saw somebody wait for what has not come yet. */
  #waitingSinceMs: number | null = null

  /** `firstStatSN` is that of the next status; those before it have arrived. */
  constructor(firstStatSN: number) {
    this.#expStatSN = firstStatSN
  }

  /** To be called with each PDU's ExpStatSN. */
  note(expStatSN: number): void {
    this.#expStatSN = expStatSN
    if (this.#waiting.length > 0) this.#tell()
  }

  /**
   * Calls `done` when every status before `statSN` has arrived, or never can: at once if so already.
   * True when that is waited for.
   */
  await(statSN: number, done: () => void): boolean {
    if (this.#covers(statSN)) {
      done()
      return false
    }
    this.#waiting.push({ statSN, done })
    return true
  }

  /** Whether somebody has waited for longer than `limitMs`, by a clock that never goes back. */
  isOverdue(nowMs: number, limitMs: number): boolean {
    if (this.#waiting.length === 0) {
      this.#waitingSinceMs = null
      return false
    }
    this.#waitingSinceMs ??= nowMs
    return nowMs - this.#waitingSinceMs > limitMs
  }

  /** The connection is over: nobody waits any longer. */
  end(): void {
    const due = this.#waiting
    this.#waiting = []
    for (const { done } of due) done()
  }

  #covers(statSN: number): boolean {
    return !serialLess(this.#expStatSN, statSN)
  }

  #tell(): void {
    const due = this.#waiting.filter(({ statSN }) => this.#covers(statSN))
    if (due.length === 0) return
    this.#waiting = this.#waiting.filter(({ statSN }) => !this.#covers(statSN))
    this.#waitingSinceMs = null
    for (const { done } of due) done()
  }
}
