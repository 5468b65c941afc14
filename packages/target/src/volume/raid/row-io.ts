/** The bytes of one row in memory, and their way from and to the members. */
import type { IoCompletion, Volume, VolumeError } from '../volume.ts'
import type { Member } from './member.ts'
import { isOnDisk } from './on-members.ts'
import type { ParityArray } from './parity-array.ts'
import { dataCountOf, memberOf } from './parity-layout.ts'
import { ParityRow } from './parity-row.ts'

/** Who works on a row. A long-lived record. */
export interface RowIoOwner {
  /** It has waited for a RowIo, and here it is. Never from within the call that asked. */
  rowIoGranted(io: RowIo): void
  /** What was submitted has ended. Never from within `submit`. */
  rowIoEnded(): void
}

/** A transfer of one chunk. */
class ChunkTransfer implements IoCompletion {
  readonly io: RowIo
  readonly index: number
  phase: 'read' | 'write' | 'fail' = 'read'
  volume: Volume | null = null

  constructor(io: RowIo, index: number) {
    this.io = io
    this.index = index
  }

  ioCompleted(error: VolumeError | null): void {
    this.io.transferEnded(this, error)
  }
}

/**
 * Memory for a slice of a row, and transfers between it and the members. Transfers are started by `read` and
 * `write`, one at most for each chunk, and then submitted together. A chunk that cannot be read is noted as
 * unreadable; a member that cannot be written is failed before the end is reported.
 */
export class RowIo {
  readonly dataCount: number
  readonly chunkCount: number
  /** Where the chunks are to be computed with: in `memory`, from `seek` on, until they are placed otherwise. */
  readonly row: ParityRow
  /** Of each chunk, what begins with byte `start` of it. */
  readonly memory: readonly Buffer[]
  /** Of each chunk, whether it has been read since `seek`, as far as that was asked for. */
  readonly held: boolean[]
  /** Which chunks recovery is to compute: see row-recovery.ts. */
  readonly lost: number[] = []
  /** Whether one of the reads submitted last has failed. */
  readFailed = false
  /** Why a chunk could not be read, the first of those since `seek`. */
  readError: VolumeError | null = null
  /** A member failed that the array cannot do without, since `seek`. */
  error: VolumeError | null = null
  rowNumber = 0
  /** The columns at hand. */
  start = 0
  end = 0
  readonly #array: ParityArray
  readonly #unreadable: boolean[]
  readonly #transfers: readonly ChunkTransfer[]
  #owner: RowIoOwner | null = null
  #pending = 0

  constructor(array: ParityArray) {
    const { geometry, math, sliceSizeBytes } = array
    const indexes = Array.from({ length: geometry.memberCount }, (_, index) => index)
    this.#array = array
    this.dataCount = dataCountOf(geometry)
    this.chunkCount = geometry.memberCount
    this.row = new ParityRow(this.dataCount, geometry.parityCount)
    this.memory = indexes.map(() => math.allocate(sliceSizeBytes))
    this.held = indexes.map(() => false)
    this.#unreadable = indexes.map(() => false)
    this.#transfers = indexes.map((index) => new ChunkTransfer(this, index))
  }

  /** How many bytes of each chunk. */
  get length(): number {
    return this.end - this.start
  }

  /** Turns to columns `[start, end)` of a row, within one slice. */
  seek(rowNumber: number, start: number, end: number): void {
    this.rowNumber = rowNumber
    this.start = start
    this.end = end
    this.readError = null
    this.error = null
    for (let index = 0; index < this.chunkCount; index++) {
      this.held[index] = false
      this.#unreadable[index] = false
      this.row.place(index, this.memory[index]!, 0)
    }
  }

  memberOf(index: number): Member {
    const { geometry, members } = this.#array
    return members[memberOf(geometry, this.rowNumber, index)]!
  }

  /** The member has the chunk, and it has not been found unreadable. */
  isReadable(index: number): boolean {
    return this.isInSync(index) && !this.#unreadable[index]
  }

