/**
 * What keeps an array whole: disks that are taken out, replaced and taken back, members made to agree in the
 * background, and copies compared.
 */
import { randomUUID } from 'node:crypto'
import type { ArrayDescription } from './array-description.ts'
import { ArrayError } from './array-error.ts'
import type { ArrayMembers } from './array-members.ts'
import { type ArrayStorage, clearJournal, prepareDisk } from './array-storage.ts'
import { eraseJournal } from './journal-segments.ts'
import type { Label } from './label.ts'
import { eraseLabels, readLabel } from './label-slots.ts'
import type { JobProgress } from './raid/background-job.ts'
import { type Clock, systemClock } from './raid/clock.ts'
import type { IntentBitmap } from './raid/intent-bitmap.ts'
import { Rebuild } from './raid/rebuild.ts'
import { Scrub, type ScrubRange, type ScrubSummary } from './raid/scrub.ts'
import { Throttle } from './raid/throttle.ts'
import type { Volume } from './volume.ts'

/** Work under way. Bytes are those of each member. */
export interface UpkeepJob extends JobProgress {
  /** rebuild: fills a member. resync: makes members agree after a crash. scrub: compares all copies. */
  readonly kind: 'rebuild' | 'resync' | 'scrub'
}

/** What the last scrub found. */
export interface FinishedScrub extends ScrubSummary {
  readonly endedAt: Date
  /** Why it ended before it had seen everything; null if it has. */
  readonly error: string | null
}

export interface ArrayUpkeepOptions {
  readonly members: ArrayMembers
  readonly storage: ArrayStorage
  /** Disks of this array that it does not use. */
  readonly outside: readonly Volume[]
  /** What is in use of each member's data, in order. */
  readonly ranges: () => readonly ScrubRange[]
  /** How many operations the hosts have begun. */
  readonly hostOperations: () => number
  /** Something has been found, or has come to its end, that a person may want to know. */
  readonly onEvent: (message: string) => void
  readonly clock?: Clock | undefined
}

/** Upkeep of a plain RAID 0, which has nothing to do, refuses everything. All reject with ArrayError. */
export class ArrayUpkeep {
  readonly #options: ArrayUpkeepOptions
  readonly #members: ArrayMembers
  readonly #storage: ArrayStorage
  readonly #rebuild: Rebuild | null
  readonly #scrub: Scrub | null
  readonly #outside: Set<Volume>
  #lastScrub: FinishedScrub | null = null
  #isClosed = false
  #isBringingIn = false
  /** Until the labels say what has come of it. */
  #isRebuilding = false
  #underWay = new Set<Promise<void>>()

  constructor(options: ArrayUpkeepOptions) {
    const { members, storage, outside, ranges, hostOperations } = options
    const { intents: bitmap } = storage
    this.#options = options
    this.#members = members
    this.#storage = storage
    this.#outside = new Set(outside)
    const clock = options.clock ?? systemClock
    const throttle = new Throttle({ hostOperations, clock })
    this.#rebuild =
      bitmap &&
      new Rebuild({
        bitmap,
        resync: (offset, length) => storage.resync(offset, length),
        flush: (completion) => storage.volume.flush(completion),
        throttle,
        clock,
      })
    this.#scrub =
      this.#rebuild &&
      new Scrub({
        scrub: (offset, length) => storage.scrub(offset, length),
        ranges,
        throttle,
        rebuild: this.#rebuild,
        clock,
      })
  }

