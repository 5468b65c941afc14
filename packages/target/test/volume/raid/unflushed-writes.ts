/** Writes of blocks and of parts of them, and what a disk may hold of them after the power has gone. */
import type { Volume } from '../../../src/volume/volume.ts'
import { io, readAll, writeAll } from '../io.ts'
import { BLOCK, PAGE_COVERS, SECTOR } from './integrity-setup.ts'

export const SIZE = PAGE_COVERS + 16 * BLOCK

interface Change {
  readonly offset: number
  readonly length: number
  readonly fill: number
  /** Discarded, or else written. */
  readonly isDiscard?: boolean
}

/** Round by round, each flushed: whole blocks and parts, in both pages, over what was there before. */
const rounds: readonly (readonly Change[])[] = [
  [
    { offset: 0, length: 4 * BLOCK, fill: 1 },
    { offset: PAGE_COVERS, length: 8 * BLOCK, fill: 2 },
  ],
  [
    { offset: BLOCK + SECTOR, length: 2 * SECTOR, fill: 3 },
    { offset: PAGE_COVERS - BLOCK, length: 3 * BLOCK, fill: 4 },
    { offset: PAGE_COVERS + 5 * BLOCK, length: BLOCK, fill: 0, isDiscard: true },
  ],
  [
    { offset: 2 * BLOCK, length: BLOCK, fill: 5 },
    { offset: 2 * BLOCK, length: BLOCK, fill: 6 },
    { offset: PAGE_COVERS + 6 * BLOCK + SECTOR, length: 2 * BLOCK, fill: 7 },
  ],
]

/** What is known of the data as they were written. */
export class Journal {
  /** As after the last flush that was reported. */
  readonly flushed = Buffer.alloc(SIZE)
  /** Begun since the last flush that was reported. */
  readonly unflushed: Change[] = []

  isInDoubt(offset: number, length: number): boolean {
    return this.unflushed.some(
      (change) => change.offset < offset + length && offset < change.offset + change.length,
    )
  }

  reportFlush(): void {
    for (const { offset, length, fill } of this.unflushed.splice(0)) {
      this.flushed.fill(fill, offset, offset + length)
    }
  }

  /** Whether a sector may be found so after a crash. */
  allows(offset: number, sector: Buffer): boolean {
    if (sector.equals(this.flushed.subarray(offset, offset + SECTOR))) return true
    return this.unflushed.some((change) => {
      const isIn = change.offset <= offset && offset < change.offset + change.length
      return isIn && sector.every((byte) => byte === change.fill)
    })
  }
}

/** Reads everything; rejects if some of it may not be so. */
export async function checkSectors(volume: Volume, journal: Journal): Promise<Buffer> {
  const bytes = await readAll(volume, 0, SIZE)
  for (let at = 0; at < SIZE; at += SECTOR) {
    if (!journal.allows(at, bytes.subarray(at, at + SECTOR))) throw new Error(`wrong at ${at}`)
  }
  return bytes
}

/** Makes all changes. Rejects as soon as something fails. */
export async function writeRounds(volume: Volume, journal: Journal): Promise<void> {
  for (const changes of rounds) {
    for (const { offset, length, fill, isDiscard } of changes) {
      journal.unflushed.push({ offset, length, fill })
      if (isDiscard) await io((done) => volume.discard(offset, length, done))
      else await writeAll(volume, offset, Buffer.alloc(length, fill))
    }
    await io((done) => volume.flush(done))
    journal.reportFlush()
  }
}
