/** Arrays as the admin API tells of them. */
import type { ArrayInfo } from './admin/model.ts'
import type { UnavailableArray } from './array-set.ts'
import type { FinishedScrub, UpkeepJob } from './volume/array-upkeep.ts'
import type { DiskArray } from './volume/disk-array.ts'

export function describeAvailable(array: DiskArray): ArrayInfo {
  const { sizeBytes, freeBytes, upkeep } = array
  const lack = lackOf(array)
  return {
    ...describeArray(array),
    state: lack === null ? 'available' : 'degraded',
    reason: lack,
    sizeBytes,
    freeBytes,
    job: describeJob(upkeep.job),
    lastScrub: describeScrub(array, upkeep.lastScrub),
  }
}

export function describeUnavailable(array: UnavailableArray): ArrayInfo {
  return {
    ...describeArray(array),
    state: 'unavailable',
    reason: array.reason,
    sizeBytes: null,
    freeBytes: null,
    job: null,
    lastScrub: null,
  }
}

/** What an array lacks, as a sentence for a person; null if nothing. */
export function describeLack(array: DiskArray): string | null {
  const lack = lackOf(array)
  return lack && `array ${array.name} is degraded: ${lack}`
}

function lackOf({ members }: DiskArray): string | null {
  const count = (wanted: string) => members.filter(({ state }) => state === wanted).length
  const absent = count('absent')
  const rebuilding = count('rebuilding')
  const lacks = [
    ...(absent > 0 ? [`${absent} of ${members.length} disks absent`] : []),
    ...(rebuilding > 0 ? [`${rebuilding} being rebuilt`] : []),
  ]
  return lacks.length === 0 ? null : lacks.join(', ')
}

function describeArray(array: DiskArray | UnavailableArray) {
  const { name, id, level, chunkSizeBytes, disks, partitions } = array
  return {
    name,
    id,
    level,
    chunkSizeBytes,
    checksums: array.hasChecksums,
    disks: disks.map((disk) => disk.name),
    members: array.members.map(({ disk, state }, number) => ({
      number,
      disk: disk?.name ?? null,
      state,
    })),
    partitionCount: partitions.length,
  }
}

function describeJob(job: UpkeepJob | null): ArrayInfo['job'] {
  if (job === null) return null
  const { kind, doneBytes, totalBytes, rateBytesPerSecond } = job
  return { kind, doneBytes, totalBytes, bytesPerSecond: Math.round(rateBytesPerSecond) }
}

function describeScrub(
  { members }: DiskArray,
  scrub: FinishedScrub | null,
): ArrayInfo['lastScrub'] {
  if (scrub === null) return null
  const { endedAt, differingBytes, repairedCount, repaired, error } = scrub
  return {
    endedAt: endedAt.toISOString(),
    differingBytes,
    repairedCount,
    repaired: repaired.map(({ memberNumber, offset, length }) => ({
      disk: members[memberNumber]?.disk?.name ?? `member ${memberNumber}`,
      offset,
      length,
    })),
    error,
  }
}
