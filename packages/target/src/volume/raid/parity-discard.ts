/** Giving back what a range of a parity array takes on the members. */
import { settled } from '../settled.ts'
import type { IoCompletion } from '../volume.ts'
import { onMembers } from './on-members.ts'
import type { ParityArray } from './parity-array.ts'
import { dataCountOf } from './parity-layout.ts'
import { acquireLock } from './row-check.ts'

/** Rows are discarded in pieces of at most so many bytes of each member, and at least one row. */
const PIECE_MAX_BYTES = 16 * 1024 * 1024
/** Written where rows cannot be discarded. Never changed. */
const ZEROS = Buffer.alloc(256 * 1024)

type Write = (
  offset: number,
  from: Buffer,
  position: number,
  length: number,
  completion: IoCompletion,
) => void

/**
 * Rows that are whole in the range are discarded on all members, since the parity of zeros is zeros. The rest,
 * and everything while a member is absent or rebuilding, is written over with zeros.
 */
export class ParityDiscard {
  readonly #array: ParityArray
  readonly #write: Write

  /** `write` is the array's. */
  constructor(array: ParityArray, write: Write) {
    this.#array = array
    this.#write = write
  }

  /** Rejects with VolumeError. */
  async discard(offset: number, length: number): Promise<void> {
    const { geometry } = this.#array
    const rowSizeBytes = dataCountOf(geometry) * geometry.chunkSizeBytes
    const end = offset + length
    const firstRow = Math.ceil(offset / rowSizeBytes)
    const rowEnd = Math.floor(end / rowSizeBytes)
    if (firstRow >= rowEnd) return this.#writeZeros(offset, end)
    await this.#writeZeros(offset, firstRow * rowSizeBytes)
    const rowsMax = Math.max(1, Math.floor(PIECE_MAX_BYTES / geometry.chunkSizeBytes))
    for (let row = firstRow; row < rowEnd; row += rowsMax) {
      const until = Math.min(row + rowsMax, rowEnd)
      const isDiscarded = await this.#discardRows(row, until)
      if (!isDiscarded) await this.#writeZeros(row * rowSizeBytes, until * rowSizeBytes)
    }
    await this.#writeZeros(rowEnd * rowSizeBytes, end)
  }

  /** False if they have to be written over. */
  async #discardRows(row: number, until: number): Promise<boolean> {
    const { geometry, locks, intents, journal } = this.#array
    const offset = row * geometry.chunkSizeBytes
    const length = (until - row) * geometry.chunkSizeBytes
    if (!this.#isInSync()) return false
    const lock = await acquireLock(locks, offset, length)
    try {
      await settled((completion) => intents.begin(offset, length, completion))
      try {
        // Like whole rows that are written, they go without the journal, and so no record may be left.
        await journal.retire(offset, length)
        if (!this.#isInSync()) return false
        await this.#discardOnMembers(offset, length)
        return true
      } finally {
        intents.end(offset, length)
      }
    } finally {
      locks.release(lock)
    }
  }

  async #discardOnMembers(offset: number, length: number): Promise<void> {
    const { members, failures } = this.#array
    await onMembers(members, failures, (volume) =>
      settled((completion) => volume.discard(offset, length, completion)),
    )
  }

  #isInSync(): boolean {
    return this.#array.members.every(({ state }) => state === 'in-sync')
  }

  async #writeZeros(offset: number, end: number): Promise<void> {
    for (let at = offset; at < end; at += ZEROS.length) {
      const length = Math.min(ZEROS.length, end - at)
      await settled((completion) => this.#write(at, ZEROS, 0, length, completion))
    }
  }
}
