/**
 * The sanitize operation of one logical unit (SBC-3 section 4.11): overwrites or discards every block,
 * piece by piece and in its own time, whatever becomes of the command that asked for it. It goes on
 * after resets and, from its beginning, after a restart of the server.
 */
import { type Sense, Status, sanitizeFailed, sanitizeInProgress } from '@platter/protocol/scsi'
import type { IoCompletion, Volume, VolumeError } from '../volume/volume.ts'
import type { BlockAccess } from './block-access.ts'
import { fail } from './command.ts'
import type { ScsiTask } from './scsi-task.ts'

/** What one step overwrites. */
const WRITE_BYTES = 1024 * 1024
/** What one step discards. */
const DISCARD_BYTES = 256 * 1024 * 1024
/** As fast as it overwrites: the disks have other units to serve meanwhile. */
const BYTES_PER_SECOND = 64 * 1024 * 1024

/** What was asked for; what has to be known of it after a restart. */
export interface SanitizeRequest {
  readonly method: 'overwrite' | 'block-erase'
  readonly allowUnrestrictedExit: boolean
  /** For overwrite, as in OverwriteParameters; the pattern in hex. */
  readonly pattern: string
  readonly invert: boolean
  readonly overwriteCount: number
  readonly failed: boolean
}

/** Where requests that are not done outlast the server. */
export interface SanitizeStore {
  /** What was saved last, when the unit was made. */
  readonly saved: SanitizeRequest | null
  /** Makes it durable; null when there is nothing to be done any more. */
  save(request: SanitizeRequest | null): Promise<void>
}

/** Forgets with the process: for units that nobody restarts. */
const noStore: SanitizeStore = { saved: null, save: async () => {} }

export interface SanitizerOptions {
  readonly volume: Volume
  readonly blockSizeBytes: number
  readonly blockAccess: BlockAccess
  readonly store?: SanitizeStore | undefined
  readonly bytesPerSecond?: number | undefined
}

export class Sanitizer implements IoCompletion {
  /** Nothing is under way, nothing has failed, and nothing is to be remembered: all that a READ looks at. */
  isIdle = true
  /** Every block has been discarded, and none written since. */
  isErased = false
  /** The command that ends with the operation. */
  waiter: ScsiTask | null = null
  readonly #volume: Volume
  readonly #blockSizeBytes: number
  readonly #blockAccess: BlockAccess
  readonly #store: SanitizeStore
  readonly #bytesPerSecond: number
  #request: SanitizeRequest | null = null
  #running = false
  #suspended = false
  #timer: NodeJS.Timeout | undefined
  #piece: Buffer = Buffer.alloc(0)
  #pass = 0
  #offset = 0
  #length = 0
  #flushing = false

  constructor(options: SanitizerOptions) {
    this.#volume = options.volume
    this.#blockSizeBytes = options.blockSizeBytes
    this.#blockAccess = options.blockAccess
    this.#store = options.store ?? noStore
    this.#bytesPerSecond = options.bytesPerSecond ?? BYTES_PER_SECOND
    const { saved } = this.#store
    if (saved === null) return
    this.#request = saved
    this.isIdle = false
    if (!saved.failed) this.#begin(saved)
  }

  /** What stands in the way of every command but a few; null when nothing does. */
  get obstacle(): Sense | null {
    if (this.#running) return sanitizeInProgress(this.#progress)
    return this.#request?.failed === true ? sanitizeFailed : null
  }

  /** Whether an operation has failed that only another one, or EXIT FAILURE MODE if AUSE allows it, ends. */
  get hasFailed(): boolean {
    return !this.#running && this.#request?.failed === true
  }

  /** Whether the operation in progress, or the one that failed, may be left by EXIT FAILURE MODE. */
  get allowsUnrestrictedExit(): boolean {
    return this.#request?.allowUnrestrictedExit ?? true
  }

  /**
   * Begins an operation. `accepted` is told, later, whether it is certain now to be carried out; if
   * not, nothing has happened.
   */
  start(request: SanitizeRequest, accepted: (done: boolean) => void): void {
    const before = this.#request
    this.#request = request
    this.#running = true
    this.isIdle = false
    this.#store.save(request).then(
      () => {
        accepted(true)
        this.#begin(request)
      },
      () => {
        this.#request = before
        this.#running = false
        this.#settle()
        accepted(false)
      },
    )
  }

