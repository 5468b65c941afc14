/**
 * Which statuses of one connection the initiator has acknowledged, by the ExpStatSN that all its PDUs
 * carry, and who waits for it to do so (RFC 7143 section 4.2.2.2).
 */
import { serialLess } from '@platter/protocol/iscsi'

export class Acknowledgements {
  /** As the last PDU had it: every status with a StatSN before it has arrived. */
  expStatSN: number
  /** Whether anybody waits; a field, as it is asked with every PDU. */
  awaited = false
  #waiting: { readonly statSN: number; readonly done: () => void }[] = []

  constructor(firstStatSN: number) {
    this.expStatSN = firstStatSN
  }

  /** Whether every status before `statSN` has arrived. */
  covers(statSN: number): boolean {
    return !serialLess(this.expStatSN, statSN)
  }

  /** Calls `done` when every status before `statSN` has arrived, or never can. */
  await(statSN: number, done: () => void): void {
    this.#waiting.push({ statSN, done })
    this.awaited = true
  }

  /** To be called when `expStatSN` has been set while somebody waits. */
  tell(): void {
    const due = this.#waiting.filter(({ statSN }) => this.covers(statSN))
    if (due.length === 0) return
    this.#waiting = this.#waiting.filter(({ statSN }) => !this.covers(statSN))
    this.awaited = this.#waiting.length > 0
    for (const { done } of due) done()
  }

  /** The connection is over: nobody waits any longer. */
  end(): void {
    const due = this.#waiting
    this.#waiting = []
    this.awaited = false
    for (const { done } of due) done()
  }
}
