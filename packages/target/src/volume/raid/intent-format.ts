/**
 * A member's copy of the bitmap of regions in which members may differ, as it lies on the disk. Bytes in,
 * values out. All integers are big-endian.
 *
 * The area is blocks of 4096 bytes. The first is the header, which is written once:
 *
 *      0   8  "PLATTERI"
 *      8   4  version: 1
 *     12   4  CRC32C of the header, taken with zeros here
 *     16  16  UUID of the array
 *     32   8  size of a region in bytes
 *     40   4  number of regions
 *     44      zeros
 *
 * The others are bits. A block is written as a whole, and is 8 sectors of 512 bytes, each of which can be
 * used by itself: a sector is what a disk never writes in part, so that a crash in the midst of a block
 * leaves sectors that are each old or new.
 *
 *      0   4  CRC32C of bytes 4 … 511
 *      4   4  number of the sector within the area: 8 for the first one with bits
 *      8  16  UUID of the array
 *     24   8  size of a region in bytes
 *     32 480  3840 bits: region 0 is bit 0, the lowest, of byte 0 of the first of these sectors
 *
 * A bit of 1 says that the members may differ in that region. A sector that is not as it should be says so
 * of all its regions, and a header that is not, of all there are.
 */
import { crc32c } from '../crc32c.ts'
import { UUID_BYTES, writeUuid } from '../uuid.ts'
import type { RegionSet } from './region-set.ts'

export const INTENT_BLOCK_BYTES = 4096
const SECTOR_BYTES = 512
const SECTORS_PER_BLOCK = INTENT_BLOCK_BYTES / SECTOR_BYTES
const SECTOR_HEADER_BYTES = 32
const SECTOR_BITS_BYTES = SECTOR_BYTES - SECTOR_HEADER_BYTES
/** What of a RegionSet's bytes goes into one block. */
export const BLOCK_BITS_BYTES = SECTORS_PER_BLOCK * SECTOR_BITS_BYTES
export const REGIONS_PER_BLOCK = 8 * BLOCK_BITS_BYTES
const REGION_SIZE_MIN_BYTES = 64 * 1024
const MAGIC = Buffer.from('PLATTERI')
const VERSION = 1

const inHeader = {
  version: 8,
  checksum: 12,
  arrayId: 16,
  regionSizeBytes: 16 + UUID_BYTES,
  regionCount: 40,
} as const
const inSector = { checksum: 0, number: 4, arrayId: 8, regionSizeBytes: 8 + UUID_BYTES } as const

/** What the copies of one array have in common. */
export interface IntentGeometry {
  /** UUID of the array. */
  readonly arrayId: string
  /** What the bitmap is about: so many bytes of each member, the last region being shorter if need be. */
  readonly memberSizeBytes: number
  /** A power of two, of 64 KiB at least. */
  readonly regionSizeBytes: number
}

/** How many regions there are. Throws RangeError if the sizes are none. */
export function countRegions({ memberSizeBytes, regionSizeBytes }: IntentGeometry): number {
  const powerOfTwo = Number.isInteger(Math.log2(regionSizeBytes))
  if (!powerOfTwo || regionSizeBytes < REGION_SIZE_MIN_BYTES) {
    throw new RangeError(
      `region size ${regionSizeBytes} is not a power of two of at least ${REGION_SIZE_MIN_BYTES} bytes`,
    )
  }
  if (!(memberSizeBytes > 0)) throw new RangeError(`members of ${memberSizeBytes} bytes`)
  return Math.ceil(memberSizeBytes / regionSizeBytes)
}

/** How much of each member a bitmap of so many regions takes. */
export function intentAreaBytes(regionCount: number): number {
  return (1 + countBlocks(regionCount)) * INTENT_BLOCK_BYTES
}

/** How many blocks have bits. */
export function countBlocks(regionCount: number): number {
  return Math.ceil(regionCount / REGIONS_PER_BLOCK)
}

/** Where the block of bits lies in the area. */
export function blockOffset(block: number): number {
  return (1 + block) * INTENT_BLOCK_BYTES
}

export function encodeHeader(geometry: IntentGeometry): Buffer {
  const header = Buffer.alloc(INTENT_BLOCK_BYTES)
  MAGIC.copy(header)
  header.writeUInt32BE(VERSION, inHeader.version)
  writeUuid(header, geometry.arrayId, inHeader.arrayId)
  header.writeBigUInt64BE(BigInt(geometry.regionSizeBytes), inHeader.regionSizeBytes)
  header.writeUInt32BE(countRegions(geometry), inHeader.regionCount)
  header.writeUInt32BE(crc32c(header, 0, header.length), inHeader.checksum)
  return header
}

/** Puts one block of the bits of `regions` where it belongs in `area`. */
export function encodeBlock(
  geometry: IntentGeometry,
  block: number,
  regions: RegionSet,
  area: Buffer,
): void {
  for (let index = 0; index < SECTORS_PER_BLOCK; index++) {
    const position = blockOffset(block) + index * SECTOR_BYTES
    const from = block * BLOCK_BITS_BYTES + index * SECTOR_BITS_BYTES
    writeSectorHeader(geometry, area, position)
    area.set(regions.bytes.subarray(from, from + SECTOR_BITS_BYTES), position + SECTOR_HEADER_BYTES)
    area.writeUInt32BE(sectorChecksum(area, position), position + inSector.checksum)
  }
}

/** Adds to `regions` those that one block of `area` names, or may have named. */
export function decodeBlock(
  geometry: IntentGeometry,
  block: number,
  area: Buffer,
  regions: RegionSet,
): void {
  const expected = Buffer.alloc(SECTOR_BYTES)
  const anything = new Uint8Array(SECTOR_BITS_BYTES).fill(0xff)
  for (let index = 0; index < SECTORS_PER_BLOCK; index++) {
    const position = blockOffset(block) + index * SECTOR_BYTES
    const sector = area.subarray(position, position + SECTOR_BYTES)
    writeSectorHeader(geometry, expected, 0, position / SECTOR_BYTES)
    expected.writeUInt32BE(sectorChecksum(sector, 0), inSector.checksum)
    const header = expected.subarray(0, SECTOR_HEADER_BYTES)
    const isSound = header.equals(sector.subarray(0, SECTOR_HEADER_BYTES))
    const bits = isSound ? sector.subarray(SECTOR_HEADER_BYTES) : anything
    regions.addBits(block * BLOCK_BITS_BYTES + index * SECTOR_BITS_BYTES, bits)
  }
}

function writeSectorHeader(
  geometry: IntentGeometry,
  into: Buffer,
  position: number,
  sectorNumber = position / SECTOR_BYTES,
): void {
  into.writeUInt32BE(sectorNumber, position + inSector.number)
  writeUuid(into, geometry.arrayId, position + inSector.arrayId)
  into.writeBigUInt64BE(BigInt(geometry.regionSizeBytes), position + inSector.regionSizeBytes)
}

function sectorChecksum(bytes: Buffer, position: number): number {
  return crc32c(bytes, position + inSector.number, position + SECTOR_BYTES)
}
