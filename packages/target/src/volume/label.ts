/**
 * The label of a member disk as bytes: the array's description, and which member of it the disk is. Reading
 * and writing it safely is label-slots.ts. docs/volume-format.md has the layout in full. All integers are
 * big-endian.
 */
import {
  type ArrayDescription,
  type ArrayLevel,
  type ArrayState,
  type DiskArea,
  type DiskAreas,
  descriptionProblem,
  MEMBERS_MAX,
  type MemberEntry,
} from './array-description.ts'
import { type BlockFormat, blockFormats, findBlockFormat } from './block-format.ts'
import { crc32c } from './crc32c.ts'
import type { PartitionEntry } from './partition-table.ts'
import type { MemberState } from './raid/member.ts'
import { readUuid, UUID_BYTES, writeUuid } from './uuid.ts'

/**
 * Version 1 did not have the physical block size: it was the logical one. Version 2 had neither members nor
 * areas: all members were in sync, and there was nothing but the data.
 */
export const LABEL_VERSION = 3
/** Room for one label on the disk, and so the limit of its length. */
export const LABEL_SLOT_BYTES = 64 * 1024

const MAGIC = Buffer.from('PLATTER\0', 'latin1')
const HEADER_BYTES = 256
const MEMBER_BYTES = 32
const PARTITION_BYTES = 128
const EXTENT_BYTES = 16
const NAME_BYTES = 64
const NO_AREA: DiskArea = { offset: 0, length: 0 }

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
  partitionCount: 144,
  state: 148,
  regionSizeBytes: 152,
  intents: 160,
  checksums: 176,
  journal: 192,
} as const

/** Byte offsets in a member's record. */
const inMember = { diskId: 0, state: 16, since: 24 } as const

/** Byte offsets in a partition's record, which its extents follow. */
const inPartition = {
  id: 0,
  name: 16,
  sizeBytes: 80,
  logicalBlockSizeBytes: 88,
  extentCount: 92,
  physicalBlockSizeBytes: 96,
} as const

/** The numbers of names on the disk. */
const levelNumbers = {
  raid0: 0,
  raid1: 1,
  raid5: 5,
  raid6: 6,
  raid10: 10,
} as const satisfies Record<ArrayLevel, number>
const stateNumbers = { ready: 0, making: 1, destroyed: 2 } as const satisfies Record<
  ArrayState,
  number
>
const memberStateNumbers = {
  'in-sync': 0,
  rebuilding: 1,
  absent: 2,
} as const satisfies Record<MemberState, number>

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

/** Why a disk has no label that could be read, for a sentence about the disk. */
export function labelReason(error: LabelError): string {
  const subject = ['corrupt', 'newer-version'].includes(error.kind) ? 'its label' : 'it'
  return `${subject} ${error.message}`
}

/** How many bytes a label takes; at most LABEL_SLOT_BYTES can be encoded. */
export function labelLength({
  members,
  partitions,
}: Pick<ArrayDescription, 'members' | 'partitions'>): number {
  return partitions.reduce(
    (sum, { extents }) => sum + PARTITION_BYTES + extents.length * EXTENT_BYTES,
    HEADER_BYTES + members.length * MEMBER_BYTES,
  )
}

/** A whole slot, LABEL_SLOT_BYTES long, zeros after the label. */
export function encodeLabel(label: Label): Buffer {
  const slot = Buffer.alloc(LABEL_SLOT_BYTES)
  const length = labelLength(label)
  if (length > slot.length) throw new RangeError(`a label of ${length} bytes exceeds its slot`)
  encodeHeader(slot, label)
  slot.writeUInt32BE(length, at.length)
  let position = HEADER_BYTES
  for (const member of label.members) {
    encodeMember(slot, position, member)
    position += MEMBER_BYTES
  }
  for (const partition of label.partitions) {
    position = encodePartition(slot, position, partition)
  }
  slot.writeUInt32BE(crc32c(slot, 0, length), at.checksum)
  return slot
}

