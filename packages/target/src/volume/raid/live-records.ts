/** Which records of a stripe journal still count, and where in the ring they are. In memory only. */

/** A record that a crash would have written in place again. */
export interface LiveRecord {
  readonly sequence: number
  /** Where it is in the ring, and how long, in bytes. */
  readonly position: number
  readonly sizeBytes: number
  /** Which bytes of the members it is about. */
  readonly offset: number
  readonly length: number
  /** When all of it had been written in place, or it had failed; null until then. */
  endedAt: number | null
}

/** What `covers` goes by: the unit in which ranges are locked, so that it is hardly ever true without need. */
const CELL_BYTES = 4096

/**
 * The live records are those from the durable anchor on, in the order of their sequence numbers. Time is
 * a count that goes on with each `mark`.
 */
export class LiveRecords {
  readonly ringSizeBytes: number
  #records: LiveRecord[] = []
  /** How many live records touch each cell of the members. */
  readonly #cells = new Map<number, number>()
  #headPosition = 0
  #nextSequence = 1
  #usedBytes = 0
  #now = 0
  #flushedUntil = -1

  constructor(ringSizeBytes: number) {
    this.ringSizeBytes = ringSizeBytes
  }

  /** Bytes of the ring that are taken. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** The sequence number of the next record. */
  get nextSequence(): number {
    return this.#nextSequence
  }

  get oldest(): LiveRecord | undefined {
    return this.#records[0]
  }

  get haveAllEnded(): boolean {
    return this.#records.every((record) => record.endedAt !== null)
  }

  /** Begins with an empty ring. */
  restart(nextSequence: number): void {
    this.#records = []
    this.#cells.clear()
    this.#headPosition = 0
    this.#nextSequence = nextSequence
    this.#usedBytes = 0
  }

  /** Where in the ring a record of this size may be; -1 if there is no room for it now. */
  placeFor(sizeBytes: number): number {
    const head = this.#headPosition
    const tail = this.oldest?.position
    if (tail !== undefined && head <= tail) return head + sizeBytes <= tail ? head : -1
    if (head + sizeBytes <= this.ringSizeBytes) return head
    return sizeBytes <= (tail ?? this.ringSizeBytes) ? 0 : -1
  }

  /** Takes that place, for a record about these bytes of the members. */
  add(sizeBytes: number, offset: number, length: number): LiveRecord {
    const position = this.placeFor(sizeBytes)
    const sequence = this.#nextSequence++
    const record = { sequence, position, sizeBytes, offset, length, endedAt: null }
    this.#headPosition = position + sizeBytes
    this.#usedBytes += sizeBytes
    this.#records.push(record)
    this.#count(record, 1)
    return record
  }

  /** All of the record has been written in place, or it has failed. */
  end(record: LiveRecord): void {
    record.endedAt = this.#now
  }

  /** For a flush that begins now: what had ended before it. */
  mark(): number {
    return this.#now++
  }

  /** The flush of all members that began at `mark` has ended. */
  flushed(mark: number): void {
    this.#flushedUntil = Math.max(this.#flushedUntil, mark)
  }

  /** How many of the oldest are in place durably, and need not be kept. */
  countFlushed(): number {
    const isToKeep = ({ endedAt }: LiveRecord) => endedAt === null || endedAt > this.#flushedUntil
    const index = this.#records.findIndex(isToKeep)
    return index < 0 ? this.#records.length : index
  }

  /** Which record is the oldest once `count` are dropped: that, or the next there will be. */
  oldestAfter(count: number): { readonly sequence: number; readonly position: number } {
    const position = this.#headPosition
    return this.#records[count] ?? { sequence: this.#nextSequence, position }
  }

  /** Drops the oldest `count`. */
  drop(count: number): void {
    for (const record of this.#records.splice(0, count)) {
      this.#count(record, -1)
      this.#usedBytes -= record.sizeBytes
    }
  }

  /** Whether a live record may be about some of these bytes: never false where one is. */
  covers(offset: number, length: number): boolean {
    if (this.#records.length === 0) return false
    for (let cell = cellOf(offset); cell <= cellOf(offset + length - 1); cell++) {
      if (this.#cells.has(cell)) return true
    }
    return false
  }

  /** Whether a live record is about some of these bytes. */
  overlaps(offset: number, length: number): boolean {
    return this.#records.some(
      (record) => offset < record.offset + record.length && record.offset < offset + length,
    )
  }

  #count({ offset, length }: LiveRecord, change: 1 | -1): void {
    for (let cell = cellOf(offset); cell <= cellOf(offset + length - 1); cell++) {
      const count = (this.#cells.get(cell) ?? 0) + change
      if (count === 0) this.#cells.delete(cell)
      else this.#cells.set(cell, count)
    }
  }
}

function cellOf(offset: number): number {
  return Math.floor(offset / CELL_BYTES)
}
