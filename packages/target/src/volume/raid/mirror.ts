/** What the operations of one mirror share, and the few things that they do alike. */
import type { FanInPool } from '../fan-in.ts'
import type { IoCompletion, Volume, VolumeError } from '../volume.ts'
import { CHECKED_BLOCK_BYTES } from './checksum-page.ts'
import type { Member, MemberFailures } from './member.ts'
import type { RangeLocks } from './range-locks.ts'
import type { WriteIntents } from './write-intents.ts'

export interface Mirror {
  readonly name: string
  readonly blockSizeBytes: number
  readonly members: readonly Member[]
  readonly failures: MemberFailures
  readonly intents: WriteIntents
  /** Held by all that change copies, or compare them. */
  readonly locks: RangeLocks
  /** What is in flight for somebody. */
  readonly operations: FanInPool
  /** See MirroredVolumeOptions. */
  readonly isDoubtful: (offset: number, length: number) => boolean
  /** Whether members know by checksums what was last written. */
  readonly hasChecks: boolean
}

export interface MirrorRange {
  readonly offset: number
  readonly length: number
}

/** What of a copy is right or wrong as one: with checksums, all the blocks that a range has a part of. */
export function wholeBlocks({ hasChecks }: Mirror, offset: number, length: number): MirrorRange {
  if (!hasChecks) return { offset, length }
  const start = offset - (offset % CHECKED_BLOCK_BYTES)
  const end = Math.ceil((offset + length) / CHECKED_BLOCK_BYTES) * CHECKED_BLOCK_BYTES
  return { offset: start, length: end - start }
}

export function hasInSync(members: readonly Member[]): boolean {
  for (const member of members) if (member.state === 'in-sync') return true
  return false
}

/** Whether another disk has come since an operation began: then the one it began on is out, durably. */
export function isReplaced(member: Member, volume: Volume): boolean {
  return member.volume !== null && member.volume !== volume
}

/**
 * Takes the member out because of an error of its `volume`. Resolves with the error if the array cannot do
 * without it.
 */
export async function failMember(
  { failures, intents }: Mirror,
  member: Member,
  volume: Volume,
  cause: VolumeError,
): Promise<VolumeError | null> {
  if (isReplaced(member, volume)) return null
  const refusal = await outcome((done) => failures.fail(member.number, cause, done))
  if (refusal !== null) intents.holdMarks()
  return refusal
}

/** Starts one operation; resolves with its error when it is over. */
export function outcome(start: (completion: IoCompletion) => void): Promise<VolumeError | null> {
  return new Promise((resolve) => start({ ioCompleted: resolve }))
}
