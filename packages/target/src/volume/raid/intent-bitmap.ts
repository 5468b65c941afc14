/**
 * The regions in which members may differ, kept durably on all of them. A region is marked before the first
 * write to it begins, and cleared some time after the last, when all of it is on all members.
 *
 * Time is counted in sweeps, `idleMs` apart. Each region has the sweep in which it was last written; one
 * that was not since the last sweep but one began is idle, and whatever was written to it ended before any
 * flush that begins now.
 */
import { settled } from '../settled.ts'
import type { IoCompletion, VolumeError } from '../volume.ts'
import { type Clock, systemClock, type Timer } from './clock.ts'
import { IntentCopies, type IntentCopiesOptions } from './intent-copies.ts'
import { BLOCK_BITS_BYTES, REGIONS_PER_BLOCK } from './intent-format.ts'
import { MarkAhead } from './mark-ahead.ts'
import { ReadyList } from './ready-list.ts'
import type { RegionSet } from './region-set.ts'
import type { WriteIntents } from './write-intents.ts'

const IDLE_MS = 5000
const MARK_AHEAD_BYTES = 64 * 1024 * 1024
/** The sweep in which regions count as written that were not. */
const LONG_AGO = 0

export interface IntentBitmapOptions extends IntentCopiesOptions {
  /** Makes durable on all members what has been written to them: the data, as the level does. */
  readonly flush: (completion: IoCompletion) => void
  /** A region is cleared when it has not been written for so long, or at most twice that; 5000 by default. */
  readonly idleMs?: number
  /** So much is marked ahead of those who write from front to back, at most; 64 MiB by default. */
  readonly markAheadBytes?: number
  readonly clock?: Clock
}

/** Which regions `markStale` is about: all, those that are marked, or those whose bytes it is true of. */
export type StaleRegions = 'all' | 'dirty' | ((offset: number, length: number) => boolean)

/** A write that waits for its regions, `first` up to `end`, to be marked; or somebody who waits for a commit. */
interface Waiter {
  first: number
  end: number
  completion: IoCompletion
}

/** It takes 8 bytes of memory for each region. Writes that wait are bounded by who sends them. */
export class IntentBitmap implements WriteIntents {
  readonly regionSizeBytes: number
  readonly regionCount: number
  readonly #options: IntentBitmapOptions
  readonly #copies: IntentCopies
  readonly #clock: Clock
  /** What any of the copies may say, or is to say after the next commit. */
  readonly #dirty: RegionSet
  /** What all of them say durably, and go on to say until it is taken out of here. */
  readonly #durable: RegionSet
  /** Where members may differ until somebody makes them agree; they are dirty. */
  readonly #stale: RegionSet
  /** Those of them in which a crash may have left them so, rather than a new disk. */
  readonly #doubtful: RegionSet
  readonly #underWay: Uint32Array
  readonly #lastWritten: Uint32Array
  readonly #ahead: MarkAhead
  /** Blocks in which `#dirty` is not what the copies were given last. */
  readonly #changed = new Set<number>()
  #waiters: Waiter[] = []
  readonly #freeWaiters: Waiter[] = []
  readonly #ready = new ReadyList()
  #isCommitting = false
  #sweep = LONG_AGO + 2
  /** What was written in this sweep, or before, is durable on all members, and may be cleared. */
  #flushedSweep = -1
  #staleMarks = 0
  #timer: Timer | null = null
  #sweeping: Promise<void> = Promise.resolve()
  #isClosed = false
  #areMarksHeld = false

  private constructor(options: IntentBitmapOptions, copies: IntentCopies, dirty: RegionSet) {
    this.#options = options
    this.#copies = copies
    this.#clock = options.clock ?? systemClock
    this.regionSizeBytes = options.regionSizeBytes
    this.regionCount = dirty.size
    this.#dirty = dirty
    this.#durable = dirty.copy()
    this.#stale = dirty.copy()
    this.#doubtful = dirty.copy()
    this.#underWay = new Uint32Array(dirty.size)
    this.#lastWritten = new Uint32Array(dirty.size)
    const aheadBytes = options.markAheadBytes ?? MARK_AHEAD_BYTES
    this.#ahead = new MarkAhead(Math.floor(aheadBytes / options.regionSizeBytes))
    this.#startTimer()
  }

  /**
   * Reads the copies of the members that are there, and makes them alike. All regions that one of them names
   * are stale, and in doubt. Rejects with VolumeError.
   */
  static async load(options: IntentBitmapOptions): Promise<IntentBitmap> {
    const copies = new IntentCopies(options)
    return new IntentBitmap(options, copies, await copies.load())
  }

  /** How many regions are marked. */
  get dirtyCount(): number {
    return this.#dirty.count()
  }

  get staleCount(): number {
    return this.#stale.count()
  }

  /** How many bytes of each member are in stale regions. */
  get staleBytes(): number {
    const last = this.regionCount - 1
    const missing = this.#stale.has(last) ? this.regionSizeBytes - this.regionLength(last) : 0
    return this.staleCount * this.regionSizeBytes - missing
  }

