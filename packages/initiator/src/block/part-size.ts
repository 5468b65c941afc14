/** Into how long parts an operation is divided, so that they move at the same time. */

/** One command moves at most this, however much the unit takes: more would not be faster. */
export const COMMAND_BYTES_MAX = 1024 * 1024
/** Parts are not made shorter by themselves: a command costs as much as moving some of it does. */
const PART_BYTES_MIN = 64 * 1024

/** What parts depend on; 0 stands for what is not known, or not limited. */
export interface PartLimits {
  readonly connections: number
  /** Bytes of a write that the target takes unasked: a part that is longer waits for an R2T. */
  readonly unsolicitedBytes: number
  readonly blockSizeBytes: number
  /** Of the Block Limits page (SBC-3 section 6.6.4): the longest, the best, and what it is best a multiple of. */
  readonly transferBlocksMax: number
  readonly transferBlocksOptimal: number
  readonly transferBlocksGranularity: number
}

/**
 * The longest part, in bytes, a multiple of the block size. `split` is what was asked for; if undefined, an
 * operation of 1 MiB has a part for each connection, as far as the unit is at its best with them.
 */
export function partBytes(limits: PartLimits, split?: number): number {
  const block = limits.blockSizeBytes
  const max = Math.min(limits.transferBlocksMax * block || COMMAND_BYTES_MAX, COMMAND_BYTES_MAX)
  if (split !== undefined) return Math.min(roundUp(split, block), max)
  if (limits.connections === 1) return max
  const wishes = [
    COMMAND_BYTES_MAX / limits.connections,
    limits.unsolicitedBytes,
    limits.transferBlocksOptimal * block,
  ]
  const part = Math.min(...wishes.map((wish) => Math.max(wish || max, PART_BYTES_MIN)), max)
  const unit = Math.max(limits.transferBlocksGranularity * block, block)
  return part < unit ? roundUp(part, block) : part - (part % unit)
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit
}
