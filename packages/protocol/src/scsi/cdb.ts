/**
 * CDBs of the commands that address blocks: READ, WRITE, VERIFY and SYNCHRONIZE CACHE in their 6,
 * 10, 12 and 16 byte forms (SBC-3 section 5), which share their layouts by length. Readers take
 * (cdb, position) and return numbers, so that nothing is made per command.
 *
 * An LBA is a number: one at or above 2^53 is rounded, but stays above any capacity a Volume can
 * have, so every comparison with a capacity is exact.
 */
import { cdbLength, Opcode } from './opcode.ts'

const TWO_32 = 0x1_0000_0000

/** Byte 1 of the READ and WRITE CDBs of 10, 12 and 16 bytes. */
export const TransferFlag = { Fua: 0x08, Dpo: 0x10, Protect: 0xe0 } as const

/** Byte 1 of the SYNCHRONIZE CACHE CDBs. */
export const SynchronizeCacheFlag = { Immediate: 0x02 } as const

/** Byte 1 of the VERIFY CDBs: BYTCHK is a number in bits 2-1. */
export const VerifyFlag = { BytchkMask: 0x06, BytchkShift: 1, Dpo: 0x10, Protect: 0xe0 } as const

export function readLba6(cdb: Buffer, position: number): number {
  return cdb.readUIntBE(position + 1, 3) & 0x1fffff
}

/** A transfer length of 0 means 256 blocks in the 6 byte CDBs (SBC-3 section 5.7). */
export function readTransferLength6(cdb: Buffer, position: number): number {
  return cdb.readUInt8(position + 4) || 256
}

export function readLba10(cdb: Buffer, position: number): number {
  return cdb.readUInt32BE(position + 2)
}

export function readTransferLength10(cdb: Buffer, position: number): number {
  return cdb.readUInt16BE(position + 7)
}

export function readLba12(cdb: Buffer, position: number): number {
  return cdb.readUInt32BE(position + 2)
}

export function readTransferLength12(cdb: Buffer, position: number): number {
  return cdb.readUInt32BE(position + 6)
}

export function readLba16(cdb: Buffer, position: number): number {
  return cdb.readUInt32BE(position + 2) * TWO_32 + cdb.readUInt32BE(position + 6)
}

export function readTransferLength16(cdb: Buffer, position: number): number {
  return cdb.readUInt32BE(position + 10)
}

/** COMPARE AND WRITE has room for 255 blocks only, in the last byte of the others' TRANSFER LENGTH. */
export function readCompareAndWriteBlockCount(cdb: Buffer, position: number): number {
  return cdb.readUInt8(position + 13)
}

/** WRITE ATOMIC(16) (SBC-4 section 5.48) has ATOMIC BOUNDARY before a shorter TRANSFER LENGTH than others. */
export function readAtomicBoundary(cdb: Buffer, position: number): number {
  return cdb.readUInt16BE(position + 10)
}

export function readAtomicTransferLength(cdb: Buffer, position: number): number {
  return cdb.readUInt16BE(position + 12)
}

/** Writes a WRITE ATOMIC(16) into the zeroed bytes at `cdb[position]`; `flags` is byte 1. */
export function encodeWriteAtomicCdb(
  cdb: Buffer,
  position: number,
  lba: number,
  blockCount: number,
  { flags = 0, boundary = 0 } = {},
): void {
  encodeBlockCdb(cdb, position, Opcode.WriteAtomic16, lba, blockCount, flags)
  cdb.writeUInt16BE(boundary, position + 10)
  cdb.writeUInt16BE(blockCount, position + 12)
}

/** The LBA of any block command, by the length its operation code implies. */
export function readLba(cdb: Buffer, position: number): number {
  switch (cdbLength(cdb.readUInt8(position))) {
    case 6:
      return readLba6(cdb, position)
    case 10:
      return readLba10(cdb, position)
    case 12:
      return readLba12(cdb, position)
    case 16:
      return readLba16(cdb, position)
    default:
      throw new RangeError(`operation code ${cdb[position]} has no fixed-length CDB`)
  }
}

/** The transfer or verification length of any block command but WRITE ATOMIC, likewise. */
export function readTransferLength(cdb: Buffer, position: number): number {
  switch (cdbLength(cdb.readUInt8(position))) {
    case 6:
      return readTransferLength6(cdb, position)
    case 10:
      return readTransferLength10(cdb, position)
    case 12:
      return readTransferLength12(cdb, position)
    case 16:
      return readTransferLength16(cdb, position)
    default:
      throw new RangeError(`operation code ${cdb[position]} has no fixed-length CDB`)
  }
}

/**
 * Writes the CDB of a block command into the zeroed bytes at `cdb[position]`, in the layout that
 * the operation code implies. `flags` is byte 1, for which the 6 byte CDBs have no room.
 */
export function encodeBlockCdb(
  cdb: Buffer,
  position: number,
  opcode: number,
  lba: number,
  blockCount: number,
  flags = 0,
): void {
  cdb.writeUInt8(opcode, position)
  switch (cdbLength(opcode)) {
    case 6:
      encodeBlockCdb6(cdb, position, lba, blockCount, flags)
      return
    case 10:
      cdb.writeUInt8(flags, position + 1)
      cdb.writeUInt32BE(lba, position + 2)
      cdb.writeUInt16BE(blockCount, position + 7)
      return
    case 12:
      cdb.writeUInt8(flags, position + 1)
      cdb.writeUInt32BE(lba, position + 2)
      cdb.writeUInt32BE(blockCount, position + 6)
      return
    case 16:
      cdb.writeUInt8(flags, position + 1)
      cdb.writeUInt32BE(Math.floor(lba / TWO_32), position + 2)
      cdb.writeUInt32BE(lba % TWO_32, position + 6)
      cdb.writeUInt32BE(blockCount, position + 10)
      return
    default:
      throw new RangeError(`operation code ${opcode} has no fixed-length CDB`)
  }
}

function encodeBlockCdb6(
  cdb: Buffer,
  position: number,
  lba: number,
  blockCount: number,
  flags: number,
): void {
  if (lba > 0x1fffff || blockCount < 1 || blockCount > 256 || flags !== 0) {
    throw new RangeError(
      `6 byte CDB: got LBA ${lba}, ${blockCount} blocks, flags ${flags}; want at most 1fffffh, 1 to 256, 0`,
    )
  }
  cdb.writeUIntBE(lba, position + 1, 3)
  cdb.writeUInt8(blockCount & 0xff, position + 4)
}
