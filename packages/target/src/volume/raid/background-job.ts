/** Work that goes on beside the hosts' and takes hours: started, watched, stopped. */
import { type Clock, systemClock } from './clock.ts'

/**
 * - ready: has not been started
 * - done: has come to its end
 * - stopped: somebody has stopped it
 * - failed: could not go on; `error` says why
 */
export type JobState = 'ready' | 'running' | 'done' | 'stopped' | 'failed'

export interface JobProgress {
  readonly doneBytes: number
  /** What there is to do in all, as far as it is known; it may grow. */
  readonly totalBytes: number
  /** Over about the last second; over all of the last run when none is under way. */
  readonly rateBytesPerSecond: number
}

export interface BackgroundJobOptions {
  /** Called when it starts, about once a second while it makes progress, and when it ends. */
  readonly onChange?: () => void
  readonly clock?: Clock
}

const RATE_INTERVAL_MS = 1000

export abstract class BackgroundJob {
  protected readonly clock: Clock
  protected doneBytes = 0
  protected totalBytes = 0
  readonly #onChange: () => void
  #state: JobState = 'ready'
  #error: Error | null = null
  #abort = new AbortController()
  #isWantedAgain = false
  #ended: Promise<void> = Promise.resolve()
  #startedAt = 0
  #rateSince = 0
  #rateBytes = 0
  #rateBytesPerSecond = 0

  constructor({ onChange = () => {}, clock = systemClock }: BackgroundJobOptions) {
    this.#onChange = onChange
    this.clock = clock
  }

  get state(): JobState {
    return this.#state
  }

  /** Why it failed. */
  get error(): Error | null {
    return this.#error
  }

  get progress(): JobProgress {
    const { doneBytes, totalBytes } = this
    return { doneBytes, totalBytes, rateBytesPerSecond: this.#rateBytesPerSecond }
  }

  /** Begins anew, if it does not run; if it is about to be stopped, afterwards. */
  start(): void {
    if (this.#state !== 'running') this.#ended = this.#run()
    else if (this.#abort.signal.aborted) this.#isWantedAgain = true
  }

  /** Resolves when what is under way has ended. It may be started again. */
  stop(): Promise<void> {
    this.#isWantedAgain = false
    this.#abort.abort()
    return this.#ended
  }

  /** Resolves when it does not run, however it has ended. */
  ended(): Promise<void> {
    return this.#ended
  }

  /** Does what there is to do; ends soon after `signal` is aborted. Rejects with VolumeError. */
  protected abstract work(signal: AbortSignal): Promise<void>

  /** Whether nothing is left to do. */
  protected abstract isComplete(): boolean

  /** So many bytes more are done. */
  protected advance(bytes: number): void {
    this.doneBytes += bytes
    this.#rateBytes += bytes
    const now = this.clock.now()
    const elapsedMs = now - this.#rateSince
    if (elapsedMs < RATE_INTERVAL_MS) return
    this.#rateBytesPerSecond = (1000 * this.#rateBytes) / elapsedMs
    this.#rateSince = now
    this.#rateBytes = 0
    this.#onChange()
  }

  async #run(): Promise<void> {
    do {
      this.#begin()
      const { signal } = this.#abort
      try {
        // What is there to do may have become more just before the end.
        do await this.work(signal)
        while (!signal.aborted && !this.isComplete())
      } catch (error) {
        this.#error = error as Error
      }
      this.#finish()
    } while (this.#isWantedAgain)
  }

  #begin(): void {
    this.#isWantedAgain = false
    this.#abort = new AbortController()
    this.#state = 'running'
    this.#error = null
    this.doneBytes = 0
    this.totalBytes = 0
    this.#startedAt = this.clock.now()
    this.#rateSince = this.#startedAt
    this.#rateBytes = 0
    this.#rateBytesPerSecond = 0
    this.#onChange()
  }

  #finish(): void {
    const elapsedMs = this.clock.now() - this.#startedAt
    this.#rateBytesPerSecond = elapsedMs > 0 ? (1000 * this.doneBytes) / elapsedMs : 0
    if (this.#error !== null) this.#state = 'failed'
    else this.#state = this.isComplete() ? 'done' : 'stopped'
    this.#onChange()
  }
}
