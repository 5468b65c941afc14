/** One flush on its way through an IntegrityVolume. */
import type { IoCompletion, VolumeError } from '../volume.ts'

/** Who goes on with a flush. */
export interface FlushOwner {
  /** The checksums have been written: what is to be flushed now, reports to the flush as well. */
  checksumsWritten(flush: IntegrityFlush): void
  flushEnded(flush: IntegrityFlush, error: VolumeError | null): void
}

/** Kept and used again. First it waits for the checksums to be written, then for the volumes to be flushed. */
export class IntegrityFlush implements IoCompletion {
  completion: IoCompletion | null = null
  /** How many volumes are being flushed; 0 while checksums are being written. */
  pending = 0
  #error: VolumeError | null = null
  readonly #owner: FlushOwner

  constructor(owner: FlushOwner) {
    this.#owner = owner
  }

  ioCompleted(error: VolumeError | null): void {
    this.#error ??= error
    if (this.pending === 0 && error === null) {
      this.#owner.checksumsWritten(this)
      return
    }
    if (this.pending > 0) this.pending--
    if (this.pending > 0) return
    const first = this.#error
    this.#error = null
    this.#owner.flushEnded(this, first)
  }
}
