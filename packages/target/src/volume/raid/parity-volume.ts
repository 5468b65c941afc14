/** RAID 5 and 6: rows of data chunks with one or two chunks of parity. */
import { FanInPool } from '../fan-in.ts'
import { assertRange } from '../range.ts'
import type { HoleMap, IoCompletion, VolumeError } from '../volume.ts'
import { ChunkReadPool } from './chunk-read.ts'
import type { Member, MemberFailures, RedundantVolume, ScrubFindings } from './member.ts'
import { flushed, onMembers } from './on-members.ts'
import { openParity } from './parity.ts'
import { align, type ParityArray } from './parity-array.ts'
import { ParityDiscard } from './parity-discard.ts'
import { locateParityHoles } from './parity-holes.ts'
import { dataCountOf, memberOf, ParityCursor, type ParityGeometry } from './parity-layout.ts'
import { LENGTH_UNIT } from './parity-math.ts'
import { ParityRow } from './parity-row.ts'
import { RangeLocks } from './range-locks.ts'
import { RowCheck } from './row-check.ts'
import { RowIoPool } from './row-io.ts'
import { computeParity } from './row-recovery.ts'
import { RowWritePool } from './row-write.ts'
import { SlicedWritePool } from './sliced-write.ts'
import type { StripeJournal } from './stripe-journal.ts'
import type { WriteIntents } from './write-intents.ts'

/** The unit in which a disk may hold checksums of its bytes. */
const CHECKED_BLOCK_BYTES = 4096
/** How many slices of rows are in work at once. */
const ROWS_MAX = 16

export interface ParityVolumeOptions {
  readonly name: string
  readonly geometry: ParityGeometry
  /** How much is used of each member: whole chunks. */
  readonly memberSizeBytes: number
  /** By number. Their block sizes are at most the chunk size. */
  readonly members: readonly Member[]
  readonly failures: MemberFailures
  readonly intents: WriteIntents
  /** Recovered already. */
  readonly journal: StripeJournal
  /**
   * Whether a crash has left some of these bytes of the members in doubt, and nobody has resynced them since:
   * what uses them resyncs them first. Nothing is in doubt if not given.
   */
  readonly isDoubtful?: (offset: number, length: number) => boolean
}

/**
 * Its size is what all members but the parity have. It does not own its members: closing it waits for what is in
 * flight, and no more.
 *
 * A write that is not of whole rows is durable when it is reported, since the journal is; whole rows, and where
 * rows are in work by slices whole slices of them, are as of any volume. What a crash leaves of those that were being
 * written, or were not flushed, may be neither old bytes nor new on a member that is lost with the crash.
 *
 * Once the array could not do without a member that failed in the midst of a change of a row, it takes no writes
 * and recovers no reads any more until its journal has been recovered: `StripeJournal.failure` says why.
 */
