/** What a DiskArray is opened with, and what it has of the world around it. */
import type { ArrayDescription } from './array-description.ts'
import type { BlockFormat } from './block-format.ts'
import type { DiskArray } from './disk-array.ts'
import type { Clock } from './raid/clock.ts'
import type { Volume } from './volume.ts'

export interface NewPartition {
  readonly name: string
  /** A multiple of the physical block size. */
  readonly sizeBytes: number
  /** DEFAULT_BLOCK_FORMAT if not given. */
  readonly blockFormat?: BlockFormat | undefined
  /** UUID, for callers that must know it beforehand; a random one if not given. */
  readonly id?: string
}

export interface DiskArrayOptions {
  readonly description: ArrayDescription
  /** In member order; null for those that the array has to do without. */
  readonly disks: readonly (Volume | null)[]
  /** Members whose label is that of before the last change. */
  readonly behind?: readonly number[]
  /** Disks of this array that it does not use: they were taken out, or are out of date. */
  readonly outside?: readonly Volume[]
  readonly hooks?: ArrayHooks | undefined
}

/** What an array has of the world around it. */
export interface ArrayHooks {
  /** Told of what a person may want to know, and of members that are lost. */
  readonly onEvent?: (array: DiskArray, event: ArrayEvent) => void
  /** For what is done in the background, and for disks that do not answer; the machine's if not given. */
  readonly clock?: Clock | undefined
  /** How long a disk may take to answer if the array can do without it; 30 s if not given. */
  readonly answerTimeoutMs?: number | undefined
}

export interface ArrayEvent {
  readonly message: string
  /** Whether the array has one disk less than before. */
  readonly isLoss: boolean
}