  /** EXIT FAILURE MODE: the failed operation counts as done. `then` is told whether that is durable. */
  exitFailureMode(then: (done: boolean) => void): void {
    this.#store.save(null).then(
      () => {
        this.#request = null
        this.#settle()
        then(true)
      },
      () => then(false),
    )
  }

  /** Blocks are about to be written: the unit is not as BLOCK ERASE left it any more. */
  written(): void {
    this.isErased = false
    this.#settle()
  }

  /** Stops where it is, for good: the volume is about to be closed. A restart begins anew. */
  suspend(): void {
    this.#suspended = true
    clearTimeout(this.#timer)
  }

  ioCompleted(error: VolumeError | null): void {
    if (this.#suspended) return
    if (error !== null) this.#finish(false)
    else if (this.#flushing) this.#flushed()
    else {
      this.#offset += this.#length
      const delayMs =
        this.#request?.method === 'overwrite' ? (1000 * this.#length) / this.#bytesPerSecond : 0
      this.#timer = setTimeout(() => this.#step(), delayMs)
    }
  }

  get #progress(): number {
    const whole = this.#volume.sizeBytes * Math.max(this.#request?.overwriteCount ?? 1, 1)
    const done = this.#volume.sizeBytes * this.#pass + this.#offset
    return Math.min(Math.floor((65536 * done) / whole), 65535)
  }

  /** Commands that were at the blocks before end first. */
  #begin(request: SanitizeRequest): void {
    this.#running = true
    this.isErased = false
    this.#pass = 0
    this.#startPass(request)
    this.#blockAccess.exclude(this, 0, Number.POSITIVE_INFINITY, () => this.#step())
  }

  #startPass({ method, pattern, invert, overwriteCount }: SanitizeRequest): void {
    this.#offset = 0
    this.#flushing = false
    if (method === 'block-erase') return
    const block = Buffer.alloc(this.#blockSizeBytes, Buffer.from(pattern, 'hex'))
    if (invert && (overwriteCount - this.#pass) % 2 === 0) {
      for (const [at, byte] of block.entries()) block[at] = ~byte & 0xff
    }
    const blocks = Math.max(1, Math.floor(WRITE_BYTES / this.#blockSizeBytes))
    this.#piece = Buffer.alloc(blocks * this.#blockSizeBytes, block)
  }

  #step(): void {
    if (this.#suspended) return
    const volume = this.#volume
    const left = volume.sizeBytes - (volume.sizeBytes % this.#blockSizeBytes) - this.#offset
    if (left <= 0) {
      this.#flushing = true
      volume.flush(this)
    } else if (this.#request?.method === 'overwrite') {
      this.#length = Math.min(left, this.#piece.length)
      volume.write(this.#offset, this.#piece, 0, this.#length, this)
    } else {
      this.#length = Math.min(left, DISCARD_BYTES)
      volume.discard(this.#offset, this.#length, this)
    }
  }

  #flushed(): void {
    const request = this.#request as SanitizeRequest
    this.#pass++
    if (this.#pass >= request.overwriteCount) this.#finish(true)
    else {
      this.#startPass(request)
      this.#step()
    }
  }

  /** A failure is remembered, and so is a success that could not be: it is then done once more. */
  #finish(done: boolean): void {
    const request = this.#request as SanitizeRequest
    const rest = done ? null : { ...request, failed: true }
    const settle = () => {
      this.#request = rest
      this.#running = false
      this.isErased = done && request.method === 'block-erase'
      this.#piece = Buffer.alloc(0)
      this.#settle()
      this.#blockAccess.withdraw(this)
      if (this.waiter !== null && done) this.waiter.finish(Status.Good)
      else if (this.waiter !== null) fail(this.waiter, sanitizeFailed)
    }
    this.#store.save(rest).then(settle, settle)
  }

  #settle(): void {
    this.isIdle = !this.#running && this.#request === null && !this.isErased
  }
}
