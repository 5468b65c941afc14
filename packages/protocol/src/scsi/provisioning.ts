/**
 * Commands of thin provisioning: the flags of WRITE SAME, and the parameter data of UNMAP and GET LBA
 * STATUS (SBC-3 sections 5.5, 5.28, 5.43 and 5.44). As in cdb.ts, an LBA above 2^53 comes rounded.
 */
import { Opcode, ServiceActionIn } from './opcode.ts'

const TWO_32 = 0x1_0000_0000

/** Byte 1 of the UNMAP CDB. */
export const UnmapFlag = { Anchor: 0x01 } as const

/** Byte 1 of the WRITE SAME CDBs; NDOB is in that of 16 bytes only. */
export const WriteSameFlag = {
  NoDataOut: 0x01,
  Obsolete: 0x06,
  Unmap: 0x08,
  Anchor: 0x10,
  Protect: 0xe0,
} as const

/** Bytes before the descriptors of an UNMAP parameter list. */
export const UNMAP_HEADER_LENGTH = 8
export const UNMAP_DESCRIPTOR_LENGTH = 16

/** A range of blocks, as an UNMAP descriptor names it. */
export interface BlockRange {
  readonly lba: number
  readonly blockCount: number
}

/** The whole parameter list, header included. */
export function encodeUnmapParameters(ranges: readonly BlockRange[]): Buffer {
  const data = Buffer.alloc(UNMAP_HEADER_LENGTH + ranges.length * UNMAP_DESCRIPTOR_LENGTH)
  data.writeUInt16BE(data.length - 2, 0)
  data.writeUInt16BE(data.length - UNMAP_HEADER_LENGTH, 2)
  for (const [index, { lba, blockCount }] of ranges.entries()) {
    const at = UNMAP_HEADER_LENGTH + index * UNMAP_DESCRIPTOR_LENGTH
    data.writeUInt32BE(Math.floor(lba / TWO_32), at)
    data.writeUInt32BE(lba % TWO_32, at + 4)
    data.writeUInt32BE(blockCount, at + 8)
  }
  return data
}

/**
 * The ranges of a parameter list; a last descriptor that is not whole by its own length is left out,
 * as the standard wants. Undefined when the lengths contradict each other, or the list is cut.
 */
export function decodeUnmapParameters(data: Buffer): BlockRange[] | undefined {
  if (data.length < UNMAP_HEADER_LENGTH) return undefined
  const descriptorsLength = data.readUInt16BE(2)
  const end = UNMAP_HEADER_LENGTH + descriptorsLength
  const listEnd = 2 + data.readUInt16BE(0)
  if (end > listEnd || listEnd > data.length) return undefined
  const ranges: BlockRange[] = []
  for (
    let at = UNMAP_HEADER_LENGTH;
    at + UNMAP_DESCRIPTOR_LENGTH <= end;
    at += UNMAP_DESCRIPTOR_LENGTH
  ) {
    ranges.push({
      lba: data.readUInt32BE(at) * TWO_32 + data.readUInt32BE(at + 4),
      blockCount: data.readUInt32BE(at + 8),
    })
  }
  return ranges
}

/** Writes an UNMAP CDB into the zeroed bytes at `cdb[position]`. */
export function encodeUnmapCdb(
  cdb: Buffer,
  position: number,
  parameterListLength: number,
  flags = 0,
): void {
  cdb.writeUInt8(Opcode.Unmap, position)
  cdb.writeUInt8(flags, position + 1)
  cdb.writeUInt16BE(parameterListLength, position + 7)
}

/** The parameter list length of an UNMAP CDB. */
export function readUnmapListLength(cdb: Buffer, position: number): number {
  return cdb.readUInt16BE(position + 7)
}

export const ProvisioningStatus = { Mapped: 0, Deallocated: 1, Anchored: 2 } as const

/** What GET LBA STATUS says of a run of blocks. */
export interface LbaStatus extends BlockRange {
  /** A ProvisioningStatus, or what a peer sent. */
  readonly provisioningStatus: number
}

export const LBA_STATUS_HEADER_LENGTH = 8
export const LBA_STATUS_DESCRIPTOR_LENGTH = 16

export function encodeLbaStatuses(statuses: readonly LbaStatus[]): Buffer {
  const length = LBA_STATUS_HEADER_LENGTH + statuses.length * LBA_STATUS_DESCRIPTOR_LENGTH
  const data = Buffer.alloc(length)
  data.writeUInt32BE(length - 4, 0)
  for (const [index, { lba, blockCount, provisioningStatus }] of statuses.entries()) {
    const at = LBA_STATUS_HEADER_LENGTH + index * LBA_STATUS_DESCRIPTOR_LENGTH
    data.writeUInt32BE(Math.floor(lba / TWO_32), at)
    data.writeUInt32BE(lba % TWO_32, at + 4)
    data.writeUInt32BE(blockCount, at + 8)
    data.writeUInt8(provisioningStatus, at + 12)
  }
  return data
}

/** The descriptors that were received whole. Throws a RangeError without a header. */
export function decodeLbaStatuses(data: Buffer): LbaStatus[] {
  if (data.length < LBA_STATUS_HEADER_LENGTH) {
    throw new RangeError(`GET LBA STATUS data: got ${data.length} bytes, want at least 8`)
  }
  const end = Math.min(data.length, 4 + data.readUInt32BE(0))
  const statuses: LbaStatus[] = []
  for (
    let at = LBA_STATUS_HEADER_LENGTH;
    at + LBA_STATUS_DESCRIPTOR_LENGTH <= end;
    at += LBA_STATUS_DESCRIPTOR_LENGTH
  ) {
    statuses.push({
      lba: data.readUInt32BE(at) * TWO_32 + data.readUInt32BE(at + 4),
      blockCount: data.readUInt32BE(at + 8),
      provisioningStatus: data.readUInt8(at + 12) & 0x0f,
    })
  }
  return statuses
}

/** Writes a GET LBA STATUS CDB into the zeroed bytes at `cdb[position]`; its LBA is read by `readLba16`. */
export function encodeGetLbaStatusCdb(
  cdb: Buffer,
  position: number,
  lba: number,
  allocationLength: number,
): void {
  cdb.writeUInt8(Opcode.ServiceActionIn16, position)
  cdb.writeUInt8(ServiceActionIn.GetLbaStatus, position + 1)
  cdb.writeUInt32BE(Math.floor(lba / TWO_32), position + 2)
  cdb.writeUInt32BE(lba % TWO_32, position + 6)
  cdb.writeUInt32BE(allocationLength, position + 10)
}

/** The allocation length of a GET LBA STATUS CDB. */
export function readGetLbaStatusAllocationLength(cdb: Buffer, position: number): number {
  return cdb.readUInt32BE(position + 10)
}
