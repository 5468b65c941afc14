/** A clock that goes on when it is told to. */
import type { Clock, Timer } from '../../../src/volume/raid/clock.ts'

interface Pending {
  readonly at: number
  readonly callback: () => void
}

export class FakeClock implements Clock {
  #now = 0
  #pending: Pending[] = []

  /** How many callbacks are to come. */
  get pendingCount(): number {
    return this.#pending.length
  }

  now(): number {
    return this.#now
  }

  after(delayMs: number, callback: () => void): Timer {
    const pending = { at: this.#now + delayMs, callback }
    this.#pending.push(pending)
    return { cancel: () => this.#remove(pending) }
  }

  /** Lets the time pass, and what happens in it settle. */
  async advance(delayMs: number): Promise<void> {
    const until = this.#now + delayMs
    await settle()
    for (;;) {
      const due = this.#pending.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#remove(due)
      this.#now = Math.max(this.#now, due.at)
      due.callback()
      await settle()
    }
    this.#now = Math.max(this.#now, until)
  }

  #remove(pending: Pending): void {
    this.#pending = this.#pending.filter((one) => one !== pending)
  }
}

/** Turns of the event loop, enough for whatever waits for nothing but volumes in memory. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setImmediate(resolve))
}
