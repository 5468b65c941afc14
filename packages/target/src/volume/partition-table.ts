/**
 * How an array is divided into partitions: names, extents and free space. Pure; space is counted in
 * rows, a row being one chunk of every member.
 */

import { type BlockFormat, blockFormats } from './block-format.ts'

/** A run of rows of the array. */
export interface RowExtent {
  readonly startRow: number
  readonly rowCount: number
}

/** A partition as the label holds it. */
export interface PartitionEntry {
  /** UUID, stable for the partition's life whatever its name. */
  readonly id: string
  readonly name: string
  /** What its user sees: whole physical blocks, at most what the extents hold. */
  readonly sizeBytes: number
  readonly blockFormat: BlockFormat
  /** Where its bytes lie, in order. */
  readonly extents: readonly RowExtent[]
}

/** The space that a table divides. */
export interface RowSpace {
  readonly rowCount: number
  readonly rowSizeBytes: number
}

export const NAME_MAX_BYTES = 63

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

/** What is wrong with a name of an array or partition, which may become a file name; null if nothing. */
export function nameProblem(name: string): string | null {
  if (name.length <= NAME_MAX_BYTES && NAME.test(name)) return null
  return `name ${JSON.stringify(name)} is not 1 to ${NAME_MAX_BYTES} letters, digits, dots, dashes and underscores beginning with a letter or digit`
}

/** What is wrong with a size of a partition; null if nothing. */
export function sizeProblem(sizeBytes: number, blockFormat: BlockFormat): string | null {
  const { physicalBlockSizeBytes } = blockFormats[blockFormat]
  const whole = Number.isSafeInteger(sizeBytes) && sizeBytes % physicalBlockSizeBytes === 0
  if (whole && sizeBytes > 0) return null
  return `size ${sizeBytes} is not a positive multiple of ${physicalBlockSizeBytes}, the physical block of a partition with block size ${blockFormat}`
}

/** What is wrong with a whole table, as read from a disk; null if nothing. */
export function tableProblem(
  partitions: readonly PartitionEntry[],
  space: RowSpace,
): string | null {
  const seen = new Set<string>()
  for (const { id, name, sizeBytes, blockFormat, extents } of partitions) {
    const problem = nameProblem(name) ?? sizeProblem(sizeBytes, blockFormat)
    if (problem !== null) return problem
    if (seen.has(`id ${id}`) || seen.has(`name ${name}`)) return `partition ${name} is there twice`
    seen.add(`id ${id}`).add(`name ${name}`)
    if (sizeBytes > rowsOf(extents) * space.rowSizeBytes) {
      return `partition ${name} of ${sizeBytes} bytes is larger than its extents`
    }
  }
  let end = 0
  for (const { startRow, rowCount } of sortedExtents(partitions)) {
    if (rowCount < 1) return `an extent at row ${startRow} is empty`
    if (startRow < end) return `two extents share row ${startRow}`
    end = startRow + rowCount
  }
  return end > space.rowCount ? `an extent ends at row ${end}, of ${space.rowCount}` : null
}

/** Free space, in order of place. */
export function freeExtents(
  partitions: readonly PartitionEntry[],
  rowCount: number,
): readonly RowExtent[] {
  const free: RowExtent[] = []
  let end = 0
  for (const extent of sortedExtents(partitions)) {
    if (extent.startRow > end) free.push({ startRow: end, rowCount: extent.startRow - end })
    end = extent.startRow + extent.rowCount
  }
  if (rowCount > end) free.push({ startRow: end, rowCount: rowCount - end })
  return free
}

export function rowsOf(extents: readonly RowExtent[]): number {
  return extents.reduce((sum, extent) => sum + extent.rowCount, 0)
}

/**
 * Takes `rowCount` rows of what is free: in one piece from the first gap that is large enough, or
 * else from the gaps in order. With `afterRow`, from the gap that begins there first, so that what
 * grows stays in one piece. Null if there is not enough.
 */
export function allocateRows(
  free: readonly RowExtent[],
  rowCount: number,
  afterRow?: number,
): readonly RowExtent[] | null {
  if (rowsOf(free) < rowCount) return null
  const adjacent = free.find((gap) => gap.startRow === afterRow)
  if (adjacent === undefined) {
    const fitting = free.find((gap) => gap.rowCount >= rowCount)
    if (fitting !== undefined) return [{ startRow: fitting.startRow, rowCount }]
  }
  const taken: RowExtent[] = []
  let missing = rowCount
  const others = free.filter((gap) => gap !== adjacent)
  for (const gap of adjacent === undefined ? others : [adjacent, ...others]) {
    if (missing === 0) break
    const count = Math.min(gap.rowCount, missing)
    taken.push({ startRow: gap.startRow, rowCount: count })
    missing -= count
  }
  return taken
}

/** Two lists one after the other, with neighbours joined. */
export function joinExtents(
  first: readonly RowExtent[],
  second: readonly RowExtent[],
): readonly RowExtent[] {
  const joined: RowExtent[] = []
  for (const extent of [...first, ...second]) {
    const last = joined.at(-1)
    if (last !== undefined && last.startRow + last.rowCount === extent.startRow) {
      const rowCount = last.rowCount + extent.rowCount
      joined[joined.length - 1] = { startRow: last.startRow, rowCount }
    } else {
      joined.push(extent)
    }
  }
  return joined
}

function sortedExtents(partitions: readonly PartitionEntry[]): RowExtent[] {
  return partitions.flatMap((one) => one.extents).sort((a, b) => a.startRow - b.startRow)
}
