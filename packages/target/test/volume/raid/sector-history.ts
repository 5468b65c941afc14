/** What each sector of a volume may hold after a crash. */

export const SECTOR_BYTES = 512
const WORDS = SECTOR_BYTES / 4

/**
 * Each write has a number, and fills its sectors with words made of that and of where they are: so a sector that is
 * read says which write it is of, and a sector of anything else gives itself away. Write 0 is zeros.
 */
export class SectorHistory {
  /** Per sector, the writes of which it may be. */
  readonly #possible: Set<number>[]
  /** Per sector, the writes that were in flight together last: no flush tells one from another. */
  readonly #last: Set<number>[]
  readonly #lastGroup: number[]
  #group = 0
  #writes = 1

  /** Of sectors that are all of write 1, durably. */
  constructor(sectorCount: number) {
    const sectors = Array.from({ length: sectorCount }, (_, sector) => sector)
    this.#possible = sectors.map(() => new Set([1]))
    this.#last = sectors.map(() => new Set([1]))
    this.#lastGroup = sectors.map(() => 0)
  }

  /** The bytes of write 1 over everything. */
  initialBytes(): Buffer {
    return bytesOfWrite(1, 0, this.#possible.length)
  }

  /** From now on writes are not in flight together with those before. The number of the group they are in. */
  beginGroup(): number {
    this.#group++
    return this.#group
  }

  /** A write begins; these are its bytes. */
  write(sector: number, count: number): Buffer {
    this.#writes++
    this.#begin(this.#writes, sector, count)
    return bytesOfWrite(this.#writes, sector, count)
  }

  /** Zeros begin to be written. */
  clear(sector: number, count: number): void {
    this.#begin(0, sector, count)
  }

  /** A flush begins; to be called when it has ended well. A group begins, of writes that it need not cover. */
  beginFlush(): () => void {
    const durable = this.#last.map((writes) => [...writes])
    const group = this.beginGroup()
    return () => {
      for (const [sector, writes] of durable.entries()) {
        const isLater = this.#lastGroup[sector]! >= group
        this.#possible[sector] = new Set([...writes, ...(isLater ? this.#last[sector]! : [])])
      }
    }
  }

  /** Why the bytes of a sector cannot be what it holds; null if they can. */
  findFault(sector: number, bytes: Buffer): string | null {
    const found = writeOf(sector, bytes)
    const possible = this.#possible[sector]!
    if (found !== null && possible.has(found)) return null
    const what = found === null ? 'of no write' : `of write ${found}`
    return `sector ${sector} is ${what}, wanted ${[...possible].join(' or ')}`
  }

  #begin(write: number, start: number, count: number): void {
    for (let sector = start; sector < start + count; sector++) {
      this.#possible[sector]!.add(write)
      if (this.#lastGroup[sector] !== this.#group) this.#last[sector] = new Set()
      this.#last[sector]!.add(write)
      this.#lastGroup[sector] = this.#group
    }
  }
}

function bytesOfWrite(write: number, start: number, count: number): Buffer {
  const words = new Uint32Array(count * WORDS)
  for (let at = 0; at < words.length; at++) {
    words[at] = wordOf(write, start + Math.floor(at / WORDS), at % WORDS)
  }
  return Buffer.from(words.buffer)
}

/** Such that sums of sectors are no sectors. */
function wordOf(write: number, sector: number, at: number): number {
  if (at === 0) return write
  const mixed = Math.imul(write * 65599 + sector * 131 + at, 0x9e3779b1)
  return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) >>> 0
}

/** The write of which a sector's bytes are; null if they are of none. */
function writeOf(sector: number, bytes: Buffer): number | null {
  const write = bytes.readUInt32LE(0)
  const expected = write === 0 ? Buffer.alloc(SECTOR_BYTES) : bytesOfWrite(write, sector, 1)
  return bytes.equals(expected) ? write : null
}
