/**
 * The label of a member disk: which array it belongs to, as what, and how the array is divided. Only
 * bytes and values; reading and writing it safely is label-slots.ts. docs/volume-format.md has the
 * layout in full. All integers are big-endian.
 */
import { type BlockFormat, blockFormats, findBlockFormat } from './block-format.ts'
import { crc32c } from './crc32c.ts'
import { nameProblem, type PartitionEntry, tableProblem } from './partition-table.ts'
import { readUuid, writeUuid } from './uuid.ts'

/** Version 1 did not have the physical block size: it was the logical one. */
export const LABEL_VERSION = 2
/** Room for one label on the disk, and so the limit of its length. */
export const LABEL_SLOT_BYTES = 64 * 1024
export const CHUNK_SIZE_MIN_BYTES = 4096
export const CHUNK_SIZE_MAX_BYTES = 16 * 1024 * 1024
export const MEMBERS_MAX = 256

const MAGIC = Buffer.from('PLATTER\0', 'latin1')
const HEADER_BYTES = 256
const PARTITION_BYTES = 128
const EXTENT_BYTES = 16
const NAME_BYTES = 64

/** Byte offsets in the header. */
const at = {
  magic: 0,
  version: 8,
  length: 12,
  checksum: 16,
  generation: 24,
  arrayId: 32,
  arrayName: 48,
  level: 112,
  memberCount: 116,
  memberNumber: 120,
  chunkSizeBytes: 124,
  dataOffset: 128,
  dataSizeBytes: 136,
  partitionCount: 144,
  state: 148,
} as const

/** Byte offsets in a partition's record, which its extents follow. */
const inPartition = {
  id: 0,
  name: 16,
  sizeBytes: 80,
  logicalBlockSizeBytes: 88,
  extentCount: 92,
  physicalBlockSizeBytes: 96,
} as const

/** How an array keeps its data; the numbers are those on the disk. */
export const levelNumbers = { raid0: 0 } as const
export type ArrayLevel = keyof typeof levelNumbers

/**
 * Where an array is in its life; the numbers are those on the disk. Only a ready array is one: a
 * crash may leave the beginning of one that was being made, or the rest of one that was destroyed.
 */
export const stateNumbers = { ready: 0, making: 1, destroyed: 2 } as const
export type ArrayState = keyof typeof stateNumbers

/** What every member of an array holds alike: all of a label but the member's own number. */
export interface ArrayDescription {
  /** UUID of the array. */
  readonly arrayId: string
  readonly arrayName: string
  readonly level: ArrayLevel
  readonly memberCount: number
  readonly chunkSizeBytes: number
  /** Where the data begin on each member. */
  readonly dataOffset: number
  /** How much of each member is used: whole chunks. */
  readonly dataSizeBytes: number
  /** Counts the changes of the array's description; the newest is the one with the highest. */
  readonly generation: number
  readonly state: ArrayState
  readonly partitions: readonly PartitionEntry[]
}

/** A label: the array, and which member of it this disk is. */
export interface Label extends ArrayDescription {
  readonly memberNumber: number
}

/**
 * Why there is no label to be read:
 * - blank: nothing but zeros
 * - leftover: the beginning of one, of an array that never came to be
 * - foreign: something else
 * - corrupt: a label once, whose bytes are wrong now
 * - newer-version: a label of a later version of this software
 */
export type LabelErrorKind = 'blank' | 'leftover' | 'foreign' | 'corrupt' | 'newer-version'

export class LabelError extends Error {
  override readonly name = 'LabelError'
  readonly kind: LabelErrorKind

