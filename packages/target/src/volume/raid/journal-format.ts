/**
 * What the stripe journal writes into its area of each member: bytes in, values out. Numbers are big-endian,
 * and UUIDs are their 16 bytes.
 *
 * An area is two anchor slots of 4096 bytes, then the ring, to the end of the area.
 *
 * An anchor says which record is the oldest that counts. That of generation `g` is in slot `g mod 2`:
 *
 *     byte  0  8  magic, "PLATTERA"
 *           8  4  version, 1
 *          12  4  CRC32C of these 4096 bytes with this field 0
 *          16 16  id of the array
 *          32 16  epoch: a random UUID, which the records that count have too
 *          48  8  generation, one more than that of the anchor before; the highest on any member counts
 *          56  8  sequence number of the oldest record that counts, or of the next to be written
 *          64  8  where that record is, in bytes from the start of the ring; a multiple of 4096
 *          72  8  size of the ring in bytes, a multiple of 4096
 *          80     zeros to 4096
 *
 * A record is what has to be written in place: a header of 4096 bytes, then the bytes of its extents, one
 * after the other, then zeros to the next multiple of 4096. It begins where the record before it ends, or,
 * if it does not fit there before the end of the ring, at the start of the ring. Which of the members
 * have a copy of it is not written down; it is at the same place on each of those.
 *
 *     byte  0  8  magic, "PLATTERW"
 *           8  4  version, 1
 *          12  4  CRC32C of the whole record, padding included, with this field 0
 *          16 16  id of the array
 *          32 16  epoch
 *          48  8  sequence number, one more than that of the record before
 *          56  8  base, in bytes from the start of the members' data
 *          64  4  size of the record in bytes, header and padding included
 *          68  4  how many extents
 *          72 12  for each extent, of which there are no more than members:
 *                   0 2  member number
 *                   2 2  zero
 *                   4 4  where its bytes belong on that member, in bytes from the base
 *                   8 4  how many bytes
 *             zeros to 4096
 *
 * A record that is torn, or of another array, epoch or sequence number than looked for, is none: what is
 * left in the ring from earlier laps never counts.
 */
import { crc32c } from '../crc32c.ts'
import { readUuid, writeUuid } from '../uuid.ts'

export const JOURNAL_BLOCK_BYTES = 4096
/** Where in an area the ring begins: behind the anchor slots. */
export const RING_START = 2 * JOURNAL_BLOCK_BYTES

const ANCHOR_MAGIC = Buffer.from('PLATTERA')
const RECORD_MAGIC = Buffer.from('PLATTERW')
const VERSION = 1
const EXTENT_BYTES = 12

const at = {
  version: 8,
  checksum: 12,
  arrayId: 16,
  epoch: 32,
  generation: 48,
  oldestSequence: 56,
  oldestPosition: 64,
  ringSizeBytes: 72,
  sequence: 48,
  base: 56,
  sizeBytes: 64,
  extentCount: 68,
  extents: 72,
} as const

export interface JournalAnchor {
  readonly arrayId: string
  readonly epoch: string
  readonly generation: number
  readonly oldestSequence: number
  readonly oldestPosition: number
  readonly ringSizeBytes: number
}

/** Bytes to be written in place, at `offset` of a member: `length` bytes from `from[position …]`. */
export interface JournalExtent {
  readonly memberNumber: number
  readonly offset: number
  readonly from: Buffer
  readonly position: number
  readonly length: number
}

/** What tells a record from all others. */
export interface RecordIdentity {
  readonly arrayId: string
  readonly epoch: string
  readonly sequence: number
}

/** How long a record of `byteCount` bytes is. */
export function recordSizeOf(byteCount: number): number {
  return JOURNAL_BLOCK_BYTES + roundUp(byteCount)
}

export function anchorOffsetOf(generation: number): number {
  return (generation % 2) * JOURNAL_BLOCK_BYTES
}

export function encodeAnchor(anchor: JournalAnchor): Buffer {
  const bytes = Buffer.alloc(JOURNAL_BLOCK_BYTES)
  ANCHOR_MAGIC.copy(bytes)
  bytes.writeUInt32BE(VERSION, at.version)
  writeUuid(bytes, anchor.arrayId, at.arrayId)
  writeUuid(bytes, anchor.epoch, at.epoch)
  writeNumber(bytes, anchor.generation, at.generation)
  writeNumber(bytes, anchor.oldestSequence, at.oldestSequence)
  writeNumber(bytes, anchor.oldestPosition, at.oldestPosition)
  writeNumber(bytes, anchor.ringSizeBytes, at.ringSizeBytes)
  bytes.writeUInt32BE(crc32c(bytes, 0, bytes.length), at.checksum)
  return bytes
}

