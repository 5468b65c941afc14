/** Reads of one data chunk: from its member, or else from the rest of the row. */
import { type IoCompletion, VolumeError } from '../volume.ts'
import { align, type ParityArray } from './parity-array.ts'
import { arrayOffsetOf, memberOf } from './parity-layout.ts'
import type { LockedRange } from './range-locks.ts'
import type { RowIo, RowIoOwner, RowIoPool } from './row-io.ts'
import { planRecovery, readForRecovery, recoverData } from './row-recovery.ts'

type Step = 'direct' | 'again' | 'others' | 'heal' | 'beyond-recovery'

/**
 * One read, on its way. An in-sync member is asked without a lock; what it cannot give is recovered under the
 * lock of these bytes, slice by slice, and written to it again.
 */
export class ChunkRead implements IoCompletion, LockedRange, RowIoOwner {
  /** Of the members, what is locked. */
  offset = 0
  length = 0
  readonly #array: ParityArray
  readonly #rows: RowIoPool
  readonly #pool: ChunkReadPool
  readonly #columns = { start: 0, end: 0 }
  #io: RowIo | null = null
  #step: Step = 'direct'
  #row = 0
  #index = 0
  // What of the chunk is still to be read, and where it is to go.
  #within = 0
  #remaining = 0
  #into: Buffer | null = null
  #position = 0
  #completion: IoCompletion | null = null

  constructor(array: ParityArray, rows: RowIoPool, pool: ChunkReadPool) {
    this.#array = array
    this.#rows = rows
    this.#pool = pool
  }

  /** Reads `length` bytes of data chunk `index` of a row, from byte `within` of it on. */
  start(
    row: number,
    index: number,
    within: number,
    length: number,
    into: Buffer,
    position: number,
    completion: IoCompletion,
  ): void {
    const { geometry, members } = this.#array
    this.#row = row
    this.#index = index
    this.#within = within
    this.#remaining = length
    this.#into = into
    this.#position = position
    this.#completion = completion
    const { state, volume } = members[memberOf(geometry, row, index)]!
    if (state === 'in-sync') {
      this.#step = 'direct'
      volume!.read(row * geometry.chunkSizeBytes + within, into, position, length, this)
    } else {
      this.#recoverNext()
    }
  }

  ioCompleted(error: VolumeError | null): void {
    if (error === null) this.#finish(null)
    else this.#recoverNext()
  }

  rowIoGranted(io: RowIo): void {
    this.#io = io
    io.seek(this.#row, this.#columns.start, this.#columns.end)
    if (this.#array.locks.acquire(this)) this.lockGranted()
  }

  lockGranted(): void {
    const io = this.#io!
    if (io.isInSync(this.#index)) {
      // What was in the way without the lock may be so no more.
      this.#step = 'again'
      io.read(this.#index)
      io.submit(this)
    } else {
      this.#readOthers(io)
    }
  }

  rowIoEnded(): void {
    const io = this.#io!
    if (this.#step === 'beyond-recovery') {
      const error = this.#error(io)
      this.#release(io)
      this.#finish(error)
    } else if (this.#step === 'again' && !io.isReadable(this.#index)) {
      this.#readOthers(io)
    } else if (this.#step === 'others') {
      this.#othersRead(io)
    } else {
      // If it could not be healed the bytes are right all the same.
      this.#pieceDone(io)
    }
  }

  /** Turns to the rest of the chunk, as far as it is in one slice. */
  #recoverNext(): void {
    const { sliceSizeBytes } = this.#array
    const start = this.#within
    const sliceEnd = start - (start % sliceSizeBytes) + sliceSizeBytes
    this.#columns.start = start
    this.#columns.end = Math.min(start + this.#remaining, sliceEnd)
    align(this.#columns, this.#array)
    this.offset = this.#row * this.#array.geometry.chunkSizeBytes + this.#columns.start
    this.length = this.#columns.end - this.#columns.start
    const io = this.#rows.acquire(this)
    if (io !== null) this.rowIoGranted(io)
  }

  #readOthers(io: RowIo): void {
    const isPossible = this.#array.journal.failure === null && planRecovery(io)
    this.#step = isPossible ? 'others' : 'beyond-recovery'
    if (isPossible) readForRecovery(io)
    io.submit(this)
  }

  #othersRead(io: RowIo): void {
    if (io.readFailed) {
      this.#readOthers(io)
      return
    }
    recoverData(this.#array.math, io)
    if (io.isInSync(this.#index) && !io.isReadable(this.#index)) {
      this.#step = 'heal'
      io.writeMemory(this.#index)
      io.submit(this)
    } else {
      this.#pieceDone(io)
    }
  }

  /** The bytes at hand of the chunk are in memory. */
  #pieceDone(io: RowIo): void {
    const from = this.#within - io.start
    const length = Math.min(this.#remaining, io.length - from)
    io.memory[this.#index]!.copy(this.#into!, this.#position, from, from + length)
    this.#within += length
    this.#position += length
    this.#remaining -= length
    this.#release(io)
    if (this.#remaining > 0) this.#recoverNext()
    else this.#finish(null)
  }

  #error(io: RowIo): VolumeError {
    const { name, geometry, journal } = this.#array
    const offset = arrayOffsetOf(geometry, this.#row, this.#index, this.#within)
    const cause = io.readError ?? journal.failure ?? 'too few members are there to recover it'
    return new VolumeError('read', name, offset, cause)
  }

  #release(io: RowIo): void {
    this.#io = null
    this.#array.locks.release(this)
    this.#rows.release(io)
  }

  #finish(error: VolumeError | null): void {
    const completion = this.#completion!
    this.#completion = null
    this.#into = null
    this.#pool.release(this)
    completion.ioCompleted(error)
  }
}

/** Keeps the records of reads that are over. */
export class ChunkReadPool {
  readonly #array: ParityArray
  readonly #rows: RowIoPool
  readonly #free: ChunkRead[] = []

  constructor(array: ParityArray, rows: RowIoPool) {
    this.#array = array
    this.#rows = rows
  }

  /** One to be started; it comes back by itself. */
  take(): ChunkRead {
    return this.#free.pop() ?? new ChunkRead(this.#array, this.#rows, this)
  }

  /** Called by a read that is over. */
  release(read: ChunkRead): void {
    this.#free.push(read)
  }
}
