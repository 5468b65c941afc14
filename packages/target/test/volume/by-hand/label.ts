// Reads the labels of versions 1 to 3 as docs/volume-format.md has them.

import { checksumHolds } from './crc32c.ts'

const KIB = 1024
const HEADER_LENGTH = 256
const SLOTS = [0, 512 * KIB] as const
const SLOT_LENGTH = 64 * KIB
const LEVELS = [0, 1, 5, 6, 10]
const LEAST_MEMBERS: Readonly<Record<number, number>> = { 0: 1, 1: 2, 5: 3, 6: 4, 10: 4 }
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

export interface Area {
  readonly offset: number
  readonly size: number
}

export interface MemberRecord {
  readonly diskId: string
  readonly state: 'in sync' | 'being rebuilt' | 'absent'
  readonly since: number
}

export interface Partition {
  readonly id: string
  readonly name: string
  readonly size: number
  readonly logicalBlockSize: number
  readonly physicalBlockSize: number
  readonly extents: readonly { readonly startRow: number; readonly rowCount: number }[]
}

export interface Label {
  readonly version: number
  readonly generation: number
  readonly arrayId: string
  readonly arrayName: string
  readonly level: number
  readonly memberNumber: number
  readonly chunkSize: number
  readonly dataOffset: number
  readonly dataSize: number
  readonly state: 'ready' | 'being made' | 'destroyed'
  readonly regionSize: number
  readonly bitmap: Area
  readonly checksums: Area
  readonly rowJournal: Area
  readonly members: readonly MemberRecord[]
  readonly partitions: readonly Partition[]
  /** What all members' labels of one generation have in common: all but number and checksum. */
  readonly description: Buffer
}

/** The newest of the two labels of a disk, or undefined if neither counts. */
export function labelOf(disk: Buffer): Label | undefined {
  const labels = SLOTS.map((at, slot) => {
    const label = decodeLabel(disk.subarray(at, at + SLOT_LENGTH))
    return label !== undefined && label.generation % 2 === slot ? label : undefined
  })
  return labels
    .filter((label) => label !== undefined)
    .sort((a, b) => b.generation - a.generation)[0]
}

function decodeLabel(slot: Buffer): Label | undefined {
  if (slot.length < SLOT_LENGTH || slot.toString('latin1', 0, 8) !== 'PLATTER\0') return undefined
  const length = slot.readUInt32BE(12)
  if (length < HEADER_LENGTH || length > SLOT_LENGTH) return undefined
  const bytes = slot.subarray(0, length)
  if (!checksumHolds(bytes, 16)) return undefined
  const version = bytes.readUInt32BE(8)
  if (version > 3) throw new Error(`Label version ${version} is not known`)
  try {
    return decodeFields(bytes, version)
  } catch {
    return undefined
  }
}

/** @throws Error when a field is out of range, RangeError when a record is beyond the end. */
function decodeFields(bytes: Buffer, version: number): Label {
  const memberCount = bytes.readUInt32BE(116)
  const arrayId = bytes.toString('hex', 32, 48)
  const old = version < 3
  const area = (at: number): Area =>
    old ? { offset: 0, size: 0 } : { offset: number64(bytes, at), size: number64(bytes, at + 8) }
  const description = Buffer.from(bytes)
  description.fill(0, 16, 20).fill(0, 120, 124)
  const label: Label = {
    version,
    generation: number64(bytes, 24),
    arrayId,
    arrayName: nameAt(bytes, 48),
    level: bytes.readUInt32BE(112),
    memberNumber: bytes.readUInt32BE(120),
    chunkSize: bytes.readUInt32BE(124),
    dataOffset: number64(bytes, 128),
    dataSize: number64(bytes, 136),
    state: oneOf(['ready', 'being made', 'destroyed'] as const, bytes.readUInt32BE(148)),
    regionSize: old ? 0 : bytes.readUInt32BE(152),
    bitmap: area(160),
    checksums: area(176),
    rowJournal: area(192),
    members: old ? oldMembers(arrayId, memberCount) : memberRecords(bytes, memberCount),
    partitions: partitionRecords(bytes, version, HEADER_LENGTH + (old ? 0 : 32 * memberCount)),
    description,
  }
  checkRanges(label)
  return label
}