  /** How often regions have been marked stale: see `resynced`. */
  get staleMarks(): number {
    return this.#staleMarks
  }

  /** The lowest stale region from `from` on; -1 if there is none. */
  nextStale(from: number): number {
    return this.#stale.next(from)
  }

  /**
   * Whether some of these bytes were being written when the array was last used, as far as is known, and
   * have not been resynced since. What `markStale` names is not in doubt: the members in sync have it.
   */
  isDoubtful(offset: number, length: number): boolean {
    const end = Math.ceil((offset + length) / this.regionSizeBytes)
    for (let region = Math.floor(offset / this.regionSizeBytes); region < end; region++) {
      if (this.#doubtful.has(region)) return true
    }
    return false
  }

  /** Where a region begins, in bytes. */
  regionOffset(region: number): number {
    return region * this.regionSizeBytes
  }

  /** How many bytes of each member a region is: the last may be shorter. */
  regionLength(region: number): number {
    return Math.min(
      this.regionSizeBytes,
      this.#options.memberSizeBytes - region * this.regionSizeBytes,
    )
  }

  beginNow(offset: number, length: number): boolean {
    const first = Math.floor(offset / this.regionSizeBytes)
    const end = Math.ceil((offset + length) / this.regionSizeBytes)
    for (let region = first; region < end; region++) {
      if (!this.#durable.has(region)) return false
    }
    for (let region = first; region < end; region++) this.#lastWritten[region] = this.#sweep
    return true
  }

  begin(offset: number, length: number, completion: IoCompletion): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.#options.memberSizeBytes)) {
      throw new RangeError(`range [${offset}, ${offset + length}) is not within the members`)
    }
    const first = Math.floor(offset / this.regionSizeBytes)
    const end = Math.ceil((offset + length) / this.regionSizeBytes)
    let isMarked = true
    for (let region = first; region < end; region++) {
      this.#underWay[region]!++
      if (!this.#durable.has(region)) isMarked = false
    }
    if (isMarked) this.#ready.add(completion)
    else this.#wait(first, end, completion)
  }

  end(offset: number, length: number): void {
    const end = Math.ceil((offset + length) / this.regionSizeBytes)
    for (let region = Math.floor(offset / this.regionSizeBytes); region < end; region++) {
      if (this.#underWay[region] === 0) throw new Error('a write ended that had not begun')
      this.#underWay[region]!--
      this.#lastWritten[region] = this.#sweep
    }
  }

  holdMarks(): void {
    this.#areMarksHeld = true
  }

  /**
   * Makes regions stale, durably, also on members that have come since. For a new disk it is called twice:
   * before a label names it, so that a crash cannot make it pass for one that holds everything; and when it
   * is there, for what was resynced in between without it. Rejects with VolumeError; then they are stale all
   * the same, until the process ends.
   */
  markStale(which: StaleRegions): Promise<void> {
    this.#staleMarks++
    for (let region = 0; region < this.regionCount; region++) {
      if (!this.#isMeant(which, region)) continue
      this.#stale.add(region)
      this.#setDirty(region)
    }
    // With nothing to mark there is still the new disk, which must be given the rest.
    this.#changed.add(0)
    return this.#committed()
  }

  /**
   * Members agree about a region, durably. `since` is what `staleMarks` was when the work began: if it is
   * not any more, there may be a disk that had no part in it, and the region stays as it is.
   */
  resynced(region: number, since: number): void {
    if (since !== this.#staleMarks) return
    this.#stale.delete(region)
    this.#doubtful.delete(region)
    this.#lastWritten[region] = this.#sweep
    this.#startTimer()
  }

  /**
   * Flushes, and clears what may be cleared, durably. For when no more writes come: one that did would be
   * marked, and never cleared.
   */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#timer = null
    await this.#sweeping
    await this.#committed().catch(() => {})
    this.#sweep += 2
    await this.#flushIdle()
    // What a failure leaves marked is only looked at again without need.
    await this.#committed().catch(() => {})
  }

  #isMeant(which: StaleRegions, region: number): boolean {
    if (which === 'all') return true
    if (which === 'dirty') return this.#dirty.has(region)
    return which(this.regionOffset(region), this.regionLength(region))
  }

  /** What is dirty already may be so since an attempt that failed: it is written once more. */
  #setDirty(region: number): void {
    if (this.#durable.has(region)) return
    this.#dirty.add(region)
    this.#changed.add(Math.floor(region / REGIONS_PER_BLOCK))
  }

  #wait(first: number, end: number, completion: IoCompletion): void {
    const waiter = this.#freeWaiters.pop() ?? { first, end, completion }
    waiter.first = first
    waiter.end = end
    waiter.completion = completion
    this.#waiters.push(waiter)
    this.#startCommits()
  }

  /** Resolves when all that is to be marked by now is so durably. */
  #committed(): Promise<void> {
    return settled((completion) => this.#wait(0, 0, completion))
  }

  get #hasWork(): boolean {
    return this.#waiters.length > 0 || this.#changed.size > 0 || this.#flushedSweep >= 0
  }

