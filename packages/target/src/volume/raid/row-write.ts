/** One write to a slice of a row. */
import { type IoCompletion, VolumeError } from '../volume.ts'
import { powerOfTwo } from './galois.ts'
import { align, type ParityArray } from './parity-array.ts'
import { dataCountOf } from './parity-layout.ts'
import type { LockedRange } from './range-locks.ts'
import type { RowIo, RowIoOwner, RowIoPool } from './row-io.ts'
import { computeParity, planRecovery, readForRecovery, recoverData } from './row-recovery.ts'
import { StripeUpdate } from './stripe-update.ts'

/** What is written to the array. */
export interface ArrayWrite {
  /** A byte of the array. */
  readonly offset: number
  readonly from: Buffer
  readonly position: number
  readonly length: number
}

type Step = 'intents' | 'modify' | 'reconstruct' | 'impossible' | 'journal' | 'in-place'

/** What a chunk of the row gets: bytes `[start, end)` of it, from `position` on. */
interface NewData {
  start: number
  end: number
  position: number
}

const NOTHING: Buffer = Buffer.alloc(0)

/**
 * All that a write changes of one slice of a row, under one lock. New parity is computed in one of three ways:
 *
 * - of new data alone, where all data of the columns are written. If all members are in-sync this needs no
 *   journal: there are no other bytes that a crash could take along. While a live record of the journal is
 *   about these bytes it goes through the journal all the same, since the record would be replayed over it.
 * - modify: of the old parity, and the difference of new data and old
 * - reconstruct: of all data, after the old ones have been read, recovered where they cannot be
 */
export class RowWrite implements IoCompletion, LockedRange, RowIoOwner {
  /** Of the members, what is locked. */
  offset = 0
  length = 0
  readonly #array: ParityArray
  readonly #rows: RowIoPool
  readonly #pool: RowWritePool
  readonly #update: StripeUpdate
  /** By data chunk. */
  readonly #newData: readonly NewData[]
  readonly #columns = { start: 0, end: 0 }
  #row = 0
  /** All data of the columns are written. */
  #isWhole = false
  /** Blocks with checksums are written in part. */
  #hasPartialBlocks = false
  #from = NOTHING
  #arrayOffset = 0
  #io: RowIo | null = null
  #step: Step = 'intents'
  #isJournaled = false
  #hasBegun = false
  #completion: IoCompletion | null = null

