/** The part of the Volume contract that a caller can break: which ranges may be named at all. */

/** What `assertRange` needs to know of a Volume. */
export interface Extents {
  readonly name: string
  readonly sizeBytes: number
  /** A power of two. */
  readonly blockSizeBytes: number
}

/**
 * Throws unless `[offset, offset + length)` is whole blocks within the volume: our own mistake, not
 * the storage's, and one that must never reach a disk.
 */
export function assertRange(volume: Extents, offset: number, length: number): void {
  // Also false for NaN. The mask keeps the low bits of any integer below 2^53, and costs no division.
  const within = offset >= 0 && length >= 0 && offset + length <= volume.sizeBytes
  if (within && ((offset | length) & (volume.blockSizeBytes - 1)) === 0) return
  throw new RangeError(
    `range [${offset}, ${offset + length}) is not whole blocks of ${volume.blockSizeBytes} within ` +
      `the ${volume.sizeBytes} bytes of ${volume.name}`,
  )
}
