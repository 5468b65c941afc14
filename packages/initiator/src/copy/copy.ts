/**
 * A copy of an image: several pieces under way at once, each read and then written by one of `depth`
 * workers with a buffer of its own. What is zeros becomes a hole where the sink knows such a thing.
 */
import type { ImageSink, ImageSource } from './image.ts'
import { zeroRuns } from './zeros.ts'

/** A hole of the source is handed on in pieces of at most so many bytes: progress is to be seen. */
const HOLE_BYTES_MAX = 64 * 1024 * 1024

export interface CopyOptions {
  readonly source: ImageSource
  readonly sink: ImageSink
  /** How much of the source to copy, from its beginning on; null: all. */
  readonly lengthBytes: number | null
  /** Pieces under way at once. */
  readonly depth: number
  /** The length of a piece. */
  readonly blockBytes: number
  /** Whether zeros are left to the sink's `zero`. */
  readonly sparse: boolean
  /** Begins no further piece once it is aborted. */
  readonly signal?: AbortSignal
}

/** A piece of the image: data to be read, or a hole of the source. */
interface Piece {
  readonly offset: number
  readonly length: number
  readonly hole: boolean
}

/** One worker: where it is, as long as it is at it. */
interface Worker {
  offset: number | null
}

export class Copy {
  readonly #options: CopyOptions
  readonly #workers: readonly Worker[]
  /** Where the next piece begins, and where the last ends as far as is known. */
  #cursor = 0
  #end: number | null
  #failure: { readonly error: unknown } | null = null
  /** The piece begun last, for sinks that take one after the other. */
  #last: Promise<void> = Promise.resolve()
  /** Bytes copied so far, in any place; and those among them that the sink was told are zeros. */
  doneBytes = 0
  zeroBytes = 0

  constructor(options: CopyOptions) {
    this.#options = options
    this.#end = options.lengthBytes ?? options.source.sizeBytes
    this.#workers = Array.from({ length: options.depth }, () => ({ offset: null }))
  }

  /** How many bytes there are to copy; null while the source does not tell. */
  get totalBytes(): number | null {
    return this.#end
  }

  /** So much is copied from the beginning on, without a gap. */
  get contiguousBytes(): number {
    const busy = this.#workers.flatMap(({ offset }) => (offset === null ? [] : [offset]))
    return Math.min(this.#cursor, ...busy)
  }

  /**
   * Resolves when all is copied and durable. Rejects with the first error, or with the signal's reason, when
   * nothing is under way any more.
   */
  async run(): Promise<void> {
    const { sink, signal } = this.#options
    await Promise.all(this.#workers.map((worker) => this.#work(worker)))
    const failure = this.#failure as { readonly error: unknown } | null
    if (failure !== null) throw failure.error
    signal?.throwIfAborted()
    await sink.flush()
  }

  async #work(worker: Worker): Promise<void> {
    const { blockBytes } = this.#options
    let buffer: Buffer | undefined
    try {
      for (let piece = this.#next(); piece !== null; piece = this.#next()) {
        worker.offset = piece.offset
        buffer ??= Buffer.allocUnsafeSlow(blockBytes)
        this.#last = this.#move(piece, buffer, this.#last)
        await this.#last
        worker.offset = null
      }
    } catch (error) {
      // The offset stays: it is where the gap begins.
      this.#failure ??= { error }
    }
  }

  #next(): Piece | null {
    const { source, blockBytes, signal, sparse } = this.#options
    const offset = this.#cursor
    const left = this.#end === null ? Number.POSITIVE_INFINITY : this.#end - offset
    if (this.#failure !== null || signal?.aborted === true || left <= 0) return null
    const data = sparse ? (source.dataFrom?.(offset) ?? offset) : offset
    const hole = data > offset
    const length = hole
      ? Math.min(data - offset, HOLE_BYTES_MAX, left)
      : // Back on the grid after a hole that ends beside it.
        Math.min(blockBytes - (offset % blockBytes), left)
    this.#cursor += length
    return { offset, length, hole }
  }

  async #move(piece: Piece, buffer: Buffer, before: Promise<void>): Promise<void> {
    const { sink } = this.#options
    const { offset, length } = piece
    if (piece.hole) {
      if (sink.sequential) await before
      await this.#zero(offset, length)
      return
    }
    const bytes = await this.#read(offset, buffer.subarray(0, length))
    if (sink.sequential) await before
    await this.#write(offset, bytes)
  }

  /** What there is of a piece: less than asked for only at the end of a source of unknown size. */
  async #read(offset: number, into: Buffer): Promise<Buffer> {
    const got = await this.#options.source.read(offset, into)
    if (got === into.length) return into
    const end = offset + got
    if (this.#options.lengthBytes !== null || this.#options.source.sizeBytes !== null) {
      throw new Error(`the source ends after ${end} bytes, wanted ${this.#end ?? 'more'}`)
    }
    this.#end = Math.min(this.#end ?? end, end)
    this.#cursor = this.#end
    return into.subarray(0, got)
  }

  async #write(offset: number, bytes: Buffer): Promise<void> {
    const { sink, sparse } = this.#options
    if (bytes.length === 0) return
    if (!sparse) {
      await sink.write(offset, bytes)
      this.doneBytes += bytes.length
      return
    }
    const moving: Promise<void>[] = []
    for (const { start, end, zero } of zeroRuns(bytes)) {
      const at = offset + start
      const put = zero ? this.#zero(at, end - start) : this.#put(at, bytes.subarray(start, end))
      moving.push(put)
      if (sink.sequential) await put
    }
    await settled(moving)
  }

  async #put(offset: number, bytes: Buffer): Promise<void> {
    await this.#options.sink.write(offset, bytes)
    this.doneBytes += bytes.length
  }

  async #zero(offset: number, length: number): Promise<void> {
    await this.#options.sink.zero(offset, length)
    this.doneBytes += length
    this.zeroBytes += length
  }
}

/** As Promise.all, but not before all of them have ended: they share a buffer. */
async function settled(moving: readonly Promise<void>[]): Promise<void> {
  const ends = await Promise.allSettled(moving)
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}