  constructor(array: ParityArray, rows: RowIoPool, pool: RowWritePool) {
    this.#array = array
    this.#rows = rows
    this.#pool = pool
    this.#update = new StripeUpdate(array.geometry.memberCount)
    this.#newData = Array.from({ length: dataCountOf(array.geometry) }, () => ({
      start: 0,
      end: 0,
      position: 0,
    }))
  }

  /**
   * Takes what `write` has for bytes `[start, end)`, a slice, of the chunks of a row; false if that is
   * nothing. Then `start` is to be called.
   */
  cut(write: ArrayWrite, row: number, start: number, end: number): boolean {
    const { chunkSizeBytes } = this.#array.geometry
    const columns = this.#columns
    columns.start = end
    columns.end = start
    this.#row = row
    this.#from = write.from
    this.#arrayOffset = write.offset
    const rowStart = row * this.#newData.length * chunkSizeBytes
    for (const [index, data] of this.#newData.entries()) {
      // Where the write begins and ends, from the start of the chunk.
      const first = write.offset - rowStart - index * chunkSizeBytes
      data.start = Math.max(start, first)
      data.end = Math.max(data.start, Math.min(end, first + write.length))
      data.position = write.position + data.start - first
      if (data.start === data.end) continue
      columns.start = Math.min(columns.start, data.start)
      columns.end = Math.max(columns.end, data.end)
    }
    if (columns.start >= columns.end) return false
    align(columns, this.#array)
    this.#hasPartialBlocks =
      this.#array.hasChecks && this.#newData.some((data) => this.#isPartial(data))
    this.#isWhole = this.#newData.every(
      (data) => data.start === columns.start && data.end === columns.end,
    )
    return true
  }

  /** Reports when all is written, or the VolumeError. */
  start(completion: IoCompletion): void {
    this.#completion = completion
    this.offset = this.#row * this.#array.geometry.chunkSizeBytes + this.#columns.start
    this.length = this.#columns.end - this.#columns.start
    const io = this.#rows.acquire(this)
    if (io !== null) this.rowIoGranted(io)
  }

  rowIoGranted(io: RowIo): void {
    this.#io = io
    io.seek(this.#row, this.#columns.start, this.#columns.end)
    if (this.#array.locks.acquire(this)) this.lockGranted()
  }

  lockGranted(): void {
    this.#step = 'intents'
    this.#hasBegun = false
    this.#isJournaled = false
    this.#array.intents.begin(this.offset, this.length, this)
  }

  /** Of the intents, or the journal. */
  ioCompleted(error: VolumeError | null): void {
    if (error !== null) {
      this.#finish(error)
    } else if (this.#step === 'intents') {
      this.#hasBegun = true
      this.#compute(this.#io!)
    } else {
      this.#isJournaled = true
      this.#writeInPlace(this.#io!)
    }
  }

  rowIoEnded(): void {
    const io = this.#io!
    if (this.#step === 'in-place') this.#written(io)
    else if (this.#step === 'impossible') this.#finish(this.#error(io))
    else if (io.readFailed) this.#readOld(io)
    else if (this.#step === 'modify') this.#modify(io)
    else this.#reconstruct(io)
  }

  #compute(io: RowIo): void {
    const { journal, math } = this.#array
    if (journal.failure !== null) {
      this.#finish(journal.failure)
    } else if (this.#isWhole) {
      for (const [index, { position }] of this.#newData.entries()) {
        io.row.place(index, this.#from, position)
      }
      computeParity(math, io.row, io.length)
      this.#collectData(io, false)
      this.#collectParity(io)
      this.#store(io)
    } else {
      this.#readOld(io)
    }
  }

  /** Reads what new parity takes, by the way that takes fewer reads. */
  #readOld(io: RowIo): void {
    const modifyReads = this.#countModifyReads(io)
    if (modifyReads < this.#countReconstructReads(io)) {
      this.#step = 'modify'
      if (modifyReads > 0) this.#readForModify(io)
    } else if (this.#isIndependent(io)) {
      this.#step = 'reconstruct'
      io.lost.length = 0
      for (const [index, data] of this.#newData.entries()) {
        if (!this.#isCovered(data)) io.read(index)
      }
    } else if (planRecovery(io)) {
      this.#step = 'reconstruct'
      readForRecovery(io)
    } else {
      this.#step = 'impossible'
    }
    io.submit(this)
  }

  /**
   * Infinity if there are not the old bytes for it: each chunk written is to be there, and all parity, but that
   * of absent members. If all parity is absent nothing has to be read. Nor is it for parts of blocks with
   * checksums: these are written as a whole, so that a record of the journal makes them right whatever a
   * crash has left there.
   */
  #countModifyReads(io: RowIo): number {
    if (this.#hasPartialBlocks) return Number.POSITIVE_INFINITY
    let parityReads = 0
    for (let index = io.dataCount; index < io.chunkCount; index++) {
      if (io.isReadable(index)) parityReads++
      else if (io.isPresent(index)) return Number.POSITIVE_INFINITY
    }
    let dataReads = 0
    for (const [index, { start, end }] of this.#newData.entries()) {
      if (start === end) continue
      if (!io.isReadable(index)) return Number.POSITIVE_INFINITY
      dataReads++
    }
    return parityReads === 0 ? 0 : parityReads + dataReads
  }

  #countReconstructReads(io: RowIo): number {
    if (!this.#isIndependent(io)) return io.dataCount
    return this.#newData.reduce((count, data) => count + (this.#isCovered(data) ? 0 : 1), 0)
  }

  /** All data that are not written over can be read. */
  #isIndependent(io: RowIo): boolean {
    return this.#newData.every((data, index) => this.#isCovered(data) || io.isReadable(index))
  }

  #isPartial({ start, end }: NewData): boolean {
    return start < end && ((start | end) & (this.#array.alignmentBytes - 1)) !== 0
  }

  #isCovered({ start, end }: NewData): boolean {
    return start === this.#columns.start && end === this.#columns.end
  }

  #readForModify(io: RowIo): void {
    for (const [index, { start, end }] of this.#newData.entries()) {
      if (start < end) io.read(index, start, end)
    }
    for (let index = io.dataCount; index < io.chunkCount; index++) {
      if (io.isReadable(index)) io.read(index)
    }
  }

  #modify(io: RowIo): void {
    const { math } = this.#array
    const { memory, row } = io
    const [p, q] = [memory[row.pIndex]!, memory[row.qIndex]]
    for (const [index, { start, end, position }] of this.#newData.entries()) {
      const length = end - start
      if (length === 0 || !io.held[index]) continue
      const at = start - io.start
      const difference = memory[index]!
      math.xor(difference, at, this.#from, position, length)
      if (io.held[row.pIndex]) math.xor(p, at, difference, at, length)
      if (q === undefined || !io.held[row.qIndex]) continue
      math.multiplyAdd(q, at, difference, at, length, powerOfTwo(index))
    }
    this.#collectData(io, false)
    for (let index = io.dataCount; index < io.chunkCount; index++) {
      if (io.held[index]) this.#collectWhole(io, index)
    }
    this.#store(io)
  }

  #reconstruct(io: RowIo): void {
    const { math } = this.#array
    recoverData(math, io)
    for (const [index, { start, end, position }] of this.#newData.entries()) {
      if (start === end) continue
      this.#from.copy(io.memory[index]!, start - io.start, position, position + end - start)
    }
    computeParity(math, io.row, io.length)
    this.#collectData(io, true)
    this.#collectParity(io)
    this.#store(io)
  }

  /**
   * The new data; with all of them in memory, whole columns where the member does not have the old bytes to
   * go with them.
   */
  #collectData(io: RowIo, inMemory: boolean): void {
    const update = this.#update
    update.clear(this.offset, this.length)
    for (const [index, { start, end, position }] of this.#newData.entries()) {
      const isWritten = start < end
      if (inMemory && (!io.isReadable(index) || (isWritten && this.#hasPartialBlocks))) {
        if (isWritten || io.isInSync(index)) this.#collectWhole(io, index)
      } else if (isWritten && (this.#isWhole ? io.isPresent(index) : io.isInSync(index))) {
        const { number } = io.memberOf(index)
        update.add(number, index, io.memberOffset(start), this.#from, position, end - start)
      }
    }
  }

  #collectParity(io: RowIo): void {
    for (let index = io.dataCount; index < io.chunkCount; index++) this.#collectWhole(io, index)
  }

  /** All columns of a chunk, from memory, if there is a member for them. */
  #collectWhole(io: RowIo, index: number): void {
    if (!io.isPresent(index)) return
    const { number } = io.memberOf(index)
    this.#update.add(number, index, this.offset, io.memory[index]!, 0, this.length)
  }

  #store(io: RowIo): void {
    const { journal, members } = this.#array
    const needsJournal =
      !this.#isWhole ||
      members.some(({ state }) => state !== 'in-sync') ||
      journal.covers(this.offset, this.length)
    if (needsJournal) {
      this.#step = 'journal'
      journal.append(this.#update, this)
    } else {
      this.#writeInPlace(io)
    }
  }

  #writeInPlace(io: RowIo): void {
    const { extents, extentCount } = this.#update
    this.#step = 'in-place'
    for (let nth = 0; nth < extentCount; nth++) {
      const { index, offset, from, position, length } = extents[nth]!
      if (io.isPresent(index)) io.write(index, offset, from, position, length)
    }
    io.submit(this)
  }

  #written(io: RowIo): void {
    const { journal } = this.#array
    if (this.#isJournaled && io.error === null) journal.applied(this.#update)
    else if (this.#isJournaled) journal.keep(this.#update, io.error!)
    this.#finish(io.error)
  }

  #error(io: RowIo): VolumeError {
    const { name } = this.#array
    const cause = io.readError ?? 'too few members are there to recover what it is written beside'
    return new VolumeError('write', name, this.#arrayOffset, cause)
  }

  #finish(error: VolumeError | null): void {
    const io = this.#io!
    const completion = this.#completion!
    this.#io = null
    this.#completion = null
    this.#from = NOTHING
    if (this.#hasBegun) this.#array.intents.end(this.offset, this.length)
    this.#array.locks.release(this)
    this.#rows.release(io)
    this.#pool.release(this)
    completion.ioCompleted(error)
  }
}

/** Keeps the records of writes that are over. */
export class RowWritePool {
  readonly #array: ParityArray
  readonly #rows: RowIoPool
  readonly #free: RowWrite[] = []

  constructor(array: ParityArray, rows: RowIoPool) {
    this.#array = array
    this.#rows = rows
  }

  /** One to be started; it comes back by itself. */
  take(): RowWrite {
    return this.#free.pop() ?? new RowWrite(this.#array, this.#rows, this)
  }

  /** Called by a write that is over, or that has nothing to do. */
  release(write: RowWrite): void {
    this.#free.push(write)
  }
}