function checkRanges(label: Label): void {
  const { level, chunkSize, members } = label
  check(LEVELS.includes(level) && (label.version === 3 || level === 0))
  check(members.length >= (LEAST_MEMBERS[level] as number) && members.length <= 256)
  check(level !== 10 || members.length % 2 === 0)
  check(label.generation >= 1 && label.memberNumber < members.length)
  check(chunkSize >= 4096 && chunkSize <= 2 ** 24 && Number.isInteger(Math.log2(chunkSize)))
  check(label.dataOffset % 4096 === 0 && label.dataSize % chunkSize === 0)
  const taken = new Set<number>()
  for (const { size, logicalBlockSize, physicalBlockSize, extents } of label.partitions) {
    check([512, 4096].includes(logicalBlockSize) && [512, 4096].includes(physicalBlockSize))
    check(physicalBlockSize >= logicalBlockSize && size % physicalBlockSize === 0)
    let rows = 0
    for (const { startRow, rowCount } of extents) {
      check(rowCount >= 1 && (startRow + rowCount) * chunkSize <= label.dataSize)
      for (let row = startRow; row < startRow + rowCount; row++) {
        check(!taken.has(row))
        taken.add(row)
      }
      rows += rowCount
    }
    check(size <= rows * chunkSize * dataChunksPerRow(level, members.length))
  }
}

/** How many chunks of a row are the array's. */
export function dataChunksPerRow(level: number, memberCount: number): number {
  if (level === 1) return 1
  if (level === 10) return memberCount / 2
  return memberCount - parityCount(level)
}

export function parityCount(level: number): number {
  if (level === 5) return 1
  return level === 6 ? 2 : 0
}

function memberRecords(bytes: Buffer, count: number): MemberRecord[] {
  return Array.from({ length: count }, (_, number) => {
    const at = HEADER_LENGTH + 32 * number
    return {
      diskId: bytes.toString('hex', at, at + 16),
      state: oneOf(['in sync', 'being rebuilt', 'absent'] as const, bytes.readUInt32BE(at + 16)),
      since: number64(bytes, at + 24),
    }
  })
}

function oldMembers(arrayId: string, count: number): MemberRecord[] {
  return Array.from({ length: count }, (_, number) => {
    const id = Buffer.from(arrayId, 'hex')
    id.writeUInt16BE(id.readUInt16BE(14) ^ number, 14)
    return { diskId: id.toString('hex'), state: 'in sync', since: 1 }
  })
}

function partitionRecords(bytes: Buffer, version: number, start: number): Partition[] {
  let at = start
  return Array.from({ length: bytes.readUInt32BE(144) }, () => {
    const record = bytes.subarray(at)
    const extentCount = record.readUInt32BE(92)
    at += 128 + 16 * extentCount
    return {
      id: record.toString('hex', 0, 16),
      name: nameAt(record, 16),
      size: number64(record, 80),
      logicalBlockSize: record.readUInt32BE(88),
      physicalBlockSize: record.readUInt32BE(version === 1 ? 88 : 96),
      extents: Array.from({ length: extentCount }, (_, n) => ({
        startRow: number64(record, 128 + 16 * n),
        rowCount: number64(record, 136 + 16 * n),
      })),
    }
  })
}

function nameAt(bytes: Buffer, at: number): string {
  const name = bytes.toString('latin1', at, at + 64).replace(/\0+$/, '')
  check(NAME.test(name))
  return name
}

export function number64(bytes: Buffer, at: number): number {
  const value = Number(bytes.readBigUInt64BE(at))
  check(Number.isSafeInteger(value))
  return value
}

function oneOf<T>(values: readonly T[], index: number): T {
  const value = values[index]
  if (value === undefined) throw new Error('Out of range')
  return value
}

function check(holds: boolean): void {
  if (!holds) throw new Error('Out of range')
}
