/** Looks at all copies of everything that is in use, and has mended what is wrong. */
import { BackgroundJob, type BackgroundJobOptions } from './background-job.ts'
import { sleep } from './clock.ts'
import type { RedundantVolume, RepairedRange, ScrubFindings } from './member.ts'
import type { Rebuild } from './rebuild.ts'
import type { Throttle } from './throttle.ts'

const SLICE_BYTES = 512 * 1024
/** So many ranges are named; of more there is only the number. */
const NAMED_RANGES_MAX = 100
/** How often a scrub that pauses looks whether it may go on. */
const PAUSE_MS = 1000

export interface ScrubRange {
  readonly offset: number
  readonly length: number
}

export interface ScrubOptions extends BackgroundJobOptions {
  readonly scrub: RedundantVolume['scrub']
  /** What is in use, in bytes of the members' volumes; asked for when the scrub starts. */
  readonly ranges: () => readonly ScrubRange[]
  /** The one of the rebuild, so that the two have one rate between them. */
  readonly throttle: Throttle
  /** Nothing is looked at while it runs: what is not yet the same everywhere is no finding. */
  readonly rebuild: Pick<Rebuild, 'state'>
  /** How much is looked at at once, and kept from hosts that write meanwhile; 512 KiB by default. */
  readonly sliceBytes?: number
}

/** What a scrub has found so far, or did find. The first of the repaired ranges are named. */
export interface ScrubSummary extends ScrubFindings {
  readonly repairedCount: number
  readonly repairedBytes: number
}

export class Scrub extends BackgroundJob {
  readonly #options: ScrubOptions
  readonly #sliceBytes: number
  #differingBytes = 0
  #repaired: RepairedRange[] = []
  #repairedCount = 0
  #repairedBytes = 0

  constructor(options: ScrubOptions) {
    super(options)
    this.#options = options
    this.#sliceBytes = options.sliceBytes ?? SLICE_BYTES
  }

  get summary(): ScrubSummary {
    return {
      differingBytes: this.#differingBytes,
      repaired: [...this.#repaired],
      repairedCount: this.#repairedCount,
      repairedBytes: this.#repairedBytes,
    }
  }

  protected override async work(signal: AbortSignal): Promise<void> {
    this.#differingBytes = 0
    this.#repaired = []
    this.#repairedCount = 0
    this.#repairedBytes = 0
    const ranges = this.#options.ranges()
    this.totalBytes = ranges.reduce((sum, { length }) => sum + length, 0)
    for (const range of ranges) await this.#scrubRange(range, signal)
  }

  protected override isComplete(): boolean {
    return this.doneBytes === this.totalBytes
  }

  /** Slices end at multiples of their size, so that they are whole rows of chunks wherever that can be. */
  async #scrubRange({ offset, length }: ScrubRange, signal: AbortSignal): Promise<void> {
    const { scrub, throttle } = this.#options
    const end = offset + length
    for (let at = offset; at < end; ) {
      const sliceEnd = (Math.floor(at / this.#sliceBytes) + 1) * this.#sliceBytes
      const sliceLength = Math.min(sliceEnd, end) - at
      await throttle.pass(sliceLength, signal)
      await this.#pause(signal)
      if (signal.aborted) return
      this.#add(await scrub(at, sliceLength))
      this.advance(sliceLength)
      at += sliceLength
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    while (this.#options.rebuild.state === 'running' && !signal.aborted) {
      await sleep(this.clock, PAUSE_MS, signal)
    }
  }

  #add({ differingBytes, repaired }: ScrubFindings): void {
    this.#differingBytes += differingBytes
    this.#repairedCount += repaired.length
    for (const range of repaired) {
      this.#repairedBytes += range.length
      if (this.#repaired.length < NAMED_RANGES_MAX) this.#repaired.push(range)
    }
  }
}
