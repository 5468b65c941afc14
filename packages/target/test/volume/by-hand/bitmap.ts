// Reads the bitmap: where the members of an array may differ.

import { checksumHolds, crc32c } from './crc32c.ts'
import { type Label, number64 } from './label.ts'

const BLOCK = 4096
const SECTOR = 512
const REGIONS_PER_SECTOR = 3840

/** For each region of the members' data, whether one of the disks says that they may differ. */
export function regionsInDoubt(label: Label, disks: readonly Buffer[]): boolean[] {
  if (label.bitmap.size === 0) return []
  const count = Math.ceil(label.dataSize / label.regionSize)
  const inDoubt = new Array<boolean>(count).fill(false)
  for (const disk of disks) {
    const { offset, size } = label.bitmap
    const area = disk.subarray(offset, offset + size)
    const headerHolds = holdsHeader(label, count, area)
    for (let first = 0; first < count; first += REGIONS_PER_SECTOR) {
      const bits = headerHolds ? bitsFrom(label, area, first) : undefined
      for (let bit = 0; bit < REGIONS_PER_SECTOR && first + bit < count; bit++) {
        const isSet = bits === undefined || ((bits[bit >> 3] as number) & (1 << (bit & 7))) !== 0
        if (isSet) inDoubt[first + bit] = true
      }
    }
  }
  return inDoubt
}

function holdsHeader(label: Label, regionCount: number, area: Buffer): boolean {
  const header = area.subarray(0, BLOCK)
  return (
    header.toString('latin1', 0, 8) === 'PLATTERI' &&
    header.readUInt32BE(8) === 1 &&
    checksumHolds(header, 12) &&
    header.toString('hex', 16, 32) === label.arrayId &&
    number64(header, 32) === label.regionSize &&
    header.readUInt32BE(40) === regionCount
  )
}

/** The bits of the sector that begins with region `first`; undefined if it is not as it should be. */
function bitsFrom(label: Label, area: Buffer, first: number): Buffer | undefined {
  const number = BLOCK / SECTOR + first / REGIONS_PER_SECTOR
  const sector = area.subarray(number * SECTOR, (number + 1) * SECTOR)
  const holds =
    crc32c(sector.subarray(4)) === sector.readUInt32BE(0) &&
    sector.readUInt32BE(4) === number &&
    sector.toString('hex', 8, 24) === label.arrayId &&
    number64(sector, 24) === label.regionSize
  return holds ? sector.subarray(32) : undefined
}
