// Disks for the tests of the reader: their bytes, and arrays made on them by the server's code.

import { createArray } from '../../../src/volume/array.ts'
import type { ArrayLevel } from '../../../src/volume/array-description.ts'
import type { DiskArray } from '../../../src/volume/disk-array.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import type { Volume } from '../../../src/volume/volume.ts'
import { MIB } from '../arrays.ts'
import { io, readAll, writeAll } from '../io.ts'
import { FakeClock } from '../raid/fake-clock.ts'

export const CHUNK_BYTES = 16 * 1024
export const DISK_BYTES = 7 * MIB

/** Levels, each with how many members it has here. */
export const shapes: readonly (readonly [ArrayLevel, number])[] = [
  ['raid0', 3],
  ['raid1', 3],
  ['raid10', 4],
  ['raid5', 4],
  ['raid6', 5],
]

export interface Made {
  readonly array: DiskArray
  readonly disks: readonly MemoryVolume[]
  readonly clock: FakeClock
  /** What partitions hold, by name. */
  readonly contents: Map<string, Buffer>
}

/** An array with partitions `a`, of two extents, and `b`; both full of data. */
export async function makeArray(
  level: ArrayLevel,
  memberCount: number,
  checksums = level !== 'raid0',
  name = 'tank',
): Promise<Made> {
  const clock = new FakeClock()
  const disks = Array.from(
    { length: memberCount },
    (_, n) => new MemoryVolume(`disk${n}`, DISK_BYTES),
  )
  const array = await createArray({
    name,
    level,
    chunkSizeBytes: CHUNK_BYTES,
    checksums,
    disks,
    hooks: { clock },
  })
  await array.createPartition({ name: 'a', sizeBytes: 200 * 1024 })
  await array.createPartition({ name: 'b', sizeBytes: 100 * 1024, blockFormat: '4kn' })
  await array.growPartition('a', 360 * 1024)
  const made = { array, disks, clock, contents: new Map<string, Buffer>() }
  for (const { name, sizeBytes } of array.partitions) {
    await write(made, name, 0, noise(sizeBytes, name.charCodeAt(0)))
  }
  return made
}

/** Writes, and remembers it. */
export async function write(made: Made, name: string, offset: number, bytes: Buffer) {
  const volume = made.array.openPartition(name)
  await writeAll(volume, offset, bytes)
  await volume.close()
  const contents = made.contents.get(name) ?? Buffer.alloc(volume.sizeBytes)
  bytes.copy(contents, offset)
  made.contents.set(name, contents)
}

/** All is flushed, and no region is in doubt any more. */
export async function settleArray({ array, clock }: Made): Promise<void> {
  await flushAll(array)
  await clock.advance(60_000)
}

export async function flushAll(array: DiskArray): Promise<void> {
  for (const { name } of array.partitions) {
    const volume = array.openPartition(name)
    await io((completion) => volume.flush(completion))
    await volume.close()
  }
}

export function imagesOf(disks: readonly Volume[]): Promise<Buffer[]> {
  return Promise.all(disks.map((disk) => readAll(disk, 0, disk.sizeBytes)))
}

/** The same disks again. */
export function disksOf(images: readonly Buffer[]): MemoryVolume[] {
  return images.map((image, n) => {
    const disk = new MemoryVolume(`disk${n}`, image.length)
    disk.writeNow(0, image, 0, image.length)
    return disk
  })
}

/** Bytes that look like nothing, the same ones for the same seed. */
export function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed + 1
  for (let at = 0; at < length; at++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9
    bytes[at] = state >>> 13
  }
  return bytes
}

/** All choices of `count` of the numbers below `limit`. */
export function choices(limit: number, count: number, from = 0): number[][] {
  if (count === 0) return [[]]
  const found: number[][] = []
  for (let first = from; first < limit; first++) {
    for (const rest of choices(limit, count - 1, first + 1)) found.push([first, ...rest])
  }
  return found
}