  /** Disks that bear the array's label, and are not members now. */
  get outside(): readonly Volume[] {
    return [...this.#outside]
  }

  get job(): UpkeepJob | null {
    if (this.#isRebuilding) {
      const isFilling = this.#statesAre('rebuilding')
      return { kind: isFilling ? 'rebuild' : 'resync', ...this.#rebuild!.progress }
    }
    if (this.#isBringingIn) {
      return { kind: 'rebuild', doneBytes: 0, totalBytes: 0, rateBytesPerSecond: 0 }
    }
    return this.#scrub?.state === 'running' ? { kind: 'scrub', ...this.#scrub.progress } : null
  }

  get lastScrub(): FinishedScrub | null {
    return this.#lastScrub
  }

  /** Why members are not made to agree; null if they are, or need not be. */
  get problem(): string | null {
    const error = this.#rebuild?.state === 'failed' ? this.#rebuild.error : null
    return error && `the members could not be made to agree: ${error.message}`
  }

  /** Begins to make members agree, if there is need. */
  start(): void {
    const { intents } = this.#storage
    if (this.#isClosed || this.#rebuild === null || intents === null) return
    if (this.#isRebuilding) return
    if (intents.staleCount > 0 || this.#statesAre('rebuilding')) this.#track(this.#runRebuild())
  }

  /** A disk with the array's label has come. False if another disk has taken its place. */
  offer(disk: Volume, { members, memberNumber, generation }: Label): boolean {
    const now = this.#members.description.members[memberNumber]
    if (now?.diskId !== members[memberNumber]!.diskId) return false
    if (now.state !== 'absent' || generation >= now.since) return false
    this.#outside.add(disk)
    return true
  }

  /** A disk outside is not the array's any more. */
  forget(disk: Volume): void {
    this.#outside.delete(disk)
  }

  /** Whether a disk outside was given up, and does not answer still. */
  isHanging(disk: Volume): boolean {
    return this.#outside.has(disk) && this.#members.isHanging(disk)
  }

  /** Takes a member's disk out. */
  async fail(disk: Volume, reason = 'it was taken out by hand'): Promise<void> {
    const number = this.#members.disks.indexOf(disk)
    if (number < 0) {
      throw new ArrayError('not-found', `${disk.name} is no member of array ${this.#name}`)
    }
    await this.#members.takeOut(number, new Error(reason))
  }

  /** A disk has been taken out. It may be taken back, if its label can be read then. */
  lost(disk: Volume): void {
    this.#outside.add(disk)
  }

  /**
   * Puts a free disk in the place of the first absent member, or in that of `replaced`, which is taken out
   * first if it is there still; and begins to fill it.
   */
  async replace(disk: Volume, replaced?: Volume): Promise<void> {
    const intents = this.#requireIntents()
    this.#refuseSmall(disk)
    const number = await this.#freePlace(replaced)
    const { description } = this.#members
    const inUse = this.#inUse()
    await this.#bringIn(async () => {
      const access = this.#members.accessTo(disk)
      await eraseLabels(access)
      await prepareDisk(access, description)
      await intents.markStale(inUse)
      await this.#members.bringIn(number, disk, randomUUID())
      // For what has been made to agree meanwhile, without the new one.
      await intents.markStale(inUse)
    })
    this.#options.onEvent(`${disk.name} takes the place of member ${number}`)
    this.start()
  }

  /** Takes a disk back that was taken out, and begins to copy what has been written since. */
  async reAdd(disk: Volume): Promise<void> {
    const intents = this.#requireIntents()
    await this.#members.settled(disk)
    const number = await this.#placeOf(disk)
    await this.#bringIn(async () => {
      const access = this.#members.accessTo(disk)
      // What was under way when it was lost is over, and must not be taken up again from this disk.
      await eraseJournal(access)
      await clearJournal(access, this.#members.description)
      await intents.markStale('dirty')
      await this.#members.bringIn(number, disk, this.#members.description.members[number]!.diskId)
      await intents.markStale('dirty')
    })
    this.#outside.delete(disk)
    this.#options.onEvent(`${disk.name} is member ${number} again`)
    this.start()
  }

  /** Begins to compare all copies. */
  startScrub(): void {
    if (this.#scrub === null) this.#requireIntents()
    if (this.#scrub!.state === 'running') {
      throw new ArrayError('in-use', `array ${this.#name} is being scrubbed already`)
    }
    this.#track(this.#runScrub(this.#scrub!))
  }

  async stopScrub(): Promise<void> {
    if (this.#scrub?.state !== 'running') {
      throw new ArrayError('not-found', `array ${this.#name} is not being scrubbed`)
    }
    await this.#scrub.stop()
  }

  /** Resolves when nothing is under way in the background. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
  }

  /** Stops what is under way. What there is left to do is found again when the array is assembled. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#scrub?.stop()
    await this.#rebuild?.stop()
    await this.idle()
  }

  #track(work: Promise<void>): void {
    this.#underWay.add(work)
    void work.finally(() => this.#underWay.delete(work))
  }

  async #runRebuild(): Promise<void> {
    this.#isRebuilding = true
    const rebuild = this.#rebuild!
    const { intents } = this.#storage
    try {
      // A disk may come while the labels are written that say that the one before it is whole.
      do await this.#makeAgree(rebuild)
      while (rebuild.state === 'done' && !this.#isClosed && intents!.staleCount > 0)
    } finally {
      this.#isRebuilding = false
    }
  }

  async #makeAgree(rebuild: Rebuild): Promise<void> {
    const { onEvent } = this.#options
    rebuild.start()
    await rebuild.ended()
    if (rebuild.state === 'failed') onEvent(this.problem!)
    if (rebuild.state !== 'done' || this.#isClosed) return
    const { members } = this.#members.description
    const filled = members.flatMap(({ state }, number) => (state === 'rebuilding' ? [number] : []))
    try {
      await this.#members.rebuilt(filled)
      onEvent('its members agree')
    } catch (error) {
      onEvent((error as Error).message)
    }
  }

  async #runScrub(scrub: Scrub): Promise<void> {
    scrub.start()
    await scrub.ended()
    const { state, error, summary } = scrub
    const reason = state === 'done' ? null : (error?.message ?? 'it was stopped')
    this.#lastScrub = { ...summary, endedAt: new Date(), error: reason }
    const { differingBytes, repairedCount } = summary
    this.#options.onEvent(
      `scrub ended: ${differingBytes} bytes differed, ${repairedCount} ranges were mended${reason === null ? '' : `; ${reason}`}`,
    )
  }

  get #name(): string {
    return this.#members.description.arrayName
  }

  #statesAre(wanted: ArrayDescription['members'][number]['state']): boolean {
    return this.#members.description.members.some(({ state }) => state === wanted)
  }

  #requireIntents(): IntentBitmap {
    const { intents } = this.#storage
    if (intents !== null) return intents
    const message = `array ${this.#name} is raid0 without checksums, which holds everything once and cannot tell whether it is right`
    throw new ArrayError('invalid-request', message)
  }

  #refuseSmall(disk: Volume): void {
    const { data } = this.#members.description.areas
    const needed = data.offset + data.length
    if (disk.sizeBytes >= needed) return
    const message = `${disk.name} has ${disk.sizeBytes} bytes, a member of array ${this.#name} needs ${needed}`
    throw new ArrayError('invalid-request', message)
  }

  async #freePlace(replaced: Volume | undefined): Promise<number> {
    const { members } = this.#members.description
    if (replaced !== undefined) {
      const number = this.#members.disks.indexOf(replaced)
      if (number >= 0) {
        await this.fail(replaced)
        return number
      }
      return this.#placeOf(replaced)
    }
    const number = members.findIndex(({ state }) => state === 'absent')
    if (number >= 0) return number
    const message = `array ${this.#name} lacks no member; say which disk is to be replaced`
    throw new ArrayError('invalid-request', message)
  }

  /** Which member a disk outside was. */
  async #placeOf(disk: Volume): Promise<number> {
    if (!this.#outside.has(disk)) {
      throw new ArrayError('not-found', `${disk.name} is no disk that array ${this.#name} lost`)
    }
    const label = await this.#change(() => readLabel(this.#members.accessTo(disk)))
    if (this.offer(disk, label)) return label.memberNumber
    const message = `${disk.name} is not what array ${this.#name} lost: another disk has its place, or it was used without the others`
    throw new ArrayError('invalid-request', message)
  }

  #inUse(): (offset: number, length: number) => boolean {
    const ranges = this.#options.ranges()
    return (offset, length) =>
      ranges.some((range) => range.offset < offset + length && offset < range.offset + range.length)
  }

  async #bringIn(work: () => Promise<void>): Promise<void> {
    this.#isBringingIn = true
    try {
      await this.#change(work)
    } finally {
      this.#isBringingIn = false
    }
  }

  async #change<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof ArrayError) throw error
      throw new ArrayError('storage-failed', (error as Error).message, { cause: error })
    }
  }
}
