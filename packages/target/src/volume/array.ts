/**
 * Making arrays of blank disks, and finding the arrays that disks belong to. An array that comes out
 * of either is a DiskArray.
 */
import { randomUUID } from 'node:crypto'
import { ArrayError } from './array-error.ts'
import { DiskArray } from './disk-array.ts'
import {
  type ArrayDescription,
  type ArrayLevel,
  chunkSizeProblem,
  encodeLabel,
  type Label,
  LabelError,
  type LabelErrorKind,
  levelNumbers,
  MEMBERS_MAX,
} from './label.ts'
import {
  eraseLabels,
  LABEL_AREA_BYTES,
  labelAreaIsBlank,
  readLabel,
  writeLabel,
} from './label-slots.ts'
import { nameProblem } from './partition-table.ts'
import { type Volume, VolumeError } from './volume.ts'

export interface NewArray {
  readonly name: string
  readonly level: ArrayLevel
  /** A power of two from 4 KiB to 16 MiB. */
  readonly chunkSizeBytes: number
  /** In member order. Blank, or left over from an array that is none (see UnlabelledDisk). */
  readonly disks: readonly Volume[]
}

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

/** What a set of disks turned out to be: each disk is in exactly one of these. */
export interface Assembly {
  readonly arrays: readonly DiskArray[]
  readonly failed: readonly FailedArray[]
  readonly unlabelled: readonly UnlabelledDisk[]
}

interface Member {
  readonly disk: Volume
  readonly label: Label
}

/**
 * Makes an array of disks, durably. What lies on the disks beyond the labels stays, unseen: it is
 * cleared when partitions are made of it. Rejects with ArrayError.
 */
export async function createArray(array: NewArray): Promise<DiskArray> {
  const description = describe(array)
  const ready = { ...description, generation: description.generation + 1, state: 'ready' } as const
  const { disks } = array
  try {
    for (const disk of disks) await refuseInUse(disk)
    for (const [memberNumber, disk] of disks.entries()) {
      // A leftover label of a higher generation must not win over the first one written here.
      await eraseLabels(disk)
      await writeLabel(disk, { ...description, memberNumber })
    }
    for (const [memberNumber, disk] of disks.entries()) {
      await writeLabel(disk, { ...ready, memberNumber })
    }
  } catch (error) {
    if (!(error instanceof VolumeError)) throw error
    const message = `array ${array.name} could not be made: ${error.message}`
    throw new ArrayError('storage-failed', message, { cause: error })
  }
  return new DiskArray(ready, disks)
}

function describe({ name, level, chunkSizeBytes, disks }: NewArray): ArrayDescription {
  const problem = nameProblem(name) ?? chunkSizeProblem(chunkSizeBytes) ?? disksProblem(disks)
  if (problem !== null) throw new ArrayError('invalid-request', problem)
  if (!(level in levelNumbers)) throw new ArrayError('invalid-request', `level ${level} is unknown`)
  const smallest = disks.reduce((a, b) => (b.sizeBytes < a.sizeBytes ? b : a))
  const room = smallest.sizeBytes - LABEL_AREA_BYTES
  const dataSizeBytes = room - (room % chunkSizeBytes)
  if (dataSizeBytes <= 0) {
    const least = LABEL_AREA_BYTES + chunkSizeBytes
    const message = `${smallest.name} has ${smallest.sizeBytes} bytes, a member of this array needs at least ${least}`
    throw new ArrayError('invalid-request', message)
  }
  return {
    arrayId: randomUUID(),
    arrayName: name,
    level,
    memberCount: disks.length,
    chunkSizeBytes,
    dataOffset: LABEL_AREA_BYTES,
    dataSizeBytes,
    generation: 1,
    state: 'making',
    partitions: [],
  }
}

function disksProblem(disks: readonly Volume[]): string | null {
  if (disks.length < 1 || disks.length > MEMBERS_MAX) {
    return `an array has 1 to ${MEMBERS_MAX} disks, not ${disks.length}`
  }
  return new Set(disks).size === disks.length ? null : 'a disk is given twice'
}

async function refuseInUse(disk: Volume): Promise<void> {
  try {
    const { arrayName, state } = await readLabel(disk)
    if (state === 'ready') {
      throw new ArrayError('in-use', `${disk.name} belongs to array ${arrayName}`)
    }
  } catch (error) {
    if (!(error instanceof LabelError)) throw error
    if (error.kind === 'leftover') return
    if (error.kind === 'blank' && (await labelAreaIsBlank(disk))) return
    const reason = error.kind === 'blank' ? 'there are data in its first MiB' : labelReason(error)
    const remedy = `to use it all the same, first overwrite ${LABEL_AREA_BYTES} bytes at its beginning with zeros`
    throw new ArrayError('in-use', `${disk.name} is not blank: ${reason}; ${remedy}`)
  }
}