  /** From the next tick on, for the sake of what else this turn of the event loop brings. */
  #startCommits(): void {
    if (this.#isCommitting || !this.#hasWork) return
    this.#isCommitting = true
    process.nextTick(this.#commitAll)
  }

  /** One commit at a time: what comes during one goes into the next, all together. */
  readonly #commitAll = async (): Promise<void> => {
    while (this.#hasWork) await this.#commit()
    this.#isCommitting = false
    this.#startTimer()
  }

  /**
   * What is only cleared is not flushed: should it be lost, regions are looked at without need. Nor can it
   * come after a mark: that is written when this has ended.
   */
  async #commit(): Promise<void> {
    this.#clearIdle()
    const waiters = this.#waiters
    this.#waiters = []
    for (const { first, end } of waiters) this.#mark(first, end)
    const blocks = [...this.#changed]
    this.#changed.clear()
    const given = blocks.map((block) => bitsOf(this.#dirty, block).slice())
    let error: VolumeError | null = null
    try {
      if (blocks.length > 0) await this.#copies.write(this.#dirty, blocks, waiters.length > 0)
      for (const [index, block] of blocks.entries()) bitsOf(this.#durable, block).set(given[index]!)
    } catch (cause) {
      error = cause as VolumeError
    }
    for (const waiter of waiters) this.#tell(waiter, error)
  }

  #mark(first: number, end: number): void {
    let fresh = -1
    for (let region = first; region < end; region++) {
      if (fresh < 0 && !this.#dirty.has(region)) fresh = region
      this.#setDirty(region)
    }
    if (fresh < 0) return
    const aheadEnd = Math.min(end + this.#ahead.count(fresh, end), this.regionCount)
    for (let region = end; region < aheadEnd; region++) {
      this.#setDirty(region)
      this.#lastWritten[region] = this.#sweep
    }
  }

  #tell(waiter: Waiter, error: VolumeError | null): void {
    const { first, end, completion } = waiter
    waiter.completion = NOBODY
    this.#freeWaiters.push(waiter)
    if (error !== null) {
      for (let region = first; region < end; region++) this.#underWay[region]!--
    }
    completion.ioCompleted(error)
  }

  #startTimer(): void {
    if (this.#isClosed || this.#timer !== null || this.#dirty.next(0) < 0) return
    this.#timer = this.#clock.after(this.#options.idleMs ?? IDLE_MS, () => {
      this.#sweeping = this.#nextSweep()
    })
  }

  async #nextSweep(): Promise<void> {
    this.#sweep++
    if (this.#copies.areIncomplete) this.#changed.add(0)
    await this.#flushIdle()
    this.#timer = null
    this.#startCommits()
    // Otherwise it is started afterwards, if something is still marked.
    if (!this.#isCommitting) this.#startTimer()
  }

  /** Flushes if something may be cleared afterwards. If that fails, there is a next time. */
  async #flushIdle(): Promise<void> {
    const sweep = this.#sweep - 2
    if (!this.#mayClear || this.#nextIdle(0, sweep) < 0) return
    await settled(this.#options.flush).then(
      () => {
        this.#flushedSweep = sweep
      },
      () => {},
    )
  }

  /** Only now that it is flushed, and as far as nothing has happened to it since. */
  #clearIdle(): void {
    const sweep = this.#flushedSweep
    this.#flushedSweep = -1
    if (sweep < 0 || !this.#mayClear) return
    for (
      let region = this.#nextIdle(0, sweep);
      region >= 0;
      region = this.#nextIdle(region + 1, sweep)
    ) {
      this.#dirty.delete(region)
      this.#durable.delete(region)
      this.#changed.add(Math.floor(region / REGIONS_PER_BLOCK))
    }
  }

  /**
   * While a member is absent, the marks say what it lacks. One that is being rebuilt has what is not stale;
   * that its other regions stay marked is how a rebuild goes on after a restart.
   */
  get #mayClear(): boolean {
    if (this.#areMarksHeld) return false
    return this.#options.members.every(({ state }) => state !== 'absent')
  }

  /** The first marked region from `from` on that is not stale, and was not written after that sweep. */
  #nextIdle(from: number, sweep: number): number {
    let region = this.#dirty.next(from)
    while (region >= 0) {
      const isWritten = this.#underWay[region] !== 0 || this.#lastWritten[region]! > sweep
      if (!isWritten && !this.#stale.has(region)) return region
      region = this.#dirty.next(region + 1)
    }
    return -1
  }
}

const NOBODY: IoCompletion = { ioCompleted: () => {} }

/** The bits of a block of the copies. */
function bitsOf(regions: RegionSet, block: number): Uint8Array {
  return regions.bytes.subarray(block * BLOCK_BITS_BYTES, (block + 1) * BLOCK_BITS_BYTES)
}
