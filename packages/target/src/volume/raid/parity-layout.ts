/**
 * RAID 5 and 6 addresses: pure arithmetic from a byte of the array to a member and a byte of it. The layout
 * is left-symmetric, which is the default of Linux md.
 *
 * Row `r` is chunk `r` of each member. A member's part in a row is said by the chunk's index in it, as in
 * ParityRow: data chunk `k` has index `k`, then comes P, then Q. P goes from the last member to the first
 * as rows go on; Q is on the member after that of P, and the data chunks follow from there on.
 */

/** How an array is spread: each row has a chunk of every member, `parityCount` of them parity. */
export interface ParityGeometry {
  /** At least one more than `parityCount`. */
  readonly memberCount: number
  /** 1 for RAID 5, 2 for RAID 6. */
  readonly parityCount: 1 | 2
  /** A power of two, and a multiple of every member's block size. */
  readonly chunkSizeBytes: number
}

/** How many chunks of a row are data, which is the index of P. */
export function dataCountOf({ memberCount, parityCount }: ParityGeometry): number {
  return memberCount - parityCount
}

/** Which member has P of a row. */
export function pMemberOf({ memberCount }: ParityGeometry, row: number): number {
  return memberCount - 1 - (row % memberCount)
}

/** Which member has Q of a row; of two parities only. */
export function qMemberOf(geometry: ParityGeometry, row: number): number {
  return memberOf(geometry, row, dataCountOf(geometry) + 1)
}

/** Which member has chunk `index` of a row: data, P or Q. */
export function memberOf(geometry: ParityGeometry, row: number, index: number): number {
  const { memberCount, parityCount } = geometry
  // The data follow the parities, and after the data, all the way round, comes P again.
  return (pMemberOf(geometry, row) + parityCount + index) % memberCount
}

/** Which chunk of a row a member has: data below `dataCountOf`, then P, then Q. */
export function indexOf(geometry: ParityGeometry, row: number, member: number): number {
  const { memberCount, parityCount } = geometry
  return (member - pMemberOf(geometry, row) - parityCount + 2 * memberCount) % memberCount
}

/** Where in the array byte `within` of data chunk `index` of a row lies. */
export function arrayOffsetOf(
  geometry: ParityGeometry,
  row: number,
  index: number,
  within: number,
): number {
  return (row * dataCountOf(geometry) + index) * geometry.chunkSizeBytes + within
}

/**
 * Walks a range of the array piece by piece, as StripeCursor does. One long-lived record, set anew for each
 * range, so that nothing is made per operation:
 *
 *     for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) …
 *
 * Each piece is `length` bytes of data chunk `index` of row `row`, beginning `within` bytes into the chunk,
 * and `position` bytes into the range. They are on member `member` at `memberOffset`.
 */
export class ParityCursor {
  readonly geometry: ParityGeometry
  readonly #dataCount: number
  row = 0
  index = 0
  within = 0
  member = 0
  memberOffset = 0
  length = 0
  position = 0
  #remaining = 0

  constructor(geometry: ParityGeometry) {
    this.geometry = geometry
    this.#dataCount = dataCountOf(geometry)
  }

  /** Goes to the first piece of the range; a range without bytes has none. */
  seek(offset: number, length: number): void {
    const { chunkSizeBytes } = this.geometry
    this.within = offset & (chunkSizeBytes - 1)
    // Exact, since the chunk size is a power of two.
    const chunk = (offset - this.within) / chunkSizeBytes
    this.row = Math.floor(chunk / this.#dataCount)
    this.index = chunk - this.row * this.#dataCount
    this.length = Math.min(length, chunkSizeBytes - this.within)
    this.position = 0
    this.#remaining = length - this.length
    this.#locate()
  }

  /** Goes to the next piece; `length` is 0 when there is none. */
  next(): void {
    this.within = 0
    this.index++
    if (this.index === this.#dataCount) {
      this.index = 0
      this.row++
    }
    this.position += this.length
    this.length = Math.min(this.#remaining, this.geometry.chunkSizeBytes)
    this.#remaining -= this.length
    this.#locate()
  }

  /** How many pieces a range has. */
  countPieces(offset: number, length: number): number {
    if (length === 0) return 0
    const { chunkSizeBytes } = this.geometry
    const within = offset & (chunkSizeBytes - 1)
    return Math.ceil((within + length) / chunkSizeBytes)
  }

  #locate(): void {
    this.member = memberOf(this.geometry, this.row, this.index)
    this.memberOffset = this.row * this.geometry.chunkSizeBytes + this.within
  }
}
