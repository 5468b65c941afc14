/** One partition as a Volume: extents of an array, one after the other. */
import type { AtomicJournal } from './atomic-journal.ts'
import { type ByteExtent, ExtentCursor } from './extent.ts'
import { FanInPool } from './fan-in.ts'
import { assertRange } from './range.ts'
import {
  type AtomicWriter,
  HoleMap,
  type IoCompletion,
  type Volume,
  VolumeError,
} from './volume.ts'

const NO_BYTES = Buffer.alloc(0)

export interface PartitionVolumeOptions {
  /** UUID. */
  readonly id: string
  readonly name: string
  readonly array: Volume
  readonly extents: readonly ByteExtent[]
  /** At most what the extents hold. */
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  /** Of the array; without it nothing can be written atomically. */
  readonly journal?: AtomicJournal
  /** Counts what is asked of the volume. */
  readonly activity?: { operations: number }
  /** Called once, when it has been closed. */
  readonly onClosed?: () => void
}

/** Closing it leaves the array open, and waits for the partition's own operations only. */
export class PartitionVolume implements Volume, AtomicWriter {
  readonly blockSizeBytes: number
  readonly #id: string
  readonly #array: Volume
  readonly #journal: AtomicJournal | null
  readonly #fanIns = new FanInPool((error) => this.#locate(error))
  readonly #activity: { operations: number }
  readonly #onClosed: (() => void) | undefined
  #name: string
  #cursor: ExtentCursor
  #sizeBytes: number
  #closed = false

  constructor(options: PartitionVolumeOptions) {
    this.#id = options.id
    this.#name = options.name
    this.#array = options.array
    this.#journal = options.journal ?? null
    this.#cursor = new ExtentCursor(options.extents)
    this.#sizeBytes = options.sizeBytes
    this.blockSizeBytes = options.blockSizeBytes
    this.#activity = options.activity ?? { operations: 0 }
    this.#onClosed = options.onClosed
  }

  get name(): string {
    return this.#name
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get atomicWriteMaxBytes(): number {
    return this.#journal?.maxBytes ?? 0
  }

  rename(name: string): void {
    this.#name = name
  }

  /** Takes more extents into use: those there were, at least as long, and perhaps further ones. */
  grow(extents: readonly ByteExtent[], sizeBytes: number): void {
    this.#cursor = new ExtentCursor(extents)
    this.#sizeBytes = sizeBytes
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (this.#isRefused(offset, length)) return false
    this.#activity.operations++
    const cursor = this.#cursor
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const at = position + cursor.position
      if (!this.#array.readNow(cursor.below, into, at, cursor.length)) return false
    }
    return true
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (this.#isRefused(offset, length)) return false
    this.#activity.operations++
    const cursor = this.#cursor
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const at = position + cursor.position
      if (!this.#array.writeNow(cursor.below, from, at, cursor.length)) return false
    }
    return true
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#transfer('read', offset, into, position, length, completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#transfer('write', offset, from, position, length, completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    this.#transfer('discard', offset, NO_BYTES, 0, length, completion)
  }

  writeAtomic(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    const journal = this.#journal
    if (journal === null || length > journal.maxBytes) {
      const most = this.atomicWriteMaxBytes
      throw new RangeError(
        `${this.name} takes atomic writes of at most ${most} bytes, not ${length}`,
      )
    }
    if (this.#closed) {
      this.#refuse('write', offset, completion)
      return
    }
    const ended = this.#fanIns.start(1, completion)
    journal.write({ partitionId: this.#id, offset, from, position, length }).then(
      () => ended.ioCompleted(null),
      (error) => ended.ioCompleted(this.#asVolumeError(offset, error)),
    )
  }

  /** One extent after the other: the array may have to be asked for none but the first. */
  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    if (this.#closed) {
      this.#refuse('locate', offset, completion)
      return
    }
    const cursor = new ExtentCursor(this.#cursor.extents)
    cursor.seek(offset, length)
    const whole = this.#fanIns.start(1, completion)
    let piece = new HoleMap(map.runsMax)
    const take = (error: VolumeError | null) => {
      const taken = error === null && piece.runs.every((run) => map.add(run.isHole, run.length))
      const complete = taken && piece.length === cursor.length
      cursor.next()
      if (!complete || cursor.length === 0) {
        whole.ioCompleted(error)
        return
      }
      piece = new HoleMap(map.runsMax)
      this.#array.locateHoles(cursor.below, cursor.length, piece, { ioCompleted: take })
    }
    this.#array.locateHoles(cursor.below, cursor.length, piece, { ioCompleted: take })
  }

  flush(completion: IoCompletion): void {
    if (this.#closed) this.#refuse('flush', 0, completion)
    else this.#array.flush(this.#fanIns.start(1, completion))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#fanIns.idle()
    this.#onClosed?.()
  }

  #transfer(
    op: 'read' | 'write' | 'discard',
    offset: number,
    buffer: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    if (this.#isRefused(offset, length)) {
      this.#refuse(op, offset, completion)
      return
    }
    this.#activity.operations++
    const cursor = this.#cursor
    // A range without bytes is one piece without bytes: the array reports it.
    const pieces = Math.max(cursor.countPieces(offset, length), 1)
    const whole = this.#fanIns.start(pieces, completion)
    cursor.seek(offset, length)
    do {
      const { below, length: count } = cursor
      const at = position + cursor.position
      if (op === 'read') this.#array.read(below, buffer, at, count, whole)
      else if (op === 'write') this.#array.write(below, buffer, at, count, whole)
      else this.#array.discard(below, count, whole)
      cursor.next()
    } while (cursor.length > 0)
  }

  #isRefused(offset: number, length: number): boolean {
    return this.#closed || this.#journal?.isUnfinished(this.#id, offset, length) === true
  }

  #refuse(op: VolumeError['op'], offset: number, completion: IoCompletion): void {
    const error = new VolumeError(op, this.name, offset, this.#reason())
    process.nextTick(() => completion.ioCompleted(error))
  }

  #reason(): Error {
    const error = this.#journal?.unfinished?.error
    if (this.#closed || error === undefined) return new Error('the partition is closed')
    return new Error(`an atomic write of these bytes is not finished: ${error.message}`, {
      cause: error,
    })
  }

  /** Where in the partition an error of the array lies. */
  #locate(error: VolumeError): VolumeError {
    if (error.volume !== this.#array.name || error.op === 'flush') return error
    const offset = this.#cursor.offsetOf(error.offset)
    if (offset === undefined) return error
    return new VolumeError(error.op, this.name, offset, error.cause ?? error)
  }

  #asVolumeError(offset: number, error: unknown): VolumeError {
    return error instanceof VolumeError ? error : new VolumeError('write', this.name, offset, error)
  }
}
