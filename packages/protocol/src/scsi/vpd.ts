/**
 * Vital product data pages: 00h, 80h, 83h and 86h (SPC-4 section 7.8), B0h, B1h and B2h (SBC-3
 * section 6.5; atomic writes in B0h: SBC-4 section 6.6.4). Encoders return a whole page with its header; decoders take one.
 */
import { readAscii, writeAscii } from './ascii.ts'

export const VpdPage = {
  SupportedPages: 0x00,
  UnitSerialNumber: 0x80,
  DeviceIdentification: 0x83,
  ExtendedInquiry: 0x86,
  ThirdPartyCopy: 0x8f,
  BlockLimits: 0xb0,
  BlockDeviceCharacteristics: 0xb1,
  LogicalBlockProvisioning: 0xb2,
} as const
export type VpdPage = (typeof VpdPage)[keyof typeof VpdPage]

const HEADER_LENGTH = 4
const LONG_PAGE_LENGTH = HEADER_LENGTH + 0x3c

/** A zeroed page of `length` bytes, header included; peripheral device type 00h. */
function page(code: VpdPage, length: number): Buffer {
  const data = Buffer.alloc(length)
  data.writeUInt8(code, 1)
  data.writeUInt16BE(length - HEADER_LENGTH, 2)
  return data
}

/** Checks the header, and returns where the page ends within what was received. */
function pageEnd(data: Buffer, code: VpdPage, lengthMin: number): number {
  const found = data.length >= HEADER_LENGTH ? data.readUInt8(1) : undefined
  if (found !== code || data.length < lengthMin) {
    const got = found === undefined ? 'no page' : `page ${found.toString(16)}h`
    throw new RangeError(
      `VPD: got ${got} in ${data.length} bytes, want page ${code.toString(16)}h in at least ${lengthMin}`,
    )
  }
  return Math.min(data.length, HEADER_LENGTH + data.readUInt16BE(2))
}

export function encodeSupportedPages(pages: readonly number[]): Buffer {
  const data = page(VpdPage.SupportedPages, HEADER_LENGTH + pages.length)
  for (const [index, code] of pages.entries()) data.writeUInt8(code, HEADER_LENGTH + index)
  return data
}

export function decodeSupportedPages(data: Buffer): number[] {
  const end = pageEnd(data, VpdPage.SupportedPages, HEADER_LENGTH)
  return [...data.subarray(HEADER_LENGTH, end)]
}

export function encodeUnitSerialNumber(serialNumber: string): Buffer {
  const data = page(VpdPage.UnitSerialNumber, HEADER_LENGTH + serialNumber.length)
  writeAscii(data, HEADER_LENGTH, serialNumber.length, serialNumber)
  return data
}

export function decodeUnitSerialNumber(data: Buffer): string {
  const end = pageEnd(data, VpdPage.UnitSerialNumber, HEADER_LENGTH)
  return readAscii(data, HEADER_LENGTH, end - HEADER_LENGTH)
}

export const DesignatorType = {
  VendorSpecific: 0x0,
  T10VendorId: 0x1,
  Eui64: 0x2,
  Naa: 0x3,
  RelativeTargetPort: 0x4,
  TargetPortGroup: 0x5,
  ScsiNameString: 0x8,
} as const

export const CodeSet = { Binary: 1, Ascii: 2, Utf8: 3 } as const

/** What a designator names. */
export const Association = { LogicalUnit: 0, TargetPort: 1, TargetDevice: 2 } as const

/** One designation descriptor (SPC-4 section 7.8.5). */
export interface Designator {
  readonly type: number
  readonly codeSet: number
  readonly association: number
  /** At most 255 bytes; owned by whoever made it (a decoded one aliases the page). */
  readonly value: Buffer
}

const PROTOCOL_ISCSI = 0x5
const PIV = 0x80
const DESIGNATOR_HEADER_LENGTH = 4

/** A designator of a target port or device says that the protocol is iSCSI. */
export function encodeDeviceIdentification(designators: readonly Designator[]): Buffer {
  let length = HEADER_LENGTH
  for (const { value } of designators) length += DESIGNATOR_HEADER_LENGTH + value.length
  const data = page(VpdPage.DeviceIdentification, length)
  let at = HEADER_LENGTH
  for (const { type, codeSet, association, value } of designators) {
    const ofPort = association !== Association.LogicalUnit
    data.writeUInt8(((ofPort ? PROTOCOL_ISCSI : 0) << 4) | codeSet, at)
    data.writeUInt8((ofPort ? PIV : 0) | (association << 4) | type, at + 1)
    data.writeUInt8(value.length, at + 3)
    value.copy(data, at + DESIGNATOR_HEADER_LENGTH)
    at += DESIGNATOR_HEADER_LENGTH + value.length
  }
  return data
}

