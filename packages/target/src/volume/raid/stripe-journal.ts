/**
 * The journal of a parity array: before part of a row is changed in place, the new bytes of all its chunks,
 * parity included, are durable here. After a crash they are written in place again, so that a row is never
 * left with data and parity of different times: or else what the row holds beside the bytes written could not be
 * had back from a member that is absent, or lost with the crash.
 *
 * A ring on each member holds the records in the order of their sequence numbers; journal-format.ts has the
 * layout. A record is dropped once its bytes are durable in place, and that is durable in an anchor. Until
 * then it would be written over whatever came to these bytes without the journal: who bypasses it asks
 * `covers` first, or has the records dropped by `retire`.
 */
import { randomUUID } from 'node:crypto'
import { settled } from '../settled.ts'
import { type IoCompletion, type Volume, VolumeError } from '../volume.ts'
import {
  anchorOffsetOf,
  encodeAnchor,
  encodeRecord,
  JOURNAL_BLOCK_BYTES,
  type JournalExtent,
  RING_START,
  recordSizeOf,
} from './journal-format.ts'
import { JournalReader } from './journal-recovery.ts'
import { LiveRecords } from './live-records.ts'
import type { Member, MemberFailures } from './member.ts'
import { flushed, onMembers } from './on-members.ts'
import type { StripeUpdate } from './stripe-update.ts'

/** Enough for many small records in one commit, and for large ones not to need many. */
const COMMIT_MAX_BYTES = 1024 * 1024 + JOURNAL_BLOCK_BYTES

/** What ParityVolume needs of a journal. */
export interface StripeJournal {
  /** How many bytes all extents of an update have at most. */
  readonly updateMaxBytes: number
  /**
   * Why the array cannot be written any more, nor read where that takes parity: an update has been written in
   * place in part. Its record is kept, and `recover` finishes it when the array is assembled again. Null
   * as long as there is none such.
   */
  readonly failure: VolumeError | null
  /**
   * Makes an update durable, after those appended before. Its bytes are the journal's until then. When null
   * is reported they are to be written in place, and `applied` or `keep` must follow; after an error not.
   */
  append(update: StripeUpdate, completion: IoCompletion): void
  /** All of the update has been written in place, on the members that are there. */
  applied(update: StripeUpdate): void
  /** The update cannot be written in place: its record stays, and nothing is appended any more. */
  keep(update: StripeUpdate, error: VolumeError): void
  /** Whether a crash may have a record written over some of these bytes of the members; at times true if not. */
  covers(offset: number, length: number): boolean
  /**
   * Resolves when no record is about these bytes of the members any more. All updates of them have been
   * applied, and no more may be appended meanwhile. Rejects with VolumeError.
   */
  retire(offset: number, length: number): Promise<void>
  /** To be called before a flush of all members, for `flushed`. */
  mark(): number
  /** The flush of all members that began at `mark` has ended well: what was applied before is durable. */
  flushed(mark: number): void
}

export interface RingJournalOptions {
  /** The array's, for errors. */
  readonly name: string
  /** A UUID. */
  readonly arrayId: string
  /** The members with their areas of the journal as volumes: the same members, by the same numbers. */
  readonly areas: readonly Member[]
  readonly areaSizeBytes: number
  /** The members with the array's data, for which the records are. */
  readonly members: readonly Member[]
  readonly failures: MemberFailures
  /** How many members may be lost with a crash. */
  readonly parityCount: number
}

/** A StripeJournal on the members of the array. To be recovered before anything is appended. */
export class RingJournal implements StripeJournal {
  readonly updateMaxBytes: number
  #failure: VolumeError | null = null
  readonly #options: RingJournalOptions
  /** Each record is on so many members, and so survives the loss of all but one of them. */
  readonly #copyCount: number
  readonly #live: LiveRecords
  /** The records of the commit at hand. */
  readonly #staging: Buffer
  /** Appended, and not yet committed. As many as the rows in work, at most. */
  #waiting: StripeUpdate[] = []
  #committing = false
  #makingRoomAhead = false
  #commits = 0
  /** A commit has failed, and may have left records in the ring that never must count. */
  #mustRestart = false
  #epoch = ''
  #generation = 0
  #lastAnchor: Promise<unknown> = Promise.resolve()
  #endWaiters: (() => void)[] = []

