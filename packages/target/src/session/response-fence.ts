/**
 * The Response Fence of a session (RFC 7143 section 4.2.2.3): a fenced response is sent when the initiator has
 * acknowledged all statuses sent before it, on every connection; and until it has acknowledged that one, the
 * responses that follow wait here. Whoever waits is told as well when a connection ends, so nothing waits for ever.
 */
import type { Task } from './task.ts'

/** A connection, as the fence sees it. */
export interface FencedConnection {
  /**
   * Calls `done` when the initiator has acknowledged every status sent so far, or the connection is
   * over; at once if it has.
   */
  whenAcknowledged(done: () => void): void
}

/** A response that is ready to be sent. */
export interface HandedResponse {
  /** Whose response it is; null for one to task management. */
  readonly task: Task | null
  /** Where it is sent. */
  readonly connection: FencedConnection
  readonly isFenced: boolean
  send(): void
}

export class ResponseFence {
  /** Whether responses have to wait. */
  isUp = false
  readonly #connections: ReadonlyMap<number, FencedConnection>
  /** The response that the fence is up for, until it is sent. */
  #raised: HandedResponse | null = null
  /** Those that follow it, in their order; bounded by what a session may have in progress. */
  readonly #held: HandedResponse[] = []

  /** `connections` are those of the session, as they are at any time. */
  constructor(connections: ReadonlyMap<number, FencedConnection>) {
    this.#connections = connections
  }

  /** On one connection nothing overtakes. */
  isFor(task: Task): boolean {
    return this.isUp || (task.isFenced && this.#connections.size > 1)
  }

  /** Sends `response` as soon as it may be sent. */
  hand(response: HandedResponse): void {
    if (this.isUp) this.#held.push(response)
    else this.#pass(response)
  }

  /** The response of `task` is not to be sent. */
  forget(task: Task): void {
    if (!this.isUp) return
    if (this.#raised?.task === task) this.#raised = null
    const index = this.#held.findIndex((response) => response.task === task)
    if (index >= 0) this.#held.splice(index, 1)
  }

  #pass(response: HandedResponse): void {
    if (response.isFenced) this.#raise(response)
    else response.send()
  }

  #raise(response: HandedResponse): void {
    this.isUp = true
    this.#raised = response
    this.#whenAllAcknowledged(() => {
      const isToBeSent = this.#raised !== null
      this.#raised = null
      if (isToBeSent) response.send()
      if (isToBeSent && this.#connections.size > 1) {
        response.connection.whenAcknowledged(() => this.#lower())
      } else this.#lower()
    })
  }

  #lower(): void {
    this.isUp = false
    for (let next = this.#held.shift(); next !== undefined; next = this.#held.shift()) {
      this.#pass(next)
      if (this.isUp) return
    }
  }

  #whenAllAcknowledged(done: () => void): void {
    let waiting = 1
    const acknowledged = () => {
      waiting--
      if (waiting === 0) done()
    }
    for (const connection of [...this.#connections.values()]) {
      waiting++
      connection.whenAcknowledged(acknowledged)
    }
    acknowledged()
  }
}
