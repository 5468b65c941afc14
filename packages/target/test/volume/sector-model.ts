/**
 * What each sector of a partition may hold: what it was given last, or after the power has gone, anything it
 * was given since it was last flushed.
 */

const SECTOR_BYTES = 512

interface Sector {
  /** Fills that it may have; the latest that was written is the last. */
  possible: number[]
  /** Whether it holds the last of them: that write has been acknowledged, or it was read since the cut. */
  isCertain: boolean
  /** Whether it may hold anything, until it is written again. */
  isWild: boolean
}

/** A sector is filled with one number, of 32 bits, and zeros stand for 0. */
export class SectorModel {
  readonly #sectors: Sector[] = []

  get sectorCount(): number {
    return this.#sectors.length
  }

  grow(sectorCount: number): void {
    while (this.#sectors.length < sectorCount) {
      this.#sectors.push({ possible: [0], isCertain: true, isWild: false })
    }
  }

  /** A write begins. It may reach the medium at any time from now on. */
  writing(first: number, count: number, fill: number): void {
    for (const sector of this.#sectors.slice(first, first + count)) {
      sector.possible.push(fill)
      sector.isCertain = false
    }
  }

  /** The write has been acknowledged. */
  written(first: number, count: number): void {
    for (const sector of this.#sectors.slice(first, first + count)) {
      sector.isCertain = true
      sector.isWild = false
    }
  }

  /** For `flushed`: what was acknowledged by now, by sector. */
  mark(): number[] {
    return this.#sectors.map(({ possible, isCertain }) => (isCertain ? possible.length : 0))
  }

  /** All that was acknowledged when `mark` was called is durable. */
  flushed(mark: readonly number[]): void {
    for (const [at, length] of mark.entries()) {
      if (length > 0) this.#sectors[at]!.possible.splice(0, length - 1)
    }
  }

  /** The power has gone. */
  cut(): void {
    for (const sector of this.#sectors) if (sector.possible.length > 1) sector.isCertain = false
  }

  /** What is uncertain may be anything: it can only be had from parity that may not belong to it. */
  loosen(): void {
    for (const sector of this.#sectors) if (!sector.isCertain) sector.isWild = true
  }

  /** These may be anything, if all of them are uncertain. */
  loosenWritten(first: number, count: number): void {
    const sectors = this.#sectors.slice(first, first + count)
    if (sectors.some(({ isCertain }) => isCertain)) return
    for (const sector of sectors) sector.isWild = true
  }

  /** What was read of everything is what there is, durably. */
  decide(bytes: Buffer): void {
    for (const [number, sector] of this.#sectors.entries()) {
      const at = number * SECTOR_BYTES
      const fill = bytes.readUInt32LE(at)
      sector.possible = [fill]
      sector.isCertain = true
      sector.isWild = !bytes.subarray(at, at + SECTOR_BYTES).equals(filled(fill))
    }
  }

  /** What is wrong with bytes that were read from this sector on; null if nothing. */
  check(first: number, bytes: Buffer): string | null {
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const number = first + at / SECTOR_BYTES
      const { possible, isCertain, isWild } = this.#sectors[number]!
      if (isWild) continue
      const sectorBytes = bytes.subarray(at, at + SECTOR_BYTES)
      const fill = sectorBytes.readUInt32LE(0)
      const wanted = isCertain ? possible.slice(-1) : possible
      const isWhole = sectorBytes.equals(filled(fill))
      if (isWhole && wanted.includes(fill)) continue
      const got = isWhole ? String(fill) : `a mixture, beginning with ${fill}`
      return `sector ${number} holds ${got}, wanted ${wanted.join(' or ')}`
    }
    return null
  }
}

export function filled(fill: number): Buffer {
  const bytes = Buffer.alloc(SECTOR_BYTES)
  for (let at = 0; at < SECTOR_BYTES; at += 4) bytes.writeUInt32LE(fill, at)
  return bytes
}
