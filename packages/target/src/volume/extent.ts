/** Extent addresses: pure arithmetic from a byte of a partition to a byte of the volume below. */

/** A run of bytes of the volume below. Never empty. */
export interface ByteExtent {
  readonly offset: number
  readonly length: number
}

/**
 * Walks a range of a partition piece by piece, as StripeCursor does of an array: each piece is
 * `length` bytes at `below` of the volume below, `position` bytes into the range.
 */
export class ExtentCursor {
  readonly extents: readonly ByteExtent[]
  below = 0
  length = 0
  position = 0
  #index = 0
  #remaining = 0

  /** At least one extent. */
  constructor(extents: readonly ByteExtent[]) {
    this.extents = extents
  }

  /** Goes to the first piece of the range, which lies within the extents. */
  seek(offset: number, length: number): void {
    let index = 0
    let within = offset
    while (within >= this.extents[index]!.length && index < this.extents.length - 1) {
      within -= this.extents[index]!.length
      index++
    }
    const extent = this.extents[index]!
    this.below = extent.offset + within
    this.length = Math.min(length, extent.length - within)
    this.position = 0
    this.#index = index
    this.#remaining = length - this.length
  }

  /** Goes to the next piece; `length` is 0 when there is none. */
  next(): void {
    this.position += this.length
    if (this.#remaining === 0) {
      this.length = 0
      return
    }
    this.#index++
    const extent = this.extents[this.#index]!
    this.below = extent.offset
    this.length = Math.min(this.#remaining, extent.length)
    this.#remaining -= this.length
  }

  /** Where byte `below` of the volume below lies; undefined if in none of the extents. */
  offsetOf(below: number): number | undefined {
    let before = 0
    for (const { offset, length } of this.extents) {
      if (below >= offset && below < offset + length) return before + below - offset
      before += length
    }
    return undefined
  }

  /** How many pieces a range has. */
  countPieces(offset: number, length: number): number {
    let pieces = 0
    for (this.seek(offset, length); this.length > 0; this.next()) pieces++
    return pieces
  }
}