/**
 * Finds the arrays of these disks, given in any order, and brings labels up to date that a crash
 * left behind, and finishes an atomic write that it cut short. An array is usable only if all its members are there, are who they say, and are of
 * one time: the newest description that any of them holds, or the one just before it, which is what
 * a change cut short leaves. The disks stay the caller's. Rejects never: all that is wrong is told.
 */
export async function assembleArrays(disks: readonly Volume[]): Promise<Assembly> {
  const members = new Map<string, Member[]>()
  const unlabelled: UnlabelledDisk[] = []
  for (const disk of disks) {
    try {
      const label = await readLabel(disk)
      members.set(label.arrayId, [...(members.get(label.arrayId) ?? []), { disk, label }])
    } catch (error) {
      unlabelled.push(describeUnlabelled(disk, error))
    }
  }
  const arrays: DiskArray[] = []
  const failed: FailedArray[] = []
  for (const found of members.values()) {
    const { arrayName, state } = newestLabel(found)
    if (state !== 'ready') {
      const reason = `it is left over from array ${arrayName}, ${leftoverReasons[state]}`
      unlabelled.push(...found.map(({ disk }) => ({ disk, kind: 'leftover' as const, reason })))
      continue
    }
    const outcome = await assemble(found)
    if (outcome instanceof DiskArray) arrays.push(outcome)
    else failed.push(outcome)
  }
  return { arrays, failed, unlabelled }
}

const leftoverReasons = {
  making: 'which was never made completely',
  destroyed: 'which has been destroyed',
} as const

function newestLabel(members: readonly Member[]): Label {
  return members.reduce((a, b) => (b.label.generation > a.label.generation ? b : a)).label
}

async function assemble(members: readonly Member[]): Promise<DiskArray | FailedArray> {
  const newest = newestLabel(members)
  const { memberNumber: _, ...description } = newest
  const disks = Array.from(
    { length: newest.memberCount },
    (_, number) => members.find(({ label }) => label.memberNumber === number)?.disk ?? null,
  )
  const reason =
    members.map((member) => memberProblem(member, newest)).find((problem) => problem !== null) ??
    duplicateProblem(members) ??
    missingProblem(disks, newest)
  if (reason !== null) return { description, disks, reason }
  const array = new DiskArray(description, disks as Volume[])
  try {
    for (const { disk, label } of members) {
      if (label.generation === newest.generation) continue
      await writeLabel(disk, { ...newest, memberNumber: label.memberNumber })
    }
    await array.recover()
  } catch (error) {
    return { description, disks, reason: (error as Error).message }
  }
  return array
}

function memberProblem({ disk, label }: Member, newest: Label): string | null {
  const { memberNumber, generation } = label
  if (generation < newest.generation - 1) {
    return `${disk.name} is out of date: its label has generation ${generation}, another member's ${newest.generation}`
  }
  // A label of before the last change agrees in all that no change touches.
  const same =
    generation === newest.generation
      ? newest
      : { ...newest, generation, state: label.state, partitions: label.partitions }
  if (!encodeLabel(label).equals(encodeLabel({ ...same, memberNumber }))) {
    return `${disk.name} and other members describe the array differently`
  }
  const needed = label.dataOffset + label.dataSizeBytes
  if (disk.sizeBytes < needed || label.dataOffset < LABEL_AREA_BYTES) {
    return `${disk.name} has ${disk.sizeBytes} bytes, the array uses ${needed} of it`
  }
  return null
}

function duplicateProblem(members: readonly Member[]): string | null {
  for (const [index, { disk, label }] of members.entries()) {
    const first = members.findIndex((other) => other.label.memberNumber === label.memberNumber)
    if (first === index) continue
    return `${members[first]!.disk.name} and ${disk.name} are both member ${label.memberNumber}`
  }
  return null
}

function missingProblem(disks: readonly (Volume | null)[], newest: Label): string | null {
  const missing = disks.flatMap((disk, number) => (disk === null ? [number] : []))
  if (missing.length === 0) return null
  return `${missing.length} of its ${newest.memberCount} disks missing: member ${missing.join(', ')}`
}

function describeUnlabelled(disk: Volume, error: unknown): UnlabelledDisk {
  if (error instanceof LabelError) return { disk, kind: error.kind, reason: labelReason(error) }
  return { disk, kind: 'unreadable', reason: (error as Error).message }
}

function labelReason(error: LabelError): string {
  const subject = ['corrupt', 'newer-version'].includes(error.kind) ? 'its label' : 'it'
  return `${subject} ${error.message}`
}