  constructor(kind: LabelErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** How many bytes a label with these partitions takes; at most LABEL_SLOT_BYTES can be encoded. */
export function labelLength(partitions: readonly PartitionEntry[]): number {
  return partitions.reduce(
    (sum, { extents }) => sum + PARTITION_BYTES + extents.length * EXTENT_BYTES,
    HEADER_BYTES,
  )
}

/** A whole slot, LABEL_SLOT_BYTES long, zeros after the label. */
export function encodeLabel(label: Label): Buffer {
  const slot = Buffer.alloc(LABEL_SLOT_BYTES)
  const length = labelLength(label.partitions)
  if (length > slot.length) throw new RangeError(`a label of ${length} bytes exceeds its slot`)
  MAGIC.copy(slot, at.magic)
  slot.writeUInt32BE(LABEL_VERSION, at.version)
  slot.writeUInt32BE(length, at.length)
  writeInteger(slot, label.generation, at.generation)
  writeUuid(slot, label.arrayId, at.arrayId)
  slot.write(label.arrayName, at.arrayName, 'utf8')
  slot.writeUInt32BE(levelNumbers[label.level], at.level)
  slot.writeUInt32BE(label.memberCount, at.memberCount)
  slot.writeUInt32BE(label.memberNumber, at.memberNumber)
  slot.writeUInt32BE(label.chunkSizeBytes, at.chunkSizeBytes)
  writeInteger(slot, label.dataOffset, at.dataOffset)
  writeInteger(slot, label.dataSizeBytes, at.dataSizeBytes)
  slot.writeUInt32BE(label.partitions.length, at.partitionCount)
  slot.writeUInt32BE(stateNumbers[label.state], at.state)
  let position = HEADER_BYTES
  for (const partition of label.partitions) {
    position = encodePartition(slot, position, partition)
  }
  slot.writeUInt32BE(crc32c(slot, 0, length), at.checksum)
  return slot
}

function encodePartition(slot: Buffer, start: number, partition: PartitionEntry): number {
  writeUuid(slot, partition.id, start + inPartition.id)
  slot.write(partition.name, start + inPartition.name, 'utf8')
  writeInteger(slot, partition.sizeBytes, start + inPartition.sizeBytes)
  const { logicalBlockSizeBytes, physicalBlockSizeBytes } = blockFormats[partition.blockFormat]
  slot.writeUInt32BE(logicalBlockSizeBytes, start + inPartition.logicalBlockSizeBytes)
  slot.writeUInt32BE(physicalBlockSizeBytes, start + inPartition.physicalBlockSizeBytes)
  slot.writeUInt32BE(partition.extents.length, start + inPartition.extentCount)
  let position = start + PARTITION_BYTES
  for (const { startRow, rowCount } of partition.extents) {
    writeInteger(slot, startRow, position)
    writeInteger(slot, rowCount, position + 8)
    position += EXTENT_BYTES
  }
  return position
}

/**
 * Reads a slot's bytes, from which nothing is believed before the checksum holds.
 * @throws LabelError, and nothing else, whatever the bytes.
 */
export function decodeLabel(slot: Buffer): Label {
  if (slot.length < HEADER_BYTES || slot.compare(MAGIC, 0, MAGIC.length, 0, MAGIC.length) !== 0) {
    if (slot.equals(Buffer.alloc(slot.length)))
      throw new LabelError('blank', 'holds nothing but zeros')
    throw new LabelError('foreign', 'holds something that is not a label')
  }
  const length = slot.readUInt32BE(at.length)
  if (length < HEADER_BYTES || length > slot.length) throw corrupt(`length ${length}`)
  const stored = slot.readUInt32BE(at.checksum)
  const bytes = Buffer.from(slot.subarray(0, length))
  bytes.writeUInt32BE(0, at.checksum)
  const computed = crc32c(bytes, 0, length)
  if (stored !== computed) throw corrupt(`checksum ${hex(stored)}, its bytes give ${hex(computed)}`)
  const version = bytes.readUInt32BE(at.version)
  if (version > LABEL_VERSION) {
    throw new LabelError(
      'newer-version',
      `has version ${version}, this software knows up to ${LABEL_VERSION}`,
    )
  }
  if (version === 0) throw corrupt('version 0')
  return decodeFields(bytes)
}

function decodeFields(bytes: Buffer): Label {
  const label: Label = {
    arrayId: readUuid(bytes, at.arrayId),
    arrayName: readName(bytes, at.arrayName),
    level: readNamed(bytes, at.level, 'level', levelNumbers),
    memberCount: bytes.readUInt32BE(at.memberCount),
    memberNumber: bytes.readUInt32BE(at.memberNumber),
    chunkSizeBytes: bytes.readUInt32BE(at.chunkSizeBytes),
    dataOffset: readInteger(bytes, at.dataOffset),
    dataSizeBytes: readInteger(bytes, at.dataSizeBytes),
    generation: readInteger(bytes, at.generation),
    state: readNamed(bytes, at.state, 'state', stateNumbers),
    partitions: decodePartitions(bytes),
  }
  const problem = labelProblem(label)
  if (problem !== null) throw corrupt(problem)
  return label
}

function decodePartitions(bytes: Buffer): PartitionEntry[] {
  const partitions: PartitionEntry[] = []
  let position = HEADER_BYTES
  for (let left = bytes.readUInt32BE(at.partitionCount); left > 0; left--) {
    const start = position
    position += PARTITION_BYTES
    if (position > bytes.length) throw corrupt('a partition lies beyond its end')
    const extentCount = bytes.readUInt32BE(start + inPartition.extentCount)
    if (position + extentCount * EXTENT_BYTES > bytes.length) {
      throw corrupt('an extent lies beyond its end')
    }
    const extents = Array.from({ length: extentCount }, (_, index) => ({
      startRow: readInteger(bytes, position + index * EXTENT_BYTES),
      rowCount: readInteger(bytes, position + index * EXTENT_BYTES + 8),
    }))
    position += extentCount * EXTENT_BYTES
    partitions.push({
      id: readUuid(bytes, start + inPartition.id),
      name: readName(bytes, start + inPartition.name),
      sizeBytes: readInteger(bytes, start + inPartition.sizeBytes),
      blockFormat: readBlockFormat(bytes, start),
      extents,
    })
  }
  return partitions
}

function readBlockFormat(bytes: Buffer, start: number): BlockFormat {
  const logicalBlockSizeBytes = bytes.readUInt32BE(start + inPartition.logicalBlockSizeBytes)
  const physicalBlockSizeBytes =
    bytes.readUInt32BE(at.version) === 1
      ? logicalBlockSizeBytes
      : bytes.readUInt32BE(start + inPartition.physicalBlockSizeBytes)
  const format = findBlockFormat({ logicalBlockSizeBytes, physicalBlockSizeBytes })
  if (format !== undefined) return format
  throw corrupt(`blocks of ${logicalBlockSizeBytes} bytes in ${physicalBlockSizeBytes}`)
}

/** Rows of an array, and bytes in each. */
export function rowSpace(array: ArrayDescription): {
  readonly rowCount: number
  readonly rowSizeBytes: number
} {
  return {
    rowCount: array.dataSizeBytes / array.chunkSizeBytes,
    rowSizeBytes: array.chunkSizeBytes * array.memberCount,
  }
}

/** What is wrong with a chunk size; null if nothing. */
export function chunkSizeProblem(bytes: number): string | null {
  const powerOfTwo = Number.isInteger(bytes) && (bytes & (bytes - 1)) === 0
  if (powerOfTwo && bytes >= CHUNK_SIZE_MIN_BYTES && bytes <= CHUNK_SIZE_MAX_BYTES) return null
  return `chunk size ${bytes} is not a power of two from ${CHUNK_SIZE_MIN_BYTES} to ${CHUNK_SIZE_MAX_BYTES}`
}

function labelProblem(label: Label): string | null {
  const { memberCount, memberNumber, chunkSizeBytes, dataOffset, dataSizeBytes } = label
  const problem = nameProblem(label.arrayName) ?? chunkSizeProblem(chunkSizeBytes)
  if (problem !== null) return problem
  if (memberCount < 1 || memberCount > MEMBERS_MAX) return `member count ${memberCount}`
  if (memberNumber >= memberCount) return `member number ${memberNumber} of ${memberCount}`
  if (label.generation === 0) return 'generation 0'
  if (dataOffset % CHUNK_SIZE_MIN_BYTES !== 0) return `data offset ${dataOffset}`
  if (dataSizeBytes === 0 || dataSizeBytes % chunkSizeBytes !== 0)
    return `data size ${dataSizeBytes}`
  if (!Number.isSafeInteger(dataSizeBytes * memberCount)) return `data size ${dataSizeBytes}`
  return tableProblem(label.partitions, rowSpace(label))
}

function corrupt(what: string): LabelError {
  return new LabelError('corrupt', `is corrupt: ${what}`)
}

function hex(number: number): string {
  return `0x${number.toString(16).padStart(8, '0')}`
}

function writeInteger(bytes: Buffer, value: number, position: number): void {
  bytes.writeBigUInt64BE(BigInt(value), position)
}

function readInteger(bytes: Buffer, position: number): number {
  const value = bytes.readBigUInt64BE(position)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`number ${value} at byte ${position}`)
  return Number(value)
}

function readNamed<T extends string>(
  bytes: Buffer,
  position: number,
  field: string,
  numbers: Readonly<Record<T, number>>,
): T {
  const number = bytes.readUInt32BE(position)
  const name = (Object.keys(numbers) as T[]).find((one) => numbers[one] === number)
  if (name === undefined) throw corrupt(`${field} ${number}`)
  return name
}

function readName(bytes: Buffer, position: number): string {
  const field = bytes.toString('utf8', position, position + NAME_BYTES)
  return field.slice(0, field.indexOf('\0'))
}
