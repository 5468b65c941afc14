/**
 * Atomic writes of an array, whole or not at all whenever the server or the machine ends: what is to be
 * written is first made durable as a record beside the labels, then written in place, then the record is
 * erased. A record that is found whole when the array is assembled is written in place again.
 *
 * One write at a time; the others wait. Each awaits the disks several times, so that the promises that
 * this costs do not count.
 */
import { randomUUID } from 'node:crypto'
import {
  decodePart,
  encodePartHeader,
  type FoundPart,
  findRecord,
  PART_DATA_MAX_BYTES,
  PART_HEADER_BYTES,
  type RecordPart,
} from './atomic-record.ts'
import { FanInPool } from './fan-in.ts'
import { JOURNAL_SEGMENT_BYTES, JOURNAL_SEGMENT_OFFSETS } from './journal-segments.ts'
import { settled } from './settled.ts'
import type { Volume, VolumeError } from './volume.ts'

/** The longest atomic write, where there are enough disks for its record. */
const ATOMIC_WRITE_MAX_BYTES = 1024 * 1024
const ZEROS = Buffer.alloc(JOURNAL_SEGMENT_BYTES)

export interface AtomicJournalOptions {
  readonly arrayId: string
  /** The members, in member order. */
  readonly disks: readonly Volume[]
  /** A partition's bytes, whether or not it is open or `unfinished`; undefined if there is none of that id. */
  readonly partition: (id: string) => Volume | undefined
}

/** `length` bytes of `from[position …]`, to be written at `offset` of a partition. */
export interface AtomicWrite {
  readonly partitionId: string
  readonly offset: number
  readonly from: Buffer
  readonly position: number
  readonly length: number
}

/** A write that has failed, and that its record may yet bring about. */
export interface UnfinishedWrite {
  readonly partitionId: string
  readonly offset: number
  readonly length: number
  readonly error: VolumeError
}

/** Where a part of a record lies, or may lie. */
interface Place {
  readonly disk: Volume
  readonly offset: number
  /** From `offset` on, what is or may be in use. */
  readonly length: number
}

export class AtomicJournal {
  /** The longest write that it takes. */
  readonly maxBytes: number
  /**
   * Until it is null again, its bytes may be neither read, since they may be old in part and new in part,
   * nor written, since the record may be written over them.
   */
  unfinished: UnfinishedWrite | null = null
  readonly #arrayId: string
  readonly #partition: AtomicJournalOptions['partition']
  /** In the order of use: a record is spread over the disks before it takes a second segment of one. */
  readonly #segments: readonly Place[]
  readonly #fanIns = new FanInPool()
  #last: Promise<unknown> = Promise.resolve()

  constructor({ arrayId, disks, partition }: AtomicJournalOptions) {
    this.#arrayId = arrayId
    this.#partition = partition
    const length = JOURNAL_SEGMENT_BYTES
    this.#segments = JOURNAL_SEGMENT_OFFSETS.flatMap((offset) =>
      disks.map((disk) => ({ disk, offset, length })),
    )
    this.maxBytes = Math.min(ATOMIC_WRITE_MAX_BYTES, this.#segments.length * PART_DATA_MAX_BYTES)
  }

  /**
   * Writes at most `maxBytes`, durably, after the writes asked for before. `from` is the journal's until
   * then. Rejects with VolumeError: then nothing is written, or the write is `unfinished`.
   */
  write(write: AtomicWrite): Promise<void> {
    const result = this.#last.then(() => this.#write(write))
    this.#last = result.catch(() => {})
    return result
  }

  /** Whether some of these bytes are those of the unfinished write. */
  isUnfinished(partitionId: string, offset: number, length: number): boolean {
    const { unfinished } = this
    if (unfinished === null || unfinished.partitionId !== partitionId) return false
    return offset < unfinished.offset + unfinished.length && unfinished.offset < offset + length
  }

