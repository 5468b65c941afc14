/**
 * What an array is, as its members' labels say it: level, members, areas of each disk, partitions. Values and
 * the rules they keep; their bytes are label.ts.
 */
import { nameProblem, type PartitionEntry, tableProblem } from './partition-table.ts'
import type { MemberState } from './raid/member.ts'

export const CHUNK_SIZE_MIN_BYTES = 4096
export const CHUNK_SIZE_MAX_BYTES = 16 * 1024 * 1024
export const MEMBERS_MAX = 256

/** What a level takes and gives. */
interface LevelRules {
  readonly membersMin: number
  readonly membersMultipleOf: number
  /** How many members' bytes an array has. */
  dataMembers(memberCount: number): number
  /** How many members may be lost, whichever they are. */
  redundancy(memberCount: number): number
  /** Whether all data can be had with members in these states. */
  isUsable(states: readonly MemberState[]): boolean
}

const isInSync = (state: MemberState) => state === 'in-sync'

function losesAtMost(lost: number): LevelRules['isUsable'] {
  return (states) => states.length - states.filter(isInSync).length <= lost
}

/** The levels. RAID 10 stripes over pairs: members 0 and 1 hold the same, as do 2 and 3, and so on. */
export const levels = {
  raid0: {
    membersMin: 1,
    membersMultipleOf: 1,
    dataMembers: (count) => count,
    redundancy: () => 0,
    isUsable: losesAtMost(0),
  },
  raid1: {
    membersMin: 2,
    membersMultipleOf: 1,
    dataMembers: () => 1,
    redundancy: (count) => count - 1,
    isUsable: (states) => states.some(isInSync),
  },
  raid10: {
    membersMin: 4,
    membersMultipleOf: 2,
    dataMembers: (count) => count / 2,
    redundancy: () => 1,
    isUsable: (states) =>
      states.every((state, number) => isInSync(state) || isInSync(states[number ^ 1]!)),
  },
  raid5: {
    membersMin: 3,
    membersMultipleOf: 1,
    dataMembers: (count) => count - 1,
    redundancy: () => 1,
    isUsable: losesAtMost(1),
  },
  raid6: {
    membersMin: 4,
    membersMultipleOf: 1,
    dataMembers: (count) => count - 2,
    redundancy: () => 2,
    isUsable: losesAtMost(2),
  },
} as const satisfies Record<string, LevelRules>

export type ArrayLevel = keyof typeof levels

/**
 * Where an array is in its life. Only a ready array is one: a crash may leave the beginning of one that was
 * being made, or the rest of one that was destroyed.
 */
export type ArrayState = 'ready' | 'making' | 'destroyed'

/** A member, whatever disk is at hand. */
export interface MemberEntry {
  /** UUID of the disk that is, or was last, this member. */
  readonly diskId: string
  readonly state: MemberState
  /** The generation of the description that gave it this disk and state. */
  readonly since: number
}

/** A range of every member disk, in bytes; one of length 0 is not there. */
export interface DiskArea {
  readonly offset: number
  readonly length: number
}

/** What lies on every member disk, beside the label area. */
export interface DiskAreas {
  /** The bitmap of regions in which members may differ (raid/intent-bitmap.ts). */
  readonly intents: DiskArea
  /** Checksums of the data (raid/integrity-volume.ts). */
  readonly checksums: DiskArea
  /** Updates of rows under way (raid/stripe-journal.ts). */
  readonly journal: DiskArea
  /** The member's part of the array: whole chunks. */
  readonly data: DiskArea
}

/** What every member of an array holds alike: all of a label but the member's own number. */
export interface ArrayDescription {
  /** UUID of the array. */
  readonly arrayId: string
  readonly arrayName: string
  readonly level: ArrayLevel
  readonly members: readonly MemberEntry[]
  readonly chunkSizeBytes: number
  readonly areas: DiskAreas
  /** What one bit of the bitmap stands for, of each member's data. */
  readonly regionSizeBytes: number
  /** Counts the changes of the array's description; the newest is the one with the highest. */
  readonly generation: number
  readonly state: ArrayState
  readonly partitions: readonly PartitionEntry[]
}

/** Rows of an array, and bytes of data in each. */
export function rowSpace({ areas, chunkSizeBytes, level, members }: ArrayDescription): {
  readonly rowCount: number
  readonly rowSizeBytes: number
} {
  return {
    rowCount: areas.data.length / chunkSizeBytes,
    rowSizeBytes: chunkSizeBytes * levels[level].dataMembers(members.length),
  }
}

/** Whether all data can be had with members in these states. */
export function isUsable(level: ArrayLevel, states: readonly MemberState[]): boolean {
  return levels[level].isUsable(states)
}

/** What is wrong with a chunk size; null if nothing. */
export function chunkSizeProblem(bytes: number): string | null {
  const powerOfTwo = Number.isInteger(bytes) && (bytes & (bytes - 1)) === 0
  if (powerOfTwo && bytes >= CHUNK_SIZE_MIN_BYTES && bytes <= CHUNK_SIZE_MAX_BYTES) return null
  return `chunk size ${bytes} is not a power of two from ${CHUNK_SIZE_MIN_BYTES} to ${CHUNK_SIZE_MAX_BYTES}`
}

/** What is wrong with a number of disks for a level; null if nothing. */
export function memberCountProblem(level: ArrayLevel, count: number): string | null {
  const { membersMin, membersMultipleOf } = levels[level]
  const evenly = count % membersMultipleOf === 0
  if (count >= membersMin && count <= MEMBERS_MAX && evenly) return null
  const which = membersMultipleOf === 2 ? 'an even number of disks, ' : ''
  return `${level} has ${which}${membersMin} to ${MEMBERS_MAX} disks, not ${count}`
}

/** What is wrong with a description, as read from a disk; null if nothing. */
export function descriptionProblem(array: ArrayDescription): string | null {
  const { level, members, chunkSizeBytes, areas } = array
  const problem =
    nameProblem(array.arrayName) ??
    chunkSizeProblem(chunkSizeBytes) ??
    memberCountProblem(level, members.length)
  if (problem !== null) return problem
  if (array.generation === 0) return 'generation 0'
  for (const [name, { offset, length }] of Object.entries(areas)) {
    if (offset % CHUNK_SIZE_MIN_BYTES !== 0) return `${name} offset ${offset}`
    if (!Number.isSafeInteger(offset + length)) return `${name} size ${length}`
  }
  const { length } = areas.data
  if (length === 0 || length % chunkSizeBytes !== 0) return `data size ${length}`
  if (!Number.isSafeInteger(length * members.length)) return `data size ${length}`
  if (new Set(members.map(({ diskId }) => diskId)).size < members.length) return 'a disk id twice'
  return tableProblem(array.partitions, rowSpace(array))
}
