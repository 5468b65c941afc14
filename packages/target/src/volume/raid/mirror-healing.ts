/** Mends of a mirror what a reader is waiting for: so no more of it is under way than there are readers. */
import { type Volume, VolumeError } from '../volume.ts'
import type { Member } from './member.ts'
import { failMember, type Mirror, outcome, wholeBlocks } from './mirror.ts'
import { blockBytes, mend, mendRange, noFindings } from './mirror-copies.ts'
import { whileLocked } from './range-locks.ts'

/** A read that a member did not give. */
export interface FailedRead {
  readonly memberIndex: number
  /** What it was read from. */
  readonly volume: Volume | null
  readonly offset: number
  readonly into: Buffer
  readonly position: number
  readonly length: number
}

/**
 * Gets what a member could not give from another, and writes it to that member again; takes it out if that
 * cannot be done. Rejects with VolumeError if no copy can be read.
 */
export async function healRead(
  mirror: Mirror,
  read: FailedRead,
  cause: VolumeError,
): Promise<void> {
  // A part of a block that is written alone leaves the rest of it, and so the block, wrong.
  const { offset, length } = wholeBlocks(mirror, read.offset, read.length)
  await whileLocked(mirror.locks, offset, length, async () => {
    if (mirror.hasChecks) await readMended(mirror, read)
    else await readElsewhere(mirror, read, cause)
  })
}

/** Makes sure of bytes that a crash has left in doubt, and is not to leave so for those who read them. */
export function settleDoubt(mirror: Mirror, offset: number, length: number): Promise<void> {
  return mendRange(mirror, wholeBlocks(mirror, offset, length), 'all', noFindings())
}

/** The bytes may be taken straight into the reader's buffer, and be written from there. */
async function readElsewhere(mirror: Mirror, read: FailedRead, cause: VolumeError): Promise<void> {
  const { offset, into, position, length } = read
  const failed = [{ member: mirror.members[read.memberIndex]!, volume: read.volume! }]
  for (const member of mirror.members) {
    const { state, volume } = member
    if (state !== 'in-sync' || volume === null || volume === read.volume) continue
    const error = await outcome((done) => volume.read(offset, into, position, length, done))
    if (error === null) {
      for (const copy of failed) await rewriteFrom(mirror, copy, read)
      return
    }
    failed.push({ member, volume })
  }
  // There may be good blocks in each that make up a whole.
  if (failed.length > 1 && length > blockBytes(mirror)) await readMended(mirror, read)
  else throw new VolumeError('read', mirror.name, offset, cause)
}

async function readMended(mirror: Mirror, read: FailedRead): Promise<void> {
  const { into, position, length } = read
  const range = wholeBlocks(mirror, read.offset, length)
  const bytes = await mend(mirror, { ...range, scope: 'in-sync' }, [], noFindings())
  const start = read.offset - range.offset
  bytes.copy(into, position, start, start + length)
}

async function rewriteFrom(
  mirror: Mirror,
  { member, volume }: { readonly member: Member; readonly volume: Volume },
  { offset, into, position, length }: FailedRead,
): Promise<void> {
  if (member.volume !== volume) return
  const error = await outcome((done) => volume.write(offset, into, position, length, done))
  // The bytes that were asked for are there, even if the array keeps the member.
  if (error !== null) await failMember(mirror, member, volume, error)
}