/** The designators that were received whole. */
export function decodeDeviceIdentification(data: Buffer): Designator[] {
  const end = pageEnd(data, VpdPage.DeviceIdentification, HEADER_LENGTH)
  const designators: Designator[] = []
  for (let at = HEADER_LENGTH; at + DESIGNATOR_HEADER_LENGTH <= end; ) {
    const next = at + DESIGNATOR_HEADER_LENGTH + data.readUInt8(at + 3)
    if (next > end) break
    const flags = data.readUInt8(at + 1)
    designators.push({
      type: flags & 0x0f,
      codeSet: data.readUInt8(at) & 0x0f,
      association: (flags >> 4) & 0x03,
      value: data.subarray(at + DESIGNATOR_HEADER_LENGTH, next),
    })
    at = next
  }
  return designators
}

/** Extended INQUIRY data; the fields that Platter has something to say in. */
export interface ExtendedInquiry {
  /** SIMPSUP, ORDSUP, HEADSUP: task attributes that are obeyed. */
  readonly simpleTasks: boolean
  readonly orderedTasks: boolean
  readonly headOfQueueTasks: boolean
  /** V_SUP: there is a volatile cache. */
  readonly volatileCache: boolean
}

export function encodeExtendedInquiry(inquiry: ExtendedInquiry): Buffer {
  const data = page(VpdPage.ExtendedInquiry, LONG_PAGE_LENGTH)
  data.writeUInt8(
    (inquiry.simpleTasks ? 0x01 : 0) |
      (inquiry.orderedTasks ? 0x02 : 0) |
      (inquiry.headOfQueueTasks ? 0x04 : 0),
    5,
  )
  data.writeUInt8(inquiry.volatileCache ? 0x01 : 0, 6)
  return data
}

export function decodeExtendedInquiry(data: Buffer): ExtendedInquiry {
  pageEnd(data, VpdPage.ExtendedInquiry, 8)
  const tasks = data.readUInt8(5)
  return {
    simpleTasks: (tasks & 0x01) !== 0,
    orderedTasks: (tasks & 0x02) !== 0,
    headOfQueueTasks: (tasks & 0x04) !== 0,
    volatileCache: (data.readUInt8(6) & 0x01) !== 0,
  }
}

/** Block limits; counts are in logical blocks, and 0 means not reported or not supported. */
export interface BlockLimits {
  /** WSNZ: WRITE SAME of 0 blocks is refused, and does not mean all up to the end. */
  readonly writeSameNonZero: boolean
  readonly compareAndWriteBlocksMax: number
  readonly optimalTransferGranularityBlocks: number
  readonly transferBlocksMax: number
  readonly optimalTransferBlocks: number
  readonly unmapBlocksMax: number
  readonly unmapDescriptorsMax: number
  readonly optimalUnmapGranularityBlocks: number
  readonly writeSameBlocksMax: number
  /** MAXIMUM ATOMIC TRANSFER LENGTH, for an ATOMIC BOUNDARY of 0. */
  readonly atomicBlocksMax: number
  /** What LBA and length of an atomic write must be multiples of; 0 for no requirement. */
  readonly atomicAlignmentBlocks: number
  readonly atomicGranularityBlocks: number
  /** MAXIMUM ATOMIC TRANSFER LENGTH WITH ATOMIC BOUNDARY, and MAXIMUM ATOMIC BOUNDARY SIZE. */
  readonly atomicBlocksMaxWithBoundary: number
  readonly atomicBoundaryMax: number
}

export function encodeBlockLimits(limits: BlockLimits): Buffer {
  const data = page(VpdPage.BlockLimits, LONG_PAGE_LENGTH)
  data.writeUInt8(limits.writeSameNonZero ? 0x01 : 0, 4)
  data.writeUInt8(limits.compareAndWriteBlocksMax, 5)
  data.writeUInt16BE(limits.optimalTransferGranularityBlocks, 6)
  data.writeUInt32BE(limits.transferBlocksMax, 8)
  data.writeUInt32BE(limits.optimalTransferBlocks, 12)
  data.writeUInt32BE(limits.unmapBlocksMax, 20)
  data.writeUInt32BE(limits.unmapDescriptorsMax, 24)
  data.writeUInt32BE(limits.optimalUnmapGranularityBlocks, 28)
  // UGAVALID, and the alignment is 0: the granularity counts from the first block.
  if (limits.optimalUnmapGranularityBlocks > 0) data.writeUInt8(0x80, 32)
  data.writeBigUInt64BE(BigInt(limits.writeSameBlocksMax), 36)
  data.writeUInt32BE(limits.atomicBlocksMax, 44)
  data.writeUInt32BE(limits.atomicAlignmentBlocks, 48)
  data.writeUInt32BE(limits.atomicGranularityBlocks, 52)
  data.writeUInt32BE(limits.atomicBlocksMaxWithBoundary, 56)
  data.writeUInt32BE(limits.atomicBoundaryMax, 60)
  return data
}

