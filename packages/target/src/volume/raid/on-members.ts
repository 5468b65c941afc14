/** The same work on several members, with those on which it fails taken out of the array. */
import { settled } from '../settled.ts'
import { type Volume, VolumeError } from '../volume.ts'
import type { Member, MemberFailures } from './member.ts'

/**
 * Does `work` on the volume of each member that is there, on all at once; resolves when it has ended on all.
 * True if it went well on each; false if some have failed, and are absent from now on. Rejects with
 * VolumeError if the array cannot do without one of those.
 */
export async function onMembers(
  members: readonly Member[],
  failures: MemberFailures,
  work: (volume: Volume) => Promise<void>,
): Promise<boolean> {
  const ends = await Promise.allSettled(members.map((member) => onMember(member, failures, work)))
  let wentWell = true
  for (const end of ends) {
    if (end.status === 'rejected') throw end.reason
    wentWell &&= end.value
  }
  return wentWell
}

async function onMember(
  member: Member,
  failures: MemberFailures,
  work: (volume: Volume) => Promise<void>,
): Promise<boolean> {
  const { volume } = member
  if (volume === null) return true
  try {
    await work(volume)
    return true
  } catch (error) {
    if (!(error instanceof VolumeError)) throw error
    if (isOnDisk(member, volume)) {
      await settled((completion) => failures.fail(member.number, error, completion))
    }
    return false
  }
}

/** False if another disk has taken the place of the one that an operation was for. */
export function isOnDisk(member: Member, volume: Volume | null): boolean {
  return member.volume === null || member.volume === volume
}

/** Makes durable what has been written to a volume. */
export function flushed(volume: Volume): Promise<void> {
  return settled((completion) => volume.flush(completion))
}
