/** Sectors that a disk has changed by itself, and a scrub has not found yet. */

export interface SectorRange {
  readonly first: number
  readonly count: number
}

export interface Rot {
  readonly memberNumber: number
  /** Of the member's part of the partition. */
  readonly sectors: SectorRange
}

/** Of a block with a checksum. Chunks are no longer. */
export const BLOCK_SECTORS = 8

/** The first sector, in the partition, of each block of a mirror of which there is rot in one copy. */
export function* rottenBlocks(
  { memberNumber, sectors }: Rot,
  level: 'raid1' | 'raid10',
  memberCount: number,
): Generator<number> {
  const columns = level === 'raid10' ? memberCount / 2 : 1
  const column = level === 'raid10' ? Math.floor(memberNumber / 2) : 0
  const last = Math.floor((sectors.first + sectors.count - 1) / BLOCK_SECTORS)
  for (let block = Math.floor(sectors.first / BLOCK_SECTORS); block <= last; block++) {
    yield (block * columns + column) * BLOCK_SECTORS
  }
}

/** One to three ranges of so many sectors that are apart. */
export function randomRanges(random: () => number, sectorCount: number): SectorRange[] {
  const below = (limit: number) => Math.floor(random() * limit)
  const ranges: SectorRange[] = []
  const wanted = 1 + below(3)
  for (let at = 0; ranges.length < wanted && at < sectorCount; ) {
    const first = at + below(sectorCount - at)
    const count = 1 + below(Math.min(sectorCount - first, random() < 0.3 ? 64 : 12))
    ranges.push({ first, count })
    at = first + count
  }
  return ranges
}
