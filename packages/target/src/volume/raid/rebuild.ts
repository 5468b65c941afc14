/**
 * Makes the members agree about all stale regions, one after another: what a crash has left, and what a new
 * disk lacks. Regions that become stale while it runs are taken up as well.
 */
import { settled } from '../settled.ts'
import type { IoCompletion } from '../volume.ts'
import { BackgroundJob, type BackgroundJobOptions } from './background-job.ts'
import type { IntentBitmap } from './intent-bitmap.ts'
import type { RedundantVolume } from './member.ts'
import type { Throttle } from './throttle.ts'

const SLICE_BYTES = 512 * 1024
const FLUSH_BYTES = 64 * 1024 * 1024
const FLUSH_MS = 1000

export interface RebuildOptions extends BackgroundJobOptions {
  readonly bitmap: IntentBitmap
  readonly resync: RedundantVolume['resync']
  /** Makes durable on all members what has been resynced. */
  readonly flush: (completion: IoCompletion) => void
  readonly throttle: Throttle
  /** How much is worked on at once, and kept from hosts that write meanwhile; 512 KiB by default. */
  readonly sliceBytes?: number
}

/** A region that is the same on all members, though not durably yet. */
interface CopiedRegion {
  readonly region: number
  /** What the bitmap's `staleMarks` was when it was begun. */
  readonly since: number
}

export class Rebuild extends BackgroundJob {
  readonly #options: RebuildOptions
  readonly #sliceBytes: number
  #copied: CopiedRegion[] = []
  #copiedBytes = 0
  #flushedAt = 0

  constructor(options: RebuildOptions) {
    super(options)
    this.#options = options
    this.#sliceBytes = options.sliceBytes ?? SLICE_BYTES
  }

  protected override async work(signal: AbortSignal): Promise<void> {
    const { bitmap } = this.#options
    this.#copied = []
    this.#copiedBytes = 0
    this.#flushedAt = this.clock.now()
    for (let region = bitmap.nextStale(0); region >= 0; region = bitmap.nextStale(region + 1)) {
      this.totalBytes = this.doneBytes + bitmap.staleBytes - this.#copiedBytes
      const since = bitmap.staleMarks
      await this.#resyncRegion(region, signal)
      if (signal.aborted) break
      this.#copied.push({ region, since })
      this.#copiedBytes += bitmap.regionLength(region)
      if (this.#isFlushDue) await this.#flush()
    }
    await this.#flush()
  }

  protected override isComplete(): boolean {
    return this.#options.bitmap.nextStale(0) < 0
  }

  async #resyncRegion(region: number, signal: AbortSignal): Promise<void> {
    const { bitmap, resync, throttle } = this.#options
    const start = bitmap.regionOffset(region)
    const end = start + bitmap.regionLength(region)
    for (let offset = start; offset < end; offset += this.#sliceBytes) {
      const length = Math.min(this.#sliceBytes, end - offset)
      await throttle.pass(length, signal)
      if (signal.aborted) return
      await resync(offset, length)
      this.advance(length)
    }
  }

  get #isFlushDue(): boolean {
    return this.#copiedBytes >= FLUSH_BYTES || this.clock.now() - this.#flushedAt >= FLUSH_MS
  }

  /** One flush for several regions, which count only then. */
  async #flush(): Promise<void> {
    const { bitmap, flush } = this.#options
    if (this.#copied.length > 0) await settled(flush)
    for (const { region, since } of this.#copied) bitmap.resynced(region, since)
    this.#copied = []
    this.#copiedBytes = 0
    this.#flushedAt = this.clock.now()
  }
}
