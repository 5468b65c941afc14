/** Blank disks, and arrays on them, for tests. */
import { createArray } from '../../src/volume/array.ts'
import type { ArrayLevel } from '../../src/volume/array-description.ts'
import { assembleArrays } from '../../src/volume/assembly.ts'
import type { DiskArray } from '../../src/volume/disk-array.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import type { Volume } from '../../src/volume/volume.ts'

export const MIB = 1024 * 1024
export const CHUNK = 64 * 1024

export function blankDisks(count: number, sizeBytes = 5 * MIB): MemoryVolume[] {
  return Array.from({ length: count }, (_, i) => new MemoryVolume(`disk${i}`, sizeBytes))
}

export function create(
  disks: readonly Volume[],
  name = 'tank',
  level: ArrayLevel = 'raid0',
): Promise<DiskArray> {
  return createArray({ name, level, chunkSizeBytes: CHUNK, disks })
}

export async function assembleOne(disks: readonly Volume[]): Promise<DiskArray> {
  const { arrays, failed, unlabelled } = await assembleArrays(disks)
  if (arrays.length === 1 && failed.length + unlabelled.length === 0) return arrays[0]!
  throw new Error(`not one array: ${JSON.stringify([...failed, ...unlabelled])}`)
}

/** Numbers of disks to try each level with. */
export const memberCounts: Record<ArrayLevel, readonly number[]> = {
  raid0: [1, 2, 3],
  raid1: [2, 3],
  raid10: [4],
  raid5: [3, 4],
  raid6: [4, 5],
}
