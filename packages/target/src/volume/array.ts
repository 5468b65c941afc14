/**
 * Making arrays of blank disks. What comes out is a DiskArray; finding those that are there already is
 * assembly.ts.
 */
import { randomUUID } from 'node:crypto'
import {
  type ArrayDescription,
  type ArrayLevel,
  chunkSizeProblem,
  levels,
  memberCountProblem,
} from './array-description.ts'
import { ArrayError } from './array-error.ts'
import { prepareDisk } from './array-storage.ts'
import { DiskArray } from './disk-array.ts'
import type { ArrayHooks } from './disk-array-options.ts'
import { layOut } from './disk-layout.ts'
import { LabelError, labelReason } from './label.ts'
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
  /** Whether checksums of the data are kept and looked at; if not given, on levels with redundancy. */
  readonly checksums?: boolean | undefined
  /** In member order. Blank, or left over from an array that is none (see UnlabelledDisk). */
  readonly disks: readonly Volume[]
  readonly hooks?: ArrayHooks
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
      await prepareDisk(disk, description)
    }
    for (const [memberNumber, disk] of disks.entries()) {
      await writeLabel(disk, { ...ready, memberNumber })
    }
  } catch (error) {
    if (!(error instanceof VolumeError)) throw error
    const message = `array ${array.name} could not be made: ${error.message}`
    throw new ArrayError('storage-failed', message, { cause: error })
  }
  return await DiskArray.open({ description: ready, disks, hooks: array.hooks })
}

function describe(array: NewArray): ArrayDescription {
  const { name, level, chunkSizeBytes, disks } = array
  const problem = requestProblem(array)
  if (problem !== null) throw new ArrayError('invalid-request', problem)
  const smallest = disks.reduce((a, b) => (b.sizeBytes < a.sizeBytes ? b : a))
  const { areas, regionSizeBytes } = layOut({
    level,
    diskSizeBytes: smallest.sizeBytes,
    chunkSizeBytes,
    checksums: array.checksums ?? levels[level].redundancy(disks.length) > 0,
  })
  if (areas.data.length === 0) {
    const least = areas.data.offset + chunkSizeBytes
    const message = `${smallest.name} has ${smallest.sizeBytes} bytes, a member of this array needs at least ${least}`
    throw new ArrayError('invalid-request', message)
  }
  return {
    arrayId: randomUUID(),
    arrayName: name,
    level,
    members: disks.map(() => ({ diskId: randomUUID(), state: 'in-sync', since: 1 })),
    chunkSizeBytes,
    areas,
    regionSizeBytes,
    generation: 1,
    state: 'making',
    partitions: [],
  }
}

function requestProblem({ name, level, chunkSizeBytes, disks }: NewArray): string | null {
  if (!(level in levels)) return `level ${level} is unknown`
  const problem =
    nameProblem(name) ?? chunkSizeProblem(chunkSizeBytes) ?? memberCountProblem(level, disks.length)
  if (problem !== null) return problem
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
