/**
 * Finding the arrays that disks belong to: which description of an array is the newest, which disks are as
 * it says, and whether they are enough. Nothing is guessed: where two disks tell different stories, the array
 * is not used.
 */
import { type ArrayDescription, isUsable } from './array-description.ts'
import { DiskArray } from './disk-array.ts'
import type { ArrayHooks } from './disk-array-options.ts'
import { encodeLabel, type Label, LabelError, type LabelErrorKind, labelReason } from './label.ts'
import { LABEL_AREA_BYTES, readLabel } from './label-slots.ts'
import type { Volume } from './volume.ts'

/** An array that cannot be used as it is, and why. */
export interface FailedArray {
  /** The newest that its disks say of it. */
  readonly description: ArrayDescription
  /** By member number; null where a disk is missing. Of duplicates, the first. */
  readonly disks: readonly (Volume | null)[]
  readonly reason: string
}

/** A disk that is in no array, and why. `createArray` takes those that are blank or leftover. */
export interface UnlabelledDisk {
  readonly disk: Volume
  readonly kind: LabelErrorKind | 'unreadable'
  readonly reason: string
}

/** What a set of disks turned out to be: each is in one of these, or was offered to its array. */
export interface Assembly {
  readonly arrays: readonly DiskArray[]
  readonly failed: readonly FailedArray[]
  readonly unlabelled: readonly UnlabelledDisk[]
}

/** A disk that says it belongs to the array, and as what. */
interface Candidate {
  readonly disk: Volume
  readonly label: Label
}

/**
 * Finds the arrays of these disks, given in any order, brings labels up to date that a crash left behind,
 * and finishes what it cut short. An array is used if its members are there, are who they say, and are of one
 * time (the newest description that any of them holds, or the one just before it, which is what a change cut
 * short leaves), or if it can do without those that are not. The disks stay the caller's. Rejects never: all
 * that is wrong is told. `assembled`: the arrays there are already. A disk of one of them is offered to it.
 */
export async function assembleArrays(
  disks: readonly Volume[],
  hooks: ArrayHooks = {},
  assembled: readonly DiskArray[] = [],
): Promise<Assembly> {
  const found = new Map<string, Candidate[]>()
  const unlabelled: UnlabelledDisk[] = []
  for (const disk of disks) {
    try {
      const label = await readLabel(disk)
      found.set(label.arrayId, [...(found.get(label.arrayId) ?? []), { disk, label }])
    } catch (error) {
      unlabelled.push(describeUnlabelled(disk, error))
    }
  }
  const arrays: DiskArray[] = []
  const failed: FailedArray[] = []
  for (const [arrayId, candidates] of found) {
    const array = assembled.find(({ id }) => id === arrayId)
    if (array !== undefined) {
      const refused = candidates.filter(({ disk, label }) => !array.upkeep.offer(disk, label))
      unlabelled.push(...refused.map(({ disk }) => leftover(disk, REPLACED)))
      continue
    }
    const { arrayName, state } = newestOf(candidates)
    if (state !== 'ready') {
      const reason = `it is left over from array ${arrayName}, ${leftoverReasons[state]}`
      unlabelled.push(...candidates.map(({ disk }) => leftover(disk, reason)))
      continue
    }
    const outcome = await assemble(candidates, hooks)
    if (outcome instanceof DiskArray) arrays.push(outcome)
    else failed.push(outcome)
    unlabelled.push(...strangersAmong(candidates).map(({ disk }) => leftover(disk, REPLACED)))
  }
  return { arrays, failed, unlabelled }
}

const leftoverReasons = {
  making: 'which was never made completely',
  destroyed: 'which has been destroyed',
} as const

const REPLACED = 'its array has another disk in its place'

function leftover(disk: Volume, reason: string): UnlabelledDisk {
  return { disk, kind: 'leftover', reason }
}

function newestOf(candidates: readonly Candidate[]): Label {
  return candidates.reduce((a, b) => (b.label.generation > a.label.generation ? b : a)).label
}

/** The id that the disk had when its label was written. */
function diskIdOf({ label }: Candidate): string {
  return label.members[label.memberNumber]!.diskId
}

function isStranger(candidate: Candidate, newest: Label): boolean {
  return newest.members[candidate.label.memberNumber]?.diskId !== diskIdOf(candidate)
}

