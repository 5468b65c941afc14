/** RAID 0 addresses: pure arithmetic from a byte of the array to a member and a byte of it. */

/** How an array is spread: chunk `n` of the array is chunk `n / members` of member `n % members`. */
export interface StripeGeometry {
  readonly memberCount: number
  /** A power of two, and a multiple of every member's block size. */
  readonly chunkSizeBytes: number
}

/**
 * Walks a range of the array piece by piece. One long-lived record, set anew for each range, so that
 * nothing is made per operation:
 *
 *     for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) …
 *
 * Each piece is `length` bytes on member `member` at `memberOffset`, `position` bytes into the range.
 */
export class StripeCursor {
  readonly memberCount: number
  readonly chunkSizeBytes: number
  member = 0
  memberOffset = 0
  length = 0
  position = 0
  #remaining = 0

  constructor(geometry: StripeGeometry) {
    this.memberCount = geometry.memberCount
    this.chunkSizeBytes = geometry.chunkSizeBytes
  }

  /** Goes to the first piece of the range; a range without bytes has none. */
  seek(offset: number, length: number): void {
    const within = offset & (this.chunkSizeBytes - 1)
    // Exact, since the chunk size is a power of two.
    const chunk = (offset - within) / this.chunkSizeBytes
    const row = Math.floor(chunk / this.memberCount)
    this.member = chunk - row * this.memberCount
    this.memberOffset = row * this.chunkSizeBytes + within
    this.length = Math.min(length, this.chunkSizeBytes - within)
    this.position = 0
    this.#remaining = length - this.length
  }

  /** Goes to the next piece; `length` is 0 when there is none. */
  next(): void {
    const within = this.memberOffset & (this.chunkSizeBytes - 1)
    this.memberOffset -= within
    this.member++
    if (this.member === this.memberCount) {
      this.member = 0
      this.memberOffset += this.chunkSizeBytes
    }
    this.position += this.length
    this.length = Math.min(this.#remaining, this.chunkSizeBytes)
    this.#remaining -= this.length
  }

  /** How many pieces a range has. */
  countPieces(offset: number, length: number): number {
    if (length === 0) return 0
    const within = offset & (this.chunkSizeBytes - 1)
    return Math.ceil((within + length) / this.chunkSizeBytes)
  }
}

/**
 * What one member holds of `[offset, offset + length)` of the array: a single range of the member,
 * since a member's chunks follow each other. For whole-range work such as discarding.
 */
export function memberRange(
  geometry: StripeGeometry,
  member: number,
  offset: number,
  length: number,
): { readonly memberOffset: number; readonly length: number } {
  const start = memberBytesBefore(geometry, member, offset)
  return {
    memberOffset: start,
    length: memberBytesBefore(geometry, member, offset + length) - start,
  }
}

/** Where in the array byte `memberOffset` of a member lies. */
export function arrayOffset(
  { memberCount, chunkSizeBytes }: StripeGeometry,
  member: number,
  memberOffset: number,
): number {
  const row = Math.floor(memberOffset / chunkSizeBytes)
  return (row * (memberCount - 1) + member) * chunkSizeBytes + memberOffset
}

function memberBytesBefore(geometry: StripeGeometry, member: number, offset: number): number {
  const { memberCount, chunkSizeBytes } = geometry
  const rowSizeBytes = chunkSizeBytes * memberCount
  const row = Math.floor(offset / rowSizeBytes)
  const intoChunk = offset - row * rowSizeBytes - member * chunkSizeBytes
  return row * chunkSizeBytes + Math.min(Math.max(intoChunk, 0), chunkSizeBytes)
}