/** Null if the block holds no whole anchor. An Error if it holds one of a later version. */
export function decodeAnchor(block: Buffer): JournalAnchor | null {
  if (!startsWith(block, ANCHOR_MAGIC) || !isWhole(block, 0, JOURNAL_BLOCK_BYTES)) return null
  const version = block.readUInt32BE(at.version)
  if (version > VERSION) {
    throw new Error(`its stripe journal has version ${version}, this software knows ${VERSION}`)
  }
  return {
    arrayId: readUuid(block, at.arrayId),
    epoch: readUuid(block, at.epoch),
    generation: readNumber(block, at.generation),
    oldestSequence: readNumber(block, at.oldestSequence),
    oldestPosition: readNumber(block, at.oldestPosition),
    ringSizeBytes: readNumber(block, at.ringSizeBytes),
  }
}

/**
 * Writes the record of the first `extentCount` extents into `into[start …]`, which has room for it. Their
 * offsets are at most 4 GiB beyond `base`. Returns how long the record is.
 */
export function encodeRecord(
  into: Buffer,
  start: number,
  identity: RecordIdentity,
  base: number,
  extents: readonly JournalExtent[],
  extentCount: number,
): number {
  into.fill(0, start, start + JOURNAL_BLOCK_BYTES)
  let end = start + JOURNAL_BLOCK_BYTES
  for (let index = 0; index < extentCount; index++) {
    const { memberNumber, offset, from, position, length } = extents[index]!
    const entry = start + at.extents + index * EXTENT_BYTES
    into.writeUInt16BE(memberNumber, entry)
    into.writeUInt32BE(offset - base, entry + 4)
    into.writeUInt32BE(length, entry + 8)
    end += from.copy(into, end, position, position + length)
  }
  const sizeBytes = roundUp(end - start)
  into.fill(0, end, start + sizeBytes)
  RECORD_MAGIC.copy(into, start)
  into.writeUInt32BE(VERSION, start + at.version)
  writeUuid(into, identity.arrayId, start + at.arrayId)
  writeUuid(into, identity.epoch, start + at.epoch)
  writeNumber(into, identity.sequence, start + at.sequence)
  writeNumber(into, base, start + at.base)
  into.writeUInt32BE(sizeBytes, start + at.sizeBytes)
  into.writeUInt32BE(extentCount, start + at.extentCount)
  into.writeUInt32BE(crc32c(into, start, start + sizeBytes), start + at.checksum)
  return sizeBytes
}

/**
 * How long the record is of which `header` is the first block; 0 if that is not of the record looked for.
 * Whether it is whole is another question.
 */
export function recordSizeIn(header: Buffer, identity: RecordIdentity): number {
  const isIt =
    startsWith(header, RECORD_MAGIC) &&
    header.readUInt32BE(at.version) === VERSION &&
    readUuid(header, at.arrayId) === identity.arrayId &&
    readUuid(header, at.epoch) === identity.epoch &&
    readNumber(header, at.sequence) === identity.sequence
  const sizeBytes = header.readUInt32BE(at.sizeBytes)
  const isSize = sizeBytes >= JOURNAL_BLOCK_BYTES && sizeBytes % JOURNAL_BLOCK_BYTES === 0
  return isIt && isSize ? sizeBytes : 0
}

/** The extents of a record, which alias its bytes; null if it is torn. The checksum field is cleared. */
export function decodeRecord(record: Buffer): JournalExtent[] | null {
  if (!isWhole(record, 0, record.length)) return null
  const base = readNumber(record, at.base)
  const extents: JournalExtent[] = []
  let position = JOURNAL_BLOCK_BYTES
  for (let index = 0; index < record.readUInt32BE(at.extentCount); index++) {
    const entry = at.extents + index * EXTENT_BYTES
    const memberNumber = record.readUInt16BE(entry)
    const offset = base + record.readUInt32BE(entry + 4)
    const length = record.readUInt32BE(entry + 8)
    extents.push({ memberNumber, offset, from: record, position, length })
    position += length
  }
  return extents
}

/** By the checksum, whose field is cleared. */
function isWhole(bytes: Buffer, start: number, end: number): boolean {
  const checksum = bytes.readUInt32BE(start + at.checksum)
  bytes.writeUInt32BE(0, start + at.checksum)
  return crc32c(bytes, start, end) === checksum
}

function startsWith(bytes: Buffer, magic: Buffer): boolean {
  return bytes.compare(magic, 0, magic.length, 0, magic.length) === 0
}

function roundUp(byteCount: number): number {
  return Math.ceil(byteCount / JOURNAL_BLOCK_BYTES) * JOURNAL_BLOCK_BYTES
}

/** Numbers up to 2^53 as 64 bits. */
function writeNumber(bytes: Buffer, value: number, position: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), position)
  bytes.writeUInt32BE(value % 2 ** 32, position + 4)
}

function readNumber(bytes: Buffer, position: number): number {
  return bytes.readUInt32BE(position) * 2 ** 32 + bytes.readUInt32BE(position + 4)
}