/** Disks that have been replaced by others since. */
function strangersAmong(candidates: readonly Candidate[]): Candidate[] {
  const newest = newestOf(candidates)
  return candidates.filter((candidate) => isStranger(candidate, newest))
}

async function assemble(
  all: readonly Candidate[],
  hooks: ArrayHooks,
): Promise<DiskArray | FailedArray> {
  const newest = newestOf(all)
  const { memberNumber: _, ...description } = newest
  const candidates = all.filter((candidate) => !isStranger(candidate, newest))
  const disks = newest.members.map(
    (_, number) => candidates.find(({ label }) => label.memberNumber === number)?.disk ?? null,
  )
  const reason =
    candidates.map((one) => candidateProblem(one, newest)).find((one) => one !== null) ??
    duplicateProblem(candidates)
  if (reason != null) return { description, disks, reason }
  const members = newest.members.map((_, number) => {
    const candidate = candidates.find(({ label }) => label.memberNumber === number)
    return candidate === undefined ? null : { ...candidate, fault: faultOf(candidate, newest) }
  })
  const states = newest.members.map(({ state }, number) =>
    members[number]?.fault === null ? state : 'absent',
  )
  if (!isUsable(newest.level, states)) {
    return { description, disks, reason: lackProblem(newest, members) }
  }
  try {
    return await DiskArray.open({
      description,
      hooks,
      disks: disks.map((disk, number) => (states[number] === 'absent' ? null : disk)),
      outside: disks.filter(
        (disk, number): disk is Volume => disk !== null && states[number] === 'absent',
      ),
      behind: members.flatMap((member, number) =>
        states[number] !== 'absent' && member?.label.generation === newest.generation - 1
          ? [number]
          : [],
      ),
    })
  } catch (error) {
    return { description, disks, reason: (error as Error).message }
  }
}

/** Why the array is not to be used at all with this disk about; null if nothing. */
function candidateProblem({ disk, label }: Candidate, newest: Label): string | null {
  const { memberNumber, generation } = label
  const entry = newest.members[memberNumber]!
  if (entry.state === 'absent' && generation >= entry.since) {
    return `${disk.name} and other members were used without each other, and each may have what the other lacks`
  }
  if (generation < newest.generation - 1) return null
  // A label of before the last change agrees in all that no change touches.
  const same =
    generation === newest.generation
      ? newest
      : {
          ...newest,
          generation,
          state: label.state,
          members: label.members,
          partitions: label.partitions,
        }
  if (encodeLabel(label).equals(encodeLabel({ ...same, memberNumber }))) return null
  return `${disk.name} and other members describe the array differently`
}

/** Why this disk is not to be used as the member that it is; null if it is. */
function faultOf({ disk, label }: Candidate, newest: Label): string | null {
  const { state } = newest.members[label.memberNumber]!
  if (state === 'absent') return `${disk.name} was taken out`
  if (label.generation < newest.generation - 1) {
    return `${disk.name} is out of date: its label has generation ${label.generation}, another member's ${newest.generation}`
  }
  const { data } = newest.areas
  const needed = data.offset + data.length
  if (disk.sizeBytes < needed || data.offset < LABEL_AREA_BYTES) {
    return `${disk.name} has ${disk.sizeBytes} bytes, the array uses ${needed} of it`
  }
  return null
}

function duplicateProblem(candidates: readonly Candidate[]): string | null {
  for (const [index, { disk, label }] of candidates.entries()) {
    const first = candidates.findIndex((other) => other.label.memberNumber === label.memberNumber)
    if (first === index) continue
    return `${candidates[first]!.disk.name} and ${disk.name} are both member ${label.memberNumber}`
  }
  return null
}

function lackProblem(
  newest: Label,
  members: readonly ({ readonly fault: string | null } | null)[],
): string {
  const faults = members.flatMap((member) => (member?.fault == null ? [] : [member.fault]))
  const missing = members.flatMap((member, number) => (member === null ? [number] : []))
  const total = newest.members.length
  if (missing.length > 0) {
    faults.push(`${missing.length} of its ${total} disks missing: member ${missing.join(', ')}`)
  }
  return faults.join('; ')
}

function describeUnlabelled(disk: Volume, error: unknown): UnlabelledDisk {
  if (error instanceof LabelError) return { disk, kind: error.kind, reason: labelReason(error) }
  return { disk, kind: 'unreadable', reason: (error as Error).message }
}