/** Accepts the 16 bytes of SBC-2 as well; what they lack is 0. */
export function decodeBlockLimits(data: Buffer): BlockLimits {
  const end = pageEnd(data, VpdPage.BlockLimits, 16)
  const uint32 = (at: number): number => (at + 4 <= end ? data.readUInt32BE(at) : 0)
  return {
    writeSameNonZero: (data.readUInt8(4) & 0x01) !== 0,
    compareAndWriteBlocksMax: data.readUInt8(5),
    optimalTransferGranularityBlocks: data.readUInt16BE(6),
    transferBlocksMax: data.readUInt32BE(8),
    optimalTransferBlocks: data.readUInt32BE(12),
    unmapBlocksMax: uint32(20),
    unmapDescriptorsMax: uint32(24),
    optimalUnmapGranularityBlocks: uint32(28),
    writeSameBlocksMax: end >= 44 ? Number(data.readBigUInt64BE(36)) : 0,
    atomicBlocksMax: uint32(44),
    atomicAlignmentBlocks: uint32(48),
    atomicGranularityBlocks: uint32(52),
    atomicBlocksMaxWithBoundary: uint32(56),
    atomicBoundaryMax: uint32(60),
  }
}

/** Medium rotation rates with a meaning of their own; others are revolutions per minute. */
export const RotationRate = { NotReported: 0, NonRotating: 1 } as const

/** WABEREQ 01b: after SANITIZE with BLOCK ERASE every block can be read. */
const BLOCKS_READ_AFTER_ERASE = 0x40

export function encodeBlockDeviceCharacteristics(rotationRate: number): Buffer {
  const data = page(VpdPage.BlockDeviceCharacteristics, LONG_PAGE_LENGTH)
  data.writeUInt16BE(rotationRate, 4)
  data.writeUInt8(BLOCKS_READ_AFTER_ERASE, 7)
  return data
}

/** The medium rotation rate. */
export function decodeBlockDeviceCharacteristics(data: Buffer): number {
  pageEnd(data, VpdPage.BlockDeviceCharacteristics, 6)
  return data.readUInt16BE(4)
}

export const ProvisioningType = { Full: 0, Resource: 1, Thin: 2 } as const

export interface LogicalBlockProvisioning {
  /** LBPU, LBPWS, LBPWS10: UNMAP, WRITE SAME(16) and WRITE SAME(10) can unmap. */
  readonly unmap: boolean
  readonly writeSame16: boolean
  readonly writeSame10: boolean
  /** LBPRZ: unmapped blocks read as zeros. */
  readonly readsZeros: boolean
  /** A ProvisioningType, or what a peer sent; Full also stands for not reported. */
  readonly provisioningType: number
}

export function encodeLogicalBlockProvisioning(provisioning: LogicalBlockProvisioning): Buffer {
  const data = page(VpdPage.LogicalBlockProvisioning, HEADER_LENGTH + 4)
  data.writeUInt8(
    (provisioning.unmap ? 0x80 : 0) |
      (provisioning.writeSame16 ? 0x40 : 0) |
      (provisioning.writeSame10 ? 0x20 : 0) |
      (provisioning.readsZeros ? 0x04 : 0),
    5,
  )
  data.writeUInt8(provisioning.provisioningType, 6)
  return data
}

export function decodeLogicalBlockProvisioning(data: Buffer): LogicalBlockProvisioning {
  pageEnd(data, VpdPage.LogicalBlockProvisioning, HEADER_LENGTH + 4)
  const flags = data.readUInt8(5)
  return {
    unmap: (flags & 0x80) !== 0,
    writeSame16: (flags & 0x40) !== 0,
    writeSame10: (flags & 0x20) !== 0,
    readsZeros: (flags & 0x1c) === 0x04,
    provisioningType: data.readUInt8(6) & 0x07,
  }
}
