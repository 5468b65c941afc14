/** What the operations on rows of a parity array have in common. */
import type { Member, MemberFailures } from './member.ts'
import type { ParityGeometry } from './parity-layout.ts'
import type { ParityMath } from './parity-math.ts'
import type { RangeLocks } from './range-locks.ts'
import type { StripeJournal } from './stripe-journal.ts'
import type { WriteIntents } from './write-intents.ts'

export interface ParityArray {
  readonly name: string
  readonly geometry: ParityGeometry
  readonly members: readonly Member[]
  readonly failures: MemberFailures
  readonly intents: WriteIntents
  readonly journal: StripeJournal
  /** Of bytes of the members: who changes a byte of a row's chunks has the same byte of all of them. */
  readonly locks: RangeLocks
  readonly math: ParityMath
  /**
   * How much of each chunk of a row is in work at once: a power of two, and all of the chunk unless rows are
   * very large. No operation crosses a multiple of it.
   */
  readonly sliceSizeBytes: number
  /**
   * What is locked, recovered and healed is multiples of it: so that a block of which a disk holds a checksum
   * is written as a whole where its old bytes cannot be read.
   */
  readonly alignmentBytes: number
  /** Whether members know what was last written to their blocks. */
  readonly hasChecks: boolean
  /** See ParityVolumeOptions. */
  readonly isDoubtful: (offset: number, length: number) => boolean
}

/** Bytes of a row's chunks in which an operation works: `[start, end)` of each chunk. */
export interface Columns {
  start: number
  end: number
}

/** Makes columns whole alignment units. */
export function align(columns: Columns, { alignmentBytes }: ParityArray): void {
  columns.start -= columns.start % alignmentBytes
  columns.end += alignmentBytes - 1
  columns.end -= columns.end % alignmentBytes
}
