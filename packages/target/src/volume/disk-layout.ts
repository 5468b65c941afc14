/** How the disks of a new array are divided: the label area, what the level needs beside the data, the data. */
import type { ArrayLevel, DiskArea, DiskAreas } from './array-description.ts'
import { LABEL_AREA_BYTES } from './label-slots.ts'
import { checksumAreaBytes } from './raid/checksum-page.ts'
import { intentAreaBytes } from './raid/intent-format.ts'

const MIB = 1024 * 1024
/** Areas begin and end at multiples of this. */
const ALIGNMENT_BYTES = 64 * 1024
const REGION_SIZE_MIN_BYTES = MIB
/** So many bits of the bitmap at most, which bounds what it takes in memory and what a crash has to write. */
export const REGION_COUNT_MAX = 16384
const JOURNAL_MIN_BYTES = 4 * MIB
const JOURNAL_MAX_BYTES = 64 * MIB

export interface LayoutRequest {
  readonly level: ArrayLevel
  /** Of the smallest disk. */
  readonly diskSizeBytes: number
  readonly chunkSizeBytes: number
  /** Whether there are checksums of the data. */
  readonly checksums: boolean
}

export interface DiskLayout {
  readonly areas: DiskAreas
  readonly regionSizeBytes: number
}

/** The data area has no bytes if the disk is too small. */
export function layOut(request: LayoutRequest): DiskLayout {
  const { level, diskSizeBytes, chunkSizeBytes, checksums } = request
  const room = Math.max(diskSizeBytes - LABEL_AREA_BYTES, 0)
  const regionSizeBytes = regionSize(room)
  const isPlain = level === 'raid0' && !checksums
  const intents = isPlain ? 0 : intentAreaBytes(Math.ceil(room / regionSizeBytes))
  const journal = level === 'raid5' || level === 'raid6' ? journalBytes(room) : 0
  const areas = placeInTurn(intents, checksums ? checksumAreaBytes(room) : 0, journal)
  const start = areas.at(-1)!.offset
  const left = Math.max(diskSizeBytes - start, 0)
  return {
    areas: {
      intents: areas[0]!,
      checksums: areas[1]!,
      journal: areas[2]!,
      data: { offset: start, length: left - (left % chunkSizeBytes) },
    },
    regionSizeBytes: isPlain ? 0 : regionSizeBytes,
  }
}

function regionSize(dataBytes: number): number {
  let size = REGION_SIZE_MIN_BYTES
  while (dataBytes / size > REGION_COUNT_MAX) size *= 2
  return size
}

function journalBytes(room: number): number {
  return Math.min(Math.max(Math.floor(room / 64), JOURNAL_MIN_BYTES), JOURNAL_MAX_BYTES)
}

/** Areas of at least these lengths after the label area, and what begins after them. */
function placeInTurn(...lengths: readonly number[]): DiskArea[] {
  const areas: DiskArea[] = []
  let offset = LABEL_AREA_BYTES
  for (const wanted of lengths) {
    const length = Math.ceil(wanted / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    areas.push({ offset: length === 0 ? 0 : offset, length })
    offset += length
  }
  return [...areas, { offset, length: 0 }]
}
