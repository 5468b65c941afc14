/** What is written to some bytes of a row, as the journal is told of it. */
import type { IoCompletion } from '../volume.ts'
import type { LiveRecord } from './live-records.ts'

/** Bytes for one member. A record to be set anew. */
export interface StripeExtent {
  memberNumber: number
  /** Which chunk of the row it is in. */
  index: number
  /** In bytes of the member. */
  offset: number
  from: Buffer
  position: number
  length: number
}

const NOTHING = Buffer.alloc(0)

/**
 * The new bytes of some of the chunks of a row, data and parity. A record of an operation on a row, to be kept
 * and set anew, so that nothing is made per operation. The Buffers stay those of the operation.
 */
export class StripeUpdate {
  /** All extents are in these bytes of their members. */
  offset = 0
  length = 0
  /** The first `extentCount` of them count. */
  readonly extents: StripeExtent[]
  extentCount = 0
  /** Of all extents together. */
  byteCount = 0
  /** The journal's, from `append` until it is applied or kept. */
  completion: IoCompletion | null = null
  record: LiveRecord | null = null

  constructor(extentsMax: number) {
    this.extents = Array.from({ length: extentsMax }, () => ({
      memberNumber: 0,
      index: 0,
      offset: 0,
      from: NOTHING,
      position: 0,
      length: 0,
    }))
  }

  /** Makes it an update without extents, within these bytes of the members. */
  clear(offset: number, length: number): void {
    this.offset = offset
    this.length = length
    this.extentCount = 0
    this.byteCount = 0
  }

  /** `length` bytes of `from[position …]` for chunk `index`, which `memberNumber` has at `offset`. */
  add(
    memberNumber: number,
    index: number,
    offset: number,
    from: Buffer,
    position: number,
    length: number,
  ): void {
    const extent = this.extents[this.extentCount++]!
    extent.memberNumber = memberNumber
    extent.index = index
    extent.offset = offset
    extent.from = from
    extent.position = position
    extent.length = length
    this.byteCount += length
  }
}
