/** READ CAPACITY(10) and (16) parameter data (SBC-3 sections 5.15 and 5.16). */
import { Opcode, ServiceActionIn } from './opcode.ts'

const LENGTH_10 = 8
const LENGTH_16 = 32
const LBA_MAX_10 = 0xffffffff
const LBPME = 0x8000
const LBPRZ = 0x4000

export interface Capacity10 {
  /** The LAST block's address, not their number; FFFFFFFFh says: ask READ CAPACITY(16). */
  readonly lastLba: number
  readonly blockSizeBytes: number
}

export interface Capacity16 {
  readonly lastLba: number
  readonly blockSizeBytes: number
  /** 2^n logical blocks make a physical one. */
  readonly physicalBlockExponent: number
  /** The first logical block that starts a physical one; 14 bits. */
  readonly lowestAlignedLba: number
  /** LBPME: blocks can be unmapped. */
  readonly provisioningManaged: boolean
  /** LBPRZ: unmapped blocks read as zeros. */
  readonly readsZeros: boolean
}

/** A last LBA that does not fit 32 bits becomes FFFFFFFFh. */
export function encodeCapacity10(capacity: Capacity10): Buffer {
  const data = Buffer.alloc(LENGTH_10)
  data.writeUInt32BE(Math.min(capacity.lastLba, LBA_MAX_10), 0)
  data.writeUInt32BE(capacity.blockSizeBytes, 4)
  return data
}

export function decodeCapacity10(data: Buffer): Capacity10 {
  want(data, LENGTH_10, 'READ CAPACITY(10)')
  return { lastLba: data.readUInt32BE(0), blockSizeBytes: data.readUInt32BE(4) }
}

export function encodeCapacity16(capacity: Capacity16): Buffer {
  const data = Buffer.alloc(LENGTH_16)
  data.writeBigUInt64BE(BigInt(capacity.lastLba), 0)
  data.writeUInt32BE(capacity.blockSizeBytes, 8)
  data.writeUInt8(capacity.physicalBlockExponent & 0x0f, 13)
  data.writeUInt16BE(
    (capacity.provisioningManaged ? LBPME : 0) |
      (capacity.readsZeros ? LBPRZ : 0) |
      (capacity.lowestAlignedLba & 0x3fff),
    14,
  )
  return data
}

/** Throws a RangeError for data cut below 16 bytes and for a capacity beyond 2^53 blocks. */
export function decodeCapacity16(data: Buffer): Capacity16 {
  want(data, 16, 'READ CAPACITY(16)')
  const lastLba = data.readBigUInt64BE(0)
  if (lastLba > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`READ CAPACITY(16) data: last LBA ${lastLba} is beyond 2^53`)
  }
  const flags = data.readUInt16BE(14)
  return {
    lastLba: Number(lastLba),
    blockSizeBytes: data.readUInt32BE(8),
    physicalBlockExponent: data.readUInt8(13) & 0x0f,
    lowestAlignedLba: flags & 0x3fff,
    provisioningManaged: (flags & LBPME) !== 0,
    readsZeros: (flags & LBPRZ) !== 0,
  }
}

function want(data: Buffer, length: number, what: string): void {
  if (data.length < length) {
    throw new RangeError(`${what} data: got ${data.length} bytes, want at least ${length}`)
  }
}

/** Writes a READ CAPACITY(10) CDB into the zeroed bytes at `cdb[position]`. */
export function encodeReadCapacity10Cdb(cdb: Buffer, position: number): void {
  cdb.writeUInt8(Opcode.ReadCapacity10, position)
}

/** Writes a READ CAPACITY(16) CDB into the zeroed bytes at `cdb[position]`. */
export function encodeReadCapacity16Cdb(
  cdb: Buffer,
  position: number,
  allocationLength = LENGTH_16,
): void {
  cdb.writeUInt8(Opcode.ServiceActionIn16, position)
  cdb.writeUInt8(ServiceActionIn.ReadCapacity16, position + 1)
  cdb.writeUInt32BE(allocationLength, position + 10)
}

/** The allocation length of a READ CAPACITY(16) CDB. */
export function decodeReadCapacity16Cdb(cdb: Buffer, position: number): number {
  return cdb.readUInt32BE(position + 10)
}
