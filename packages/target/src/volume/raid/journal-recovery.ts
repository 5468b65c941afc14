/** Finding what a stripe journal holds when its array is assembled. */
import { settled } from '../settled.ts'
import { VolumeError } from '../volume.ts'
import {
  anchorOffsetOf,
  decodeAnchor,
  decodeRecord,
  JOURNAL_BLOCK_BYTES,
  type JournalAnchor,
  type JournalExtent,
  RING_START,
  recordSizeIn,
} from './journal-format.ts'
import type { Member } from './member.ts'

export interface JournalReaderOptions {
  /** The members, with their areas of the journal as volumes. */
  readonly areas: readonly Member[]
  readonly arrayId: string
  /** On how many members each record was written, if so many were there. */
  readonly copyCount: number
}

/**
 * Reads the areas of all members that are there, and takes what is whole on any of them. What cannot be
 * read of one is looked for on the others; only where all copies may be on members that are absent or
 * unreadable does it give up.
 */
export class JournalReader {
  readonly #areas: readonly Member[]
  readonly #arrayId: string
  readonly #copyCount: number
  /** Of the search at hand: why members could not be read. */
  #errors: VolumeError[] = []

  constructor({ areas, arrayId, copyCount }: JournalReaderOptions) {
    this.#areas = areas
    this.#arrayId = arrayId
    this.#copyCount = copyCount
  }

  /**
   * The anchor that counts; null if there has never been one. Rejects with VolumeError if the members that
   * could have it cannot be read, and with Error if it is of a later version.
   */
  async findAnchor(): Promise<JournalAnchor | null> {
    this.#errors = []
    let newest: JournalAnchor | null = null
    for (const area of this.#areas) {
      for (const slot of [0, 1]) {
        const block = await this.#read(area, anchorOffsetOf(slot), JOURNAL_BLOCK_BYTES)
        const anchor = block === null ? null : decodeAnchor(block)
        if (anchor === null || anchor.arrayId !== this.#arrayId) continue
        if (newest === null || anchor.generation > newest.generation) newest = anchor
      }
    }
    if (newest === null) this.#assertReadable()
    return newest
  }

  /**
   * Calls `replay` with the extents of each record in turn, from the oldest that counts to the last that is
   * whole with all before it. Resolves with the sequence number after that.
   */
  async replayFrom(
    anchor: JournalAnchor,
    replay: (extents: readonly JournalExtent[]) => Promise<void>,
  ): Promise<number> {
    let position = anchor.oldestPosition
    for (let sequence = anchor.oldestSequence; ; sequence++) {
      this.#errors = []
      let record = await this.#findRecord(anchor, sequence, position)
      if (record === null && position > 0) {
        position = 0
        record = await this.#findRecord(anchor, sequence, position)
      }
      if (record === null) {
        this.#assertReadable()
        return sequence
      }
      await replay(record.extents)
      position += record.sizeBytes
    }
  }

  async #findRecord(
    { arrayId, epoch, ringSizeBytes }: JournalAnchor,
    sequence: number,
    position: number,
  ): Promise<{ readonly extents: JournalExtent[]; readonly sizeBytes: number } | null> {
    if (position + JOURNAL_BLOCK_BYTES > ringSizeBytes) return null
    for (const area of this.#areas) {
      const header = await this.#read(area, RING_START + position, JOURNAL_BLOCK_BYTES)
      const sizeBytes = header === null ? 0 : recordSizeIn(header, { arrayId, epoch, sequence })
      if (sizeBytes === 0 || position + sizeBytes > ringSizeBytes) continue
      const record = await this.#read(area, RING_START + position, sizeBytes)
      const extents = record === null ? null : decodeRecord(record)
      if (extents !== null) return { extents, sizeBytes }
    }
    return null
  }

  /** Null if it cannot be read, or the member is absent. */
  async #read({ volume }: Member, offset: number, length: number): Promise<Buffer | null> {
    if (volume === null || offset + length > volume.sizeBytes) return null
    const bytes = Buffer.alloc(length)
    try {
      await settled((completion) => volume.read(offset, bytes, 0, length, completion))
      return bytes
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error
      this.#errors.push(error)
      return null
    }
  }

  /** What was not found may be there all the same, where too little could be read. */
  #assertReadable(): void {
    const [error] = this.#errors
    if (error === undefined) return
    const unreadable = new Set(this.#errors.map(({ volume }) => volume)).size
    const absent = this.#areas.filter(({ volume }) => volume === null).length
    if (unreadable + absent >= this.#copyCount) throw error
  }
}
