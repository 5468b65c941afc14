/** Writes to the array, cut into slices of rows. */
import type { IoCompletion, VolumeError } from '../volume.ts'
import type { ParityArray } from './parity-array.ts'
import { dataCountOf } from './parity-layout.ts'
import type { ArrayWrite, RowWritePool } from './row-write.ts'

/** How many slices of one write are in work at once. */
const SLICES_IN_WORK = 4
const NOTHING: Buffer = Buffer.alloc(0)

/** One write, on its way. */
export class SlicedWrite implements IoCompletion, ArrayWrite {
  offset = 0
  from = NOTHING
  position = 0
  length = 0
  readonly #array: ParityArray
  readonly #writes: RowWritePool
  readonly #pool: SlicedWritePool
  readonly #rowSizeBytes: number
  // The slice to be cut next.
  #row = 0
  #start = 0
  #inWork = 0
  #error: VolumeError | null = null
  #completion: IoCompletion | null = null

  constructor(array: ParityArray, writes: RowWritePool, pool: SlicedWritePool) {
    this.#array = array
    this.#writes = writes
    this.#pool = pool
    this.#rowSizeBytes = dataCountOf(array.geometry) * array.geometry.chunkSizeBytes
  }

  /** A write of one byte at least. */
  start(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.offset = offset
    this.from = from
    this.position = position
    this.length = length
    this.#completion = completion
    this.#row = Math.floor(offset / this.#rowSizeBytes)
    this.#start = 0
    this.#error = null
    this.#startSlices()
  }

  ioCompleted(error: VolumeError | null): void {
    this.#error ??= error
    this.#inWork--
    if (this.#error === null) this.#startSlices()
    if (this.#inWork === 0) this.#finish()
  }

  #startSlices(): void {
    const { sliceSizeBytes, geometry } = this.#array
    const end = this.offset + this.length
    while (this.#inWork < SLICES_IN_WORK && this.#row * this.#rowSizeBytes < end) {
      const write = this.#writes.take()
      const hasData = write.cut(this, this.#row, this.#start, this.#start + sliceSizeBytes)
      this.#start += sliceSizeBytes
      if (this.#start === geometry.chunkSizeBytes) {
        this.#start = 0
        this.#row++
      }
      if (hasData) {
        this.#inWork++
        write.start(this)
      } else {
        this.#writes.release(write)
      }
    }
  }

  #finish(): void {
    const completion = this.#completion!
    this.#completion = null
    this.from = NOTHING
    this.#pool.release(this)
    completion.ioCompleted(this.#error)
  }
}

/** Keeps the records of writes that are over. */
export class SlicedWritePool {
  readonly #array: ParityArray
  readonly #writes: RowWritePool
  readonly #free: SlicedWrite[] = []

  constructor(array: ParityArray, writes: RowWritePool) {
    this.#array = array
    this.#writes = writes
  }

  /** One to be started; it comes back by itself. */
  take(): SlicedWrite {
    return this.#free.pop() ?? new SlicedWrite(this.#array, this.#writes, this)
  }

  /** Called by a write that is over. */
  release(write: SlicedWrite): void {
    this.#free.push(write)
  }
}
