/**
 * How fast background work may go: at full speed while the hosts are idle, and out of their way while they
 * are not.
 *
 * Ten times a second it looks at how much the hosts have done. If that is more than a little, the work is
 * held to half of the rate at which it went; so a burst slows it down somewhat, and steady load brings it
 * to the minimum, which it keeps so that it ends some day. If the hosts have been idle, the limit doubles,
 * and soon is none. md has the same two bounds, as speed_limit_min and speed_limit_max.
 */
import { type Clock, sleep, systemClock } from './clock.ts'

const INTERVAL_MS = 100
const MIN_BYTES_PER_SECOND = 8 * 1024 * 1024
const BUSY_OPERATIONS_PER_SECOND = 50

export interface ThrottleOptions {
  /** How many operations the hosts have begun so far: a number that only grows. */
  readonly hostOperations: () => number
  /** What the work may have whatever the hosts do; 8 MiB by default. */
  readonly minBytesPerSecond?: number
  /** What it never exceeds; no limit by default. */
  readonly maxBytesPerSecond?: number
  /** Hosts that begin fewer operations than these are idle; 50 by default. */
  readonly busyOperationsPerSecond?: number
  readonly clock?: Clock
}

/** One for all work on the same disks, which share the rate. */
export class Throttle {
  readonly #clock: Clock
  readonly #hostOperations: () => number
  readonly #minBytesPerSecond: number
  readonly #maxBytesPerSecond: number
  readonly #busyOperationsPerSecond: number
  #limitBytesPerSecond: number
  #intervalStart: number
  #operationsBefore: number
  /** What has been let through in this interval. */
  #bytes = 0
  /** When the rate allows for the next bytes. */
  #nextAt: number

  constructor(options: ThrottleOptions) {
    const { clock = systemClock, hostOperations } = options
    this.#clock = clock
    this.#hostOperations = hostOperations
    this.#minBytesPerSecond = options.minBytesPerSecond ?? MIN_BYTES_PER_SECOND
    this.#maxBytesPerSecond = options.maxBytesPerSecond ?? Number.POSITIVE_INFINITY
    this.#busyOperationsPerSecond = options.busyOperationsPerSecond ?? BUSY_OPERATIONS_PER_SECOND
    this.#limitBytesPerSecond = this.#maxBytesPerSecond
    this.#intervalStart = clock.now()
    this.#operationsBefore = hostOperations()
    this.#nextAt = clock.now()
  }

  /** The rate that is kept to now; Infinity if there is no limit. */
  get limitBytesPerSecond(): number {
    return this.#limitBytesPerSecond
  }

  /** Resolves when so many bytes may be worked on, or early when `signal` is aborted. */
  async pass(bytes: number, signal: AbortSignal): Promise<void> {
    this.#adjust()
    const now = this.#clock.now()
    const startAt = Math.max(this.#nextAt, now)
    this.#nextAt = startAt + (1000 * bytes) / this.#limitBytesPerSecond
    this.#bytes += bytes
    if (startAt > now) await sleep(this.#clock, startAt - now, signal)
  }

  #adjust(): void {
    const elapsedMs = this.#clock.now() - this.#intervalStart
    if (elapsedMs < INTERVAL_MS) return
    const operations = this.#hostOperations()
    const perSecond = (1000 * (operations - this.#operationsBefore)) / elapsedMs
    if (perSecond > this.#busyOperationsPerSecond) {
      const rate = Math.min((1000 * this.#bytes) / elapsedMs, this.#limitBytesPerSecond)
      this.#limitBytesPerSecond = Math.max(rate / 2, this.#minBytesPerSecond)
    } else {
      const intervals = Math.floor(elapsedMs / INTERVAL_MS)
      const doubled = this.#limitBytesPerSecond * 2 ** intervals
      this.#limitBytesPerSecond = Math.min(doubled, this.#maxBytesPerSecond)
    }
    this.#intervalStart = this.#clock.now()
    this.#operationsBefore = operations
    this.#bytes = 0
  }
}