  constructor(options: RingJournalOptions) {
    const room = options.areaSizeBytes - RING_START
    const ringSizeBytes = room - (room % JOURNAL_BLOCK_BYTES)
    const quarter = Math.floor(ringSizeBytes / 4 / JOURNAL_BLOCK_BYTES) * JOURNAL_BLOCK_BYTES
    const stagingBytes = Math.min(COMMIT_MAX_BYTES, quarter)
    if (stagingBytes < 2 * JOURNAL_BLOCK_BYTES) {
      throw new RangeError(`${options.areaSizeBytes} bytes are too few for a journal`)
    }
    this.updateMaxBytes = stagingBytes - JOURNAL_BLOCK_BYTES
    this.#options = options
    this.#copyCount = options.parityCount + 1
    this.#live = new LiveRecords(ringSizeBytes)
    this.#staging = Buffer.allocUnsafeSlow(stagingBytes)
  }

  get failure(): VolumeError | null {
    return this.#failure
  }

  /**
   * Writes in place what the records hold, on the members that are there, and begins with an empty ring. What
   * a crash leaves of that, the next time makes good. Members that are not there must be known as absent
   * in the labels of the others by then. Rejects with VolumeError, or Error if the journal is of a
   * later version; then the array cannot be used.
   */
  async recover(): Promise<void> {
    const { areas, arrayId, members, failures } = this.#options
    const reader = new JournalReader({ areas, arrayId, copyCount: this.#copyCount })
    const anchor = await reader.findAnchor()
    let nextSequence = 1
    if (anchor !== null) {
      nextSequence = await reader.replayFrom(anchor, (extents) => this.#replay(extents))
      this.#generation = anchor.generation
      await onMembers(members, failures, flushed)
    }
    await this.#restart(nextSequence)
  }

  append(update: StripeUpdate, completion: IoCompletion): void {
    if (this.#epoch === '') throw new Error('the journal has not been recovered')
    if (update.byteCount > this.updateMaxBytes) {
      throw new RangeError(`an update of ${update.byteCount} bytes, ${this.updateMaxBytes} at most`)
    }
    update.completion = completion
    this.#waiting.push(update)
    if (!this.#committing) {
      this.#committing = true
      void this.#commitAll()
    }
  }

  applied(update: StripeUpdate): void {
    this.#end(update)
  }

  keep(update: StripeUpdate, error: VolumeError): void {
    this.#failure ??= error
    update.record = null
    this.#wake()
  }

  covers(offset: number, length: number): boolean {
    return this.#live.covers(offset, length)
  }

  async retire(offset: number, length: number): Promise<void> {
    while (this.#live.overlaps(offset, length)) await this.#makeRoom()
  }

  mark(): number {
    return this.#live.mark()
  }

  flushed(mark: number): void {
    this.#live.flushed(mark)
  }

  /** Waits for what it does by itself. To be called once the array's volume is closed, and before its disks are. */
  async close(): Promise<void> {
    await this.#lastAnchor
  }

  async #replay(extents: readonly JournalExtent[]): Promise<void> {
    const { members, failures } = this.#options
    for (const { memberNumber, offset, from, position, length } of extents) {
      const write = (volume: Volume) =>
        settled((completion) => volume.write(offset, from, position, length, completion))
      await onMembers([members[memberNumber]!], failures, write)
    }
  }

  /** One commit after the other, each with all that has come to wait during the one before, as far as it fits. */
  async #commitAll(): Promise<void> {
    // Nobody is told from within `append`.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      try {
        if (this.#failure !== null) throw this.#failure
        if (this.#mustRestart) await this.#restartWhenEnded()
        if (this.#live.placeFor(this.#sizeOfNext()) < 0) await this.#makeRoom()
        else await this.#commitBatch()
      } catch (error) {
        this.#tell(this.#waiting.splice(0), error as VolumeError)
      }
    }
    this.#committing = false
  }

  #sizeOfNext(): number {
    return recordSizeOf(this.#waiting[0]!.byteCount)
  }

  async #commitBatch(): Promise<void> {
    const batch: StripeUpdate[] = []
    const start = this.#live.placeFor(this.#sizeOfNext())
    let length = 0
    while (this.#waiting.length > 0) {
      const size = this.#sizeOfNext()
      const follows = this.#live.placeFor(size) === start + length
      if (!follows || length + size > this.#staging.length) break
      const update = this.#waiting.shift()!
      this.#encode(update, length)
      batch.push(update)
      length += size
    }
    try {
      await this.#write(start, length)
    } catch (error) {
      this.#mustRestart = true
      for (const update of batch) this.#end(update)
      this.#tell(batch, error as VolumeError)
      return
    }
    this.#tell(batch, null)
    if (this.#live.usedBytes > this.#live.ringSizeBytes / 2) void this.#makeRoomAhead()
  }

  /** In good time, so that few have to wait for room. */
  async #makeRoomAhead(): Promise<void> {
    if (this.#makingRoomAhead) return
    this.#makingRoomAhead = true
    try {
      await this.#moveAnchor()
    } catch {
      // Who has to wait for room tries again, and is told.
    }
    this.#makingRoomAhead = false
  }

  #encode(update: StripeUpdate, position: number): void {
    const { offset, length, extents, extentCount, byteCount } = update
    const { arrayId } = this.#options
    update.record = this.#live.add(recordSizeOf(byteCount), offset, length)
    const identity = { arrayId, epoch: this.#epoch, sequence: update.record.sequence }
    encodeRecord(this.#staging, position, identity, offset, extents, extentCount)
  }

  /** Makes what is in `staging` durable on enough members. Rejects with VolumeError. */
  async #write(position: number, length: number): Promise<void> {
    const write = async (volume: Volume) => {
      const offset = RING_START + position
      await settled((completion) => volume.write(offset, this.#staging, 0, length, completion))
      await flushed(volume)
    }
    let wentWell = false
    // Each turn but the last loses a member.
    while (!wentWell) {
      wentWell = await onMembers(this.#chooseAreas(), this.#options.failures, write)
    }
  }

  /** Others in each turn, so that all have their share; fewer than wanted if there are no more. */
  #chooseAreas(): Member[] {
    const present = this.#options.areas.filter(({ volume }) => volume !== null)
    if (present.length === 0) {
      throw new VolumeError('write', this.#options.name, 0, 'there is no member left')
    }
    const first = this.#commits++
    const count = Math.min(this.#copyCount, present.length)
    return Array.from({ length: count }, (_, nth) => present[(first + nth) % present.length]!)
  }

  #tell(updates: readonly StripeUpdate[], error: VolumeError | null): void {
    for (const { completion } of updates) completion!.ioCompleted(error)
  }

  #end(update: StripeUpdate): void {
    this.#live.end(update.record!)
    update.record = null
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#endWaiters.splice(0)) wake()
  }

  #nextEnd(): Promise<void> {
    return new Promise((resolve) => this.#endWaiters.push(resolve))
  }

  /** Drops the oldest record at least, after waiting for that if need be. Rejects with VolumeError. */
  async #makeRoom(): Promise<void> {
    const { oldest } = this.#live
    while (oldest !== undefined && oldest === this.#live.oldest) {
      if (this.#failure !== null) throw this.#failure
      if (oldest.endedAt === null) await this.#nextEnd()
      else await this.#moveAnchor()
    }
  }

  /** Drops what is in place durably, after a flush if none is known to be. */
  #moveAnchor(): Promise<void> {
    return this.#afterLastAnchor(async () => {
      const { members, failures } = this.#options
      if (this.#live.countFlushed() === 0) {
        const mark = this.mark()
        await onMembers(members, failures, flushed)
        this.flushed(mark)
      }
      const count = this.#live.countFlushed()
      if (count === 0) return
      const { sequence, position } = this.#live.oldestAfter(count)
      await this.#writeAnchor(this.#epoch, sequence, position)
      this.#live.drop(count)
    })
  }

  /** After a failed commit: with a new epoch, whatever is in the ring does not count. */
  async #restartWhenEnded(): Promise<void> {
    while (!this.#live.haveAllEnded) {
      await this.#nextEnd()
      if (this.#failure !== null) throw this.#failure
    }
    const { members, failures } = this.#options
    await this.#afterLastAnchor(async () => {
      await onMembers(members, failures, flushed)
      await this.#restart(this.#live.nextSequence)
    })
    this.#mustRestart = false
  }

  async #restart(nextSequence: number): Promise<void> {
    const epoch = randomUUID()
    await this.#writeAnchor(epoch, nextSequence, 0)
    this.#epoch = epoch
    this.#live.restart(nextSequence)
  }

  /**
   * On all members, durably: a record may be written over what the anchor before this one pointed to. One that
   * fails is followed by one of the same generation, so that the slot of the one before stays as it is.
   */
  async #writeAnchor(epoch: string, oldestSequence: number, oldestPosition: number): Promise<void> {
    const { arrayId, areas, failures } = this.#options
    const generation = this.#generation + 1
    const offset = anchorOffsetOf(generation)
    const { ringSizeBytes } = this.#live
    const anchor = { arrayId, epoch, generation, oldestSequence, oldestPosition, ringSizeBytes }
    const block = encodeAnchor(anchor)
    await onMembers(areas, failures, async (volume) => {
      await settled((completion) => volume.write(offset, block, 0, block.length, completion))
      await flushed(volume)
    })
    this.#generation = generation
  }

  #afterLastAnchor(work: () => Promise<void>): Promise<void> {
    const result = this.#lastAnchor.then(work)
    this.#lastAnchor = result.catch(() => {})
    return result
  }
}
