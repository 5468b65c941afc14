/** Where a range of bytes lies among blocks. Pure. */

/** First byte of the block that byte `offset` is in. */
export function blockStart(offset: number, blockSizeBytes: number): number {
  return offset - (offset % blockSizeBytes)
}

/** First byte after the blocks that the bytes before `end` are in. */
export function blockEnd(end: number, blockSizeBytes: number): number {
  return blockStart(end + blockSizeBytes - 1, blockSizeBytes)
}

/** First bytes of the blocks that `length` bytes at `offset` cover in part: none, one or two. */
export function partialBlocks(offset: number, length: number, blockSizeBytes: number): number[] {
  const first = blockStart(offset, blockSizeBytes)
  const last = blockStart(offset + length - 1, blockSizeBytes)
  const beginsWithin = offset !== first
  const endsWithin = offset + length !== last + blockSizeBytes
  if (first === last) return beginsWithin || endsWithin ? [first] : []
  return [...(beginsWithin ? [first] : []), ...(endsWithin ? [last] : [])]
}