export class ParityVolume implements RedundantVolume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  readonly #array: ParityArray
  readonly #memberSizeBytes: number
  readonly #rowSizeBytes: number
  readonly #cursor: ParityCursor
  readonly #reads: ChunkReadPool
  readonly #writes: SlicedWritePool
  readonly #check: RowCheck
  readonly #discard: ParityDiscard
  readonly #fanIns = new FanInPool()
  /** For `writeNow`. */
  readonly #nowRow: ParityRow
  readonly #nowParity: readonly Buffer[]

  constructor(options: ParityVolumeOptions) {
    const { name, geometry, memberSizeBytes, members, failures, intents, journal } = options
    const { chunkSizeBytes, memberCount, parityCount } = geometry
    if (members.length !== memberCount || memberSizeBytes % chunkSizeBytes !== 0) {
      throw new RangeError(
        `${name}: ${members.length} members of ${memberSizeBytes} bytes, wanted ${memberCount} ` +
          `of whole chunks of ${chunkSizeBytes}`,
      )
    }
    const dataCount = dataCountOf(geometry)
    const sliceSizeBytes = sliceSizeOf(geometry, journal.updateMaxBytes)
    const math = openParity((ROWS_MAX * memberCount + 2 * parityCount) * sliceSizeBytes)
    const alignmentBytes = Math.min(CHECKED_BLOCK_BYTES, sliceSizeBytes)
    const locks = new RangeLocks()
    this.name = name
    this.sizeBytes = memberSizeBytes * dataCount
    this.blockSizeBytes = blockSizeOf(members)
    if (this.blockSizeBytes > sliceSizeBytes) {
      throw new RangeError(`${name}: its journal is too small for ${memberCount} members`)
    }
    this.#array = {
      name,
      geometry,
      members,
      failures,
      intents,
      journal,
      locks,
      math,
      sliceSizeBytes,
      alignmentBytes,
      hasChecks: members.some(({ volume }) => volume?.checks !== undefined),
      isDoubtful: options.isDoubtful ?? (() => false),
    }
    this.#memberSizeBytes = memberSizeBytes
    this.#rowSizeBytes = dataCount * chunkSizeBytes
    this.#cursor = new ParityCursor(geometry)
    const rows = new RowIoPool(this.#array, ROWS_MAX)
    this.#reads = new ChunkReadPool(this.#array, rows)
    this.#writes = new SlicedWritePool(this.#array, new RowWritePool(this.#array, rows))
    this.#check = new RowCheck(this.#array, rows)
    this.#discard = new ParityDiscard(this.#array, this.write.bind(this))
    this.#nowRow = new ParityRow(dataCount, parityCount)
    this.#nowParity = Array.from({ length: parityCount }, () => math.allocate(sliceSizeBytes))
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    const cursor = this.#cursor
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const { state, volume } = this.#array.members[cursor.member]!
      const at = position + cursor.position
      if (state !== 'in-sync' || this.#isDoubtful(cursor.memberOffset, cursor.length)) return false
      if (!volume!.readNow(cursor.memberOffset, into, at, cursor.length)) return false
    }
    return true
  }

  /** Of whole rows only, with all members in-sync: anything else has to wait for the journal. */
  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (offset % this.#rowSizeBytes !== 0 || length % this.#rowSizeBytes !== 0) return false
    const { journal, members, geometry, sliceSizeBytes } = this.#array
    if (journal.failure !== null) return false
    for (const { state } of members) if (state !== 'in-sync') return false
    for (let done = 0; done < length; done += this.#rowSizeBytes) {
      const row = (offset + done) / this.#rowSizeBytes
      for (let start = 0; start < geometry.chunkSizeBytes; start += sliceSizeBytes) {
        if (!this.#writeSliceNow(row, start, from, position + done)) return false
      }
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
    assertRange(this, offset, length)
    const cursor = this.#cursor
    const pieces = cursor.countPieces(offset, length)
    const whole = this.#fanIns.start(Math.max(pieces, 1), completion)
    if (pieces === 0) process.nextTick(reportSuccess, whole)
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const { row, index, within, memberOffset, length: count } = cursor
      const at = position + cursor.position
      if (!this.#isDoubtful(memberOffset, count)) {
        this.#reads.take().start(row, index, within, count, into, at, whole)
        continue
      }
      this.#settle(memberOffset, count).then(
        () => this.#reads.take().start(row, index, within, count, into, at, whole),
        (error: VolumeError) => whole.ioCompleted(error),
      )
    }
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    const whole = this.#fanIns.start(1, completion)
    const rows = this.#memberRange(offset, length)
    if (length === 0) process.nextTick(reportSuccess, whole)
    else if (!this.#isDoubtful(rows.offset, rows.length)) {
      this.#writes.take().start(offset, from, position, length, whole)
    } else {
      this.#settle(rows.offset, rows.length).then(
        () => this.#writes.take().start(offset, from, position, length, whole),
        (error: VolumeError) => whole.ioCompleted(error),
      )
    }
  }

  flush(completion: IoCompletion): void {
    this.#report(this.#flush(), completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    this.#report(this.#discard.discard(offset, length), completion)
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    const whole = this.#fanIns.start(1, completion)
    if (length === 0) process.nextTick(reportSuccess, whole)
    else locateParityHoles(this.#array, offset, length, map, whole)
  }

  async resync(offset: number, length: number): Promise<void> {
    this.#assertMemberRange(offset, length)
    await this.#inFlight(this.#check.resync(offset, length))
  }

  async scrub(offset: number, length: number): Promise<ScrubFindings> {
    this.#assertMemberRange(offset, length)
    return await this.#inFlight(this.#check.scrub(offset, length))
  }

  close(): Promise<void> {
    return this.#fanIns.idle()
  }

  #isDoubtful(offset: number, length: number): boolean {
    const { hasChecks, isDoubtful } = this.#array
    return hasChecks && isDoubtful(offset, length)
  }

  /** What of each member the rows of a range are, or the columns if it is within one chunk. */
  #memberRange(offset: number, length: number): { offset: number; length: number } {
    const { chunkSizeBytes } = this.#array.geometry
    const within = offset % chunkSizeBytes
    const row = Math.floor(offset / this.#rowSizeBytes)
    if (within + length <= chunkSizeBytes) return { offset: row * chunkSizeBytes + within, length }
    const rowEnd = Math.ceil((offset + length) / this.#rowSizeBytes)
    return { offset: row * chunkSizeBytes, length: (rowEnd - row) * chunkSizeBytes }
  }

  /** Ends the doubt about whole blocks. */
  async #settle(offset: number, length: number): Promise<void> {
    const columns = { start: offset, end: offset + length }
    align(columns, this.#array)
    await this.#check.resync(columns.start, columns.end - columns.start)
  }

  async #flush(): Promise<void> {
    const { journal, members, failures } = this.#array
    const mark = journal.mark()
    await onMembers(members, failures, flushed)
    journal.flushed(mark)
  }

  /** Bytes from `start` on of each chunk of a row, of which all data begin at `position`. */
  #writeSliceNow(row: number, start: number, from: Buffer, position: number): boolean {
    const { geometry, members, locks, journal, intents, math } = this.#array
    const length = this.#array.sliceSizeBytes
    const offset = row * geometry.chunkSizeBytes + start
    if (!locks.isFree(offset, length) || journal.covers(offset, length)) return false
    if (!intents.beginNow(offset, length)) return false
    const placed = this.#nowRow
    for (let index = 0; index < geometry.memberCount; index++) {
      const isData = index < placed.dataCount
      if (isData) placed.place(index, from, position + index * geometry.chunkSizeBytes + start)
      else placed.place(index, this.#nowParity[index - placed.dataCount]!, 0)
    }
    computeParity(math, placed, length)
    for (let index = 0; index < geometry.memberCount; index++) {
      const volume = members[memberOf(geometry, row, index)]!.volume!
      const isWritten = volume.writeNow(
        offset,
        placed.buffers[index]!,
        placed.positions[index]!,
        length,
      )
      if (!isWritten) return false
    }
    return true
  }

  /** Throws unless the range is whole blocks of the members. */
  #assertMemberRange(offset: number, length: number): void {
    const { name, blockSizeBytes } = this
    assertRange({ name, blockSizeBytes, sizeBytes: this.#memberSizeBytes }, offset, length)
  }

  #report(work: Promise<void>, completion: IoCompletion): void {
    const whole = this.#fanIns.start(1, completion)
    work.then(
      () => whole.ioCompleted(null),
      (error: VolumeError) => whole.ioCompleted(error),
    )
  }

  /** `close` waits for it. */
  async #inFlight<T>(work: Promise<T>): Promise<T> {
    const whole = this.#fanIns.start(1, nobody)
    try {
      return await work
    } finally {
      whole.ioCompleted(null)
    }
  }
}

/** All of a chunk, or as much of each as there is room for in a record of the journal. */
function sliceSizeOf(
  { chunkSizeBytes, memberCount }: ParityGeometry,
  updateMaxBytes: number,
): number {
  const share = Math.max(1, Math.floor(updateMaxBytes / memberCount))
  return Math.min(chunkSizeBytes, 2 ** Math.floor(Math.log2(share)))
}

/** Parity is of multiples of 512 bytes. */
function blockSizeOf(members: readonly Member[]): number {
  return Math.max(LENGTH_UNIT, ...members.map(({ volume }) => volume?.blockSizeBytes ?? 0))
}

const nobody: IoCompletion = { ioCompleted: () => {} }

function reportSuccess(completion: IoCompletion): void {
  completion.ioCompleted(null)
}