  isInSync(index: number): boolean {
    return this.memberOf(index).state === 'in-sync'
  }

  /** There is a member that takes writes of the chunk. */
  isPresent(index: number): boolean {
    return this.memberOf(index).volume !== null
  }

  /** Where byte `within` of the row's chunks is on the members. */
  memberOffset(within: number): number {
    return this.rowNumber * this.#array.geometry.chunkSizeBytes + within
  }

  /** Starts to read bytes `[start, end)`, of the columns at hand, of an in-sync member's chunk into memory, where they belong. */
  read(index: number, start = this.start, end = this.end): void {
    const volume = this.#begin(index, 'read')
    const offset = this.memberOffset(start)
    const memory = this.memory[index]!
    volume.read(offset, memory, start - this.start, end - start, this.#transfers[index]!)
  }

  /** Starts to write to the chunk's member, at a byte offset of the member. */
  write(index: number, offset: number, from: Buffer, position: number, length: number): void {
    const volume = this.#begin(index, 'write')
    volume.write(offset, from, position, length, this.#transfers[index]!)
  }

  /** Starts to write all columns at hand of a chunk, from memory. */
  writeMemory(index: number): void {
    this.write(index, this.memberOffset(this.start), this.memory[index]!, 0, this.length)
  }

  /** The owner is to be told once all that has been started has ended, even if that is nothing. */
  submit(owner: RowIoOwner): void {
    this.#owner = owner
    this.readFailed = false
    if (this.#pending === 0) process.nextTick(tellEnded, this)
  }

  transferEnded(transfer: ChunkTransfer, error: VolumeError | null): void {
    if (error !== null) {
      if (transfer.phase === 'read') {
        this.#unreadable[transfer.index] = true
        this.readFailed = true
        this.readError ??= error
      } else if (transfer.phase === 'fail') {
        this.error ??= error
        this.#array.intents.holdMarks()
      } else if (isOnDisk(this.memberOf(transfer.index), transfer.volume)) {
        transfer.phase = 'fail'
        this.#array.failures.fail(this.memberOf(transfer.index).number, error, transfer)
        return
      }
    } else if (transfer.phase === 'read') {
      this.held[transfer.index] = true
    }
    transfer.volume = null
    this.#pending--
    if (this.#pending === 0) this.tellEnded()
  }

  tellEnded(): void {
    const owner = this.#owner!
    this.#owner = null
    owner.rowIoEnded()
  }

  #begin(index: number, phase: 'read' | 'write'): Volume {
    const transfer = this.#transfers[index]!
    const volume = this.memberOf(index).volume!
    transfer.phase = phase
    transfer.volume = volume
    this.#pending++
    return volume
  }
}

/** Resolves when what has been started has ended. */
export function ended(io: RowIo): Promise<void> {
  return new Promise((resolve) => {
    io.submit({ rowIoEnded: resolve, rowIoGranted: () => {} })
  })
}

function tellEnded(io: RowIo): void {
  io.tellEnded()
}

/** As many rows as may be in work at once; who finds none waits, first come, first served. */
export class RowIoPool {
  readonly #array: ParityArray
  readonly #free: RowIo[] = []
  readonly #waiting: RowIoOwner[] = []
  #unmade: number

  /** `rowsMax`: how many there are at most. They are made when they are first needed. */
  constructor(array: ParityArray, rowsMax: number) {
    this.#array = array
    this.#unmade = rowsMax
  }

  /** One to be released again; null if `rowIoGranted` will bring it. */
  acquire(owner: RowIoOwner): RowIo | null {
    const io = this.#free.pop()
    if (io !== undefined) return io
    if (this.#unmade > 0) {
      this.#unmade--
      return new RowIo(this.#array)
    }
    this.#waiting.push(owner)
    return null
  }

  release(io: RowIo): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(io)
    else next.rowIoGranted(io)
  }
}