  /**
   * Writes in place what a whole record holds, and erases what is there. What a crash leaves of that, it
   * makes good the next time. What a disk refuses stays `unfinished`. Rejects with VolumeError if the
   * journal cannot be read, and with Error if its record is of a later version.
   */
  async recover(): Promise<void> {
    const used: Place[] = []
    const parts: FoundPart[] = []
    for (const segment of this.#segments) {
      const { disk, offset, length } = segment
      const bytes = Buffer.alloc(length)
      await settled((completion) => disk.read(offset, bytes, 0, length, completion))
      if (bytes.equals(ZEROS)) continue
      used.push(segment)
      const part = decodePart(bytes)
      if (part !== null && part.arrayId === this.#arrayId) parts.push(part)
    }
    const record = findRecord(parts)
    try {
      if (record !== undefined) await this.#replay(record)
      await this.#discard(used)
      this.unfinished = null
    } catch (error) {
      if (record !== undefined)
        this.unfinished = { ...extentOf(record), error: error as VolumeError }
    }
  }

  async #write({ partitionId, offset, from, position, length }: AtomicWrite): Promise<void> {
    if (length === 0) return
    if (this.unfinished !== null) await this.recover()
    if (this.unfinished !== null) throw this.unfinished.error
    const volume = this.#partition(partitionId)
    if (volume === undefined) throw new Error(`there is no partition ${partitionId}`)
    const parts = this.#cut(partitionId, offset, length)
    const places = this.#segments
      .slice(0, parts.length)
      .map((segment, at) => ({ ...segment, length: PART_HEADER_BYTES + parts[at]!.length }))
    let changing = false
    try {
      await this.#record(parts, places, from, position)
      changing = true
      await settled((completion) => volume.write(offset, from, position, length, completion))
      await settled((completion) => volume.flush(completion))
      await this.#erase(places)
    } catch (error) {
      // By discarding, which works where there is no space left for the record.
      const erased = !changing && (await succeeds(this.#discard(places)))
      if (!erased) {
        this.unfinished = { partitionId, offset, length, error: error as VolumeError }
      }
      throw error
    }
  }

  #cut(partitionId: string, offset: number, length: number): RecordPart[] {
    const partCount = Math.ceil(length / PART_DATA_MAX_BYTES)
    const same = { arrayId: this.#arrayId, partitionId, recordId: randomUUID(), partCount }
    return Array.from({ length: partCount }, (_, partNumber) => {
      const before = partNumber * PART_DATA_MAX_BYTES
      const partLength = Math.min(PART_DATA_MAX_BYTES, length - before)
      return { ...same, partNumber, offset: offset + before, length: partLength }
    })
  }

  /** Makes the record durable. */
  async #record(
    parts: readonly RecordPart[],
    places: readonly Place[],
    from: Buffer,
    position: number,
  ): Promise<void> {
    await settled((completion) => {
      const whole = this.#fanIns.start(2 * parts.length, completion)
      for (const [index, part] of parts.entries()) {
        const { disk, offset } = places[index]!
        const start = position + index * PART_DATA_MAX_BYTES
        const header = encodePartHeader(part, from, start)
        disk.write(offset, header, 0, header.length, whole)
        disk.write(offset + header.length, from, start, part.length, whole)
      }
    })
    await this.#flush(places)
  }

  async #replay(record: readonly FoundPart[]): Promise<void> {
    const volume = this.#partition(record[0]!.partitionId)
    // It has been deleted since.
    if (volume === undefined) return
    for (const { offset, data } of record) {
      await settled((completion) => volume.write(offset, data, 0, data.length, completion))
    }
    await settled((completion) => volume.flush(completion))
  }

  /**
   * All of it, and not the header alone: nobody's data are to stay behind here. Written over, a disk file
   * keeps the room for the next record. No flush: should the record outlive what comes to these bytes
   * next, that was not flushed either, since a flush is one of all members.
   */
  #erase(places: readonly Place[]): Promise<void> {
    return settled((completion) => {
      const whole = this.#fanIns.start(places.length, completion)
      for (const { disk, offset, length } of places) disk.write(offset, ZEROS, 0, length, whole)
    })
  }

  /** Erases durably, and where there is no space left as well. */
  async #discard(places: readonly Place[]): Promise<void> {
    if (places.length === 0) return
    await settled((completion) => {
      const whole = this.#fanIns.start(places.length, completion)
      for (const { disk, offset, length } of places) disk.discard(offset, length, whole)
    })
    await this.#flush(places)
  }

  #flush(places: readonly Place[]): Promise<void> {
    const disks = new Set(places.map(({ disk }) => disk))
    return settled((completion) => {
      const whole = this.#fanIns.start(disks.size, completion)
      for (const disk of disks) disk.flush(whole)
    })
  }
}

/** The extent of the partition that a record is for. */
function extentOf(record: readonly FoundPart[]): Omit<UnfinishedWrite, 'error'> {
  const { partitionId, offset } = record[0]!
  return { partitionId, offset, length: record.reduce((sum, part) => sum + part.length, 0) }
}

function succeeds(work: Promise<void>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  )
}