function encodeHeader(slot: Buffer, label: Label): void {
  const { areas } = label
  MAGIC.copy(slot, at.magic)
  slot.writeUInt32BE(LABEL_VERSION, at.version)
  writeInteger(slot, label.generation, at.generation)
  writeUuid(slot, label.arrayId, at.arrayId)
  slot.write(label.arrayName, at.arrayName, 'utf8')
  slot.writeUInt32BE(levelNumbers[label.level], at.level)
  slot.writeUInt32BE(label.members.length, at.memberCount)
  slot.writeUInt32BE(label.memberNumber, at.memberNumber)
  slot.writeUInt32BE(label.chunkSizeBytes, at.chunkSizeBytes)
  writeArea(slot, areas.data, at.dataOffset)
  slot.writeUInt32BE(label.partitions.length, at.partitionCount)
  slot.writeUInt32BE(stateNumbers[label.state], at.state)
  slot.writeUInt32BE(label.regionSizeBytes, at.regionSizeBytes)
  writeArea(slot, areas.intents, at.intents)
  writeArea(slot, areas.checksums, at.checksums)
  writeArea(slot, areas.journal, at.journal)
}

function encodeMember(slot: Buffer, start: number, { diskId, state, since }: MemberEntry): void {
  writeUuid(slot, diskId, start + inMember.diskId)
  slot.writeUInt32BE(memberStateNumbers[state], start + inMember.state)
  writeInteger(slot, since, start + inMember.since)
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
  const members = decodeMembers(bytes)
  const label: Label = {
    arrayId: readUuid(bytes, at.arrayId),
    arrayName: readName(bytes, at.arrayName),
    level: readNamed(bytes, at.level, 'level', levelNumbers),
    members,
    memberNumber: bytes.readUInt32BE(at.memberNumber),
    chunkSizeBytes: bytes.readUInt32BE(at.chunkSizeBytes),
    areas: decodeAreas(bytes),
    regionSizeBytes: hasMembers(bytes) ? bytes.readUInt32BE(at.regionSizeBytes) : 0,
    generation: readInteger(bytes, at.generation),
    state: readNamed(bytes, at.state, 'state', stateNumbers),
    partitions: decodePartitions(bytes, members.length),
  }
  const problem = descriptionProblem(label)
  if (problem !== null) throw corrupt(problem)
  if (label.memberNumber >= members.length) {
    throw corrupt(`member number ${label.memberNumber} of ${members.length}`)
  }
  return label
}

function decodeAreas(bytes: Buffer): DiskAreas {
  const data = readArea(bytes, at.dataOffset)
  if (!hasMembers(bytes)) return { intents: NO_AREA, checksums: NO_AREA, journal: NO_AREA, data }
  return {
    intents: readArea(bytes, at.intents),
    checksums: readArea(bytes, at.checksums),
    journal: readArea(bytes, at.journal),
    data,
  }
}

function hasMembers(bytes: Buffer): boolean {
  return bytes.readUInt32BE(at.version) >= 3
}

function decodeMembers(bytes: Buffer): MemberEntry[] {
  const count = bytes.readUInt32BE(at.memberCount)
  if (count < 1 || count > MEMBERS_MAX) throw corrupt(`member count ${count}`)
  if (!hasMembers(bytes)) {
    const arrayId = readUuid(bytes, at.arrayId)
    return Array.from({ length: count }, (_, number) => ({
      diskId: diskIdBeforeVersion3(arrayId, number),
      state: 'in-sync',
      since: 1,
    }))
  }
  if (HEADER_BYTES + count * MEMBER_BYTES > bytes.length) {
    throw corrupt('a member lies beyond its end')
  }
  return Array.from({ length: count }, (_, number) => {
    const start = HEADER_BYTES + number * MEMBER_BYTES
    return {
      diskId: readUuid(bytes, start + inMember.diskId),
      state: readNamed(bytes, start + inMember.state, 'member state', memberStateNumbers),
      since: readInteger(bytes, start + inMember.since),
    }
  })
}

/** Disks had no ids of their own: this is one that each member finds for all of them. */
function diskIdBeforeVersion3(arrayId: string, memberNumber: number): string {
  const id = Buffer.alloc(UUID_BYTES)
  writeUuid(id, arrayId, 0)
  id.writeUInt16BE(id.readUInt16BE(UUID_BYTES - 2) ^ memberNumber, UUID_BYTES - 2)
  return readUuid(id, 0)
}

function decodePartitions(bytes: Buffer, memberCount: number): PartitionEntry[] {
  const partitions: PartitionEntry[] = []
  let position = HEADER_BYTES + (hasMembers(bytes) ? memberCount * MEMBER_BYTES : 0)
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

function writeArea(bytes: Buffer, { offset, length }: DiskArea, position: number): void {
  writeInteger(bytes, offset, position)
  writeInteger(bytes, length, position + 8)
}

function readArea(bytes: Buffer, position: number): DiskArea {
  return { offset: readInteger(bytes, position), length: readInteger(bytes, position + 8) }
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
