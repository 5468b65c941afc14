/**
 * EXTENDED COPY(LID1) and RECEIVE COPY RESULTS(LID1) (SPC-4 sections 6.4, 6.18, 6.20): parameter list,
 * descriptors, and what is answered. Identification descriptors and block to block segments only.
 */
import { Opcode } from './opcode.ts'
import { VpdPage } from './vpd.ts'

/** Service actions of RECEIVE COPY RESULTS. */
export const CopyResults = { CopyStatus: 0x00, OperatingParameters: 0x03 } as const

export const CopyDescriptor = { BlockToBlock: 0x02, Identification: 0xe4 } as const

/** The LIST ID USAGE field. */
export const ListIdUsage = { Hold: 0, Reserved: 1, Discard: 2, None: 3 } as const

export const COPY_HEADER_LENGTH = 16
export const IDENTIFICATION_DESCRIPTOR_LENGTH = 32
export const BLOCK_SEGMENT_LENGTH = 28

/** The parameter list length of an EXTENDED COPY, or the allocation length of a RECEIVE COPY RESULTS. */
export function readCopyLength(cdb: Buffer, position: number): number {
  return cdb.readUInt32BE(position + 10)
}

/** The list identifier that a RECEIVE COPY RESULTS asks about. */
export function readCopyListId(cdb: Buffer, position: number): number {
  return cdb.readUInt8(position + 2)
}

/** Writes an EXTENDED COPY(LID1) CDB into the zeroed bytes at `cdb[position]`. */
export function encodeExtendedCopyCdb(
  cdb: Buffer,
  position: number,
  parameterListLength: number,
): void {
  cdb.writeUInt8(Opcode.ExtendedCopy, position)
  cdb.writeUInt32BE(parameterListLength, position + 10)
}

/** Writes a RECEIVE COPY RESULTS CDB into the zeroed bytes at `cdb[position]`. */
export function encodeReceiveCopyResultsCdb(
  cdb: Buffer,
  position: number,
  fields: { serviceAction: number; listId: number; allocationLength: number },
): void {
  cdb.writeUInt8(Opcode.ReceiveCopyResults, position)
  cdb.writeUInt8(fields.serviceAction, position + 1)
  cdb.writeUInt8(fields.listId, position + 2)
  cdb.writeUInt32BE(fields.allocationLength, position + 10)
}

export interface CopyHeader {
  readonly listId: number
  /** A ListIdUsage. */
  readonly listIdUsage: number
  readonly targetDescriptorsLength: number
  readonly segmentDescriptorsLength: number
  readonly inlineDataLength: number
}

/** `list` has COPY_HEADER_LENGTH bytes at least. */
export function decodeCopyHeader(list: Buffer): CopyHeader {
  return {
    listId: list.readUInt8(0),
    listIdUsage: (list.readUInt8(1) >> 3) & 0x03,
    targetDescriptorsLength: list.readUInt16BE(2),
    segmentDescriptorsLength: list.readUInt32BE(8),
    inlineDataLength: list.readUInt32BE(12),
  }
}

/** An identification descriptor: a copy source or destination by one of its designators. */
export interface CopyTarget {
  /** NUL: a descriptor that stands for nothing. */
  readonly isNull: boolean
  /** A peripheral device type; 0 is a direct access block device. */
  readonly peripheralDeviceType: number
  readonly codeSet: number
  readonly association: number
  readonly designatorType: number
  /** Aliases the list. */
  readonly designator: Buffer
  /** DISK BLOCK LENGTH: the logical block length that the initiator has in mind. */
  readonly blockSizeBytes: number
}

/** Reads an identification descriptor at `list[at]`, which has all of it. LU ID TYPE means nothing in it. */
export function decodeCopyTarget(list: Buffer, at: number): CopyTarget {
  const type = list.readUInt8(at + 1)
  const designator = list.readUInt8(at + 5)
  const length = Math.min(list.readUInt8(at + 7), 20)
  return {
    isNull: (type & 0x20) !== 0,
    peripheralDeviceType: type & 0x1f,
    codeSet: list.readUInt8(at + 4) & 0x0f,
    association: (designator >> 4) & 0x03,
    designatorType: designator & 0x0f,
    designator: list.subarray(at + 8, at + 8 + length),
    blockSizeBytes: list.readUIntBE(at + 29, 3),
  }
}

/** A block to block segment descriptor; LBAs from 2^53 on are rounded, and beyond any unit all the same. */
export interface CopySegment {
  /** DC: NUMBER OF BLOCKS counts the destination's blocks, not the source's. */
  readonly countsDestination: boolean
  readonly source: number
  readonly destination: number
  readonly blockCount: number
  readonly sourceLba: number
  readonly destinationLba: number
}

/** Reads a block to block segment descriptor at `list[at]`, which has all of it. */
export function decodeCopySegment(list: Buffer, at: number): CopySegment {
  return {
    countsDestination: (list.readUInt8(at + 1) & 0x02) !== 0,
    source: list.readUInt16BE(at + 4),
    destination: list.readUInt16BE(at + 6),
    blockCount: list.readUInt16BE(at + 10),
    sourceLba: Number(list.readBigUInt64BE(at + 12)),
    destinationLba: Number(list.readBigUInt64BE(at + 20)),
  }
}

/** The whole list of EXTENDED COPY: header, target descriptors, segment descriptors. */
export function encodeCopyList(
  header: { readonly listId: number; readonly listIdUsage: number },
  targets: readonly CopyTarget[],
  segments: readonly CopySegment[],
): Buffer {
  const targetsLength = targets.length * IDENTIFICATION_DESCRIPTOR_LENGTH
  const segmentsLength = segments.length * BLOCK_SEGMENT_LENGTH
  const list = Buffer.alloc(COPY_HEADER_LENGTH + targetsLength + segmentsLength)
  list.writeUInt8(header.listId, 0)
  list.writeUInt8(header.listIdUsage << 3, 1)
  list.writeUInt16BE(targetsLength, 2)
  list.writeUInt32BE(segmentsLength, 8)
  let at = COPY_HEADER_LENGTH
  for (const target of targets) {
    list.writeUInt8(CopyDescriptor.Identification, at)
    const nul = target.isNull ? 0x20 : 0
    list.writeUInt8(nul | target.peripheralDeviceType, at + 1)
    list.writeUInt8(target.codeSet, at + 4)
    list.writeUInt8((target.association << 4) | target.designatorType, at + 5)
    list.writeUInt8(target.designator.length, at + 7)
    target.designator.copy(list, at + 8)
    list.writeUIntBE(target.blockSizeBytes, at + 29, 3)
    at += IDENTIFICATION_DESCRIPTOR_LENGTH
  }
  for (const segment of segments) {
    list.writeUInt8(CopyDescriptor.BlockToBlock, at)
    list.writeUInt8(segment.countsDestination ? 0x02 : 0, at + 1)
    list.writeUInt16BE(BLOCK_SEGMENT_LENGTH - 4, at + 2)
    list.writeUInt16BE(segment.source, at + 4)
    list.writeUInt16BE(segment.destination, at + 6)
    list.writeUInt16BE(segment.blockCount, at + 10)
    list.writeBigUInt64BE(BigInt(segment.sourceLba), at + 12)
    list.writeBigUInt64BE(BigInt(segment.destinationLba), at + 20)
    at += BLOCK_SEGMENT_LENGTH
  }
  return list
}

export const CopyState = { InProgress: 0, Completed: 1, Failed: 2 } as const

export interface CopyStatus {
  /** A CopyState. */
  readonly state: number
  readonly segmentsProcessed: number
  /** In bytes. */
  readonly transferCount: number
}

const COUNTS_KIBIBYTES = 1

/** TRANSFER COUNT is in KiB, rounded down. */
export function encodeCopyStatus(status: CopyStatus): Buffer {
  const data = Buffer.alloc(12)
  data.writeUInt32BE(data.length - 4, 0)
  data.writeUInt8(status.state, 4)
  data.writeUInt16BE(Math.min(status.segmentsProcessed, 0xffff), 5)
  data.writeUInt8(COUNTS_KIBIBYTES, 7)
  data.writeUInt32BE(Math.min(Math.floor(status.transferCount / 1024), 0xffffffff), 8)
  return data
}

export interface CopyLimits {
  readonly targetDescriptorsMax: number
  readonly segmentDescriptorsMax: number
  /** Bytes of all descriptors together. */
  readonly descriptorsLengthMax: number
  readonly concurrentCopiesMax: number
}

/** Every log2 granularity is that of 512 bytes; there is no inline and no held data. */
export function encodeCopyOperatingParameters(limits: CopyLimits): Buffer {
  const descriptors = Object.values(CopyDescriptor)
  const data = Buffer.alloc(44 + descriptors.length)
  data.writeUInt32BE(data.length - 4, 0)
  // SNLID: a list without identifier is taken.
  data.writeUInt8(1, 4)
  data.writeUInt16BE(limits.targetDescriptorsMax, 8)
  data.writeUInt16BE(limits.segmentDescriptorsMax, 10)
  data.writeUInt32BE(limits.descriptorsLengthMax, 12)
  data.writeUInt16BE(limits.concurrentCopiesMax, 34)
  data.writeUInt8(limits.concurrentCopiesMax, 36)
  data.writeUInt8(9, 37)
  data.writeUInt8(descriptors.length, 43)
  data.set(descriptors, 44)
  return data
}

/** A third-party copy command, and those of its service actions that are supported. */
export interface CopyCommand {
  readonly opcode: number
  readonly serviceActions: readonly number[]
}

const ThirdPartyDescriptor = {
  SupportedCommands: 0x0001,
  ParameterData: 0x0004,
  SupportedDescriptors: 0x0008,
  SupportedTargetIds: 0x000c,
  GeneralCopyOperations: 0x8001,
} as const

/** VPD page 8Fh, Third-party Copy, with the descriptors that EXTENDED COPY asks for (SPC-4 section 7.8.17). */
export function encodeThirdPartyCopy(limits: CopyLimits, commands: readonly CopyCommand[]): Buffer {
  const supported = commands.flatMap(({ opcode, serviceActions }) => [
    opcode,
    serviceActions.length,
    ...serviceActions,
  ])
  const descriptors = Object.values(CopyDescriptor)
  const parameters = Buffer.alloc(28)
  parameters.writeUInt16BE(limits.targetDescriptorsMax, 4)
  parameters.writeUInt16BE(limits.segmentDescriptorsMax, 6)
  parameters.writeUInt32BE(limits.descriptorsLengthMax, 8)
  const general = Buffer.alloc(32)
  general.writeUInt32BE(limits.concurrentCopiesMax, 0)
  general.writeUInt32BE(limits.concurrentCopiesMax, 4)
  general.writeUInt8(9, 12)
  const page = Buffer.concat([
    Buffer.from([0, VpdPage.ThirdPartyCopy, 0, 0]),
    thirdPartyDescriptor(
      ThirdPartyDescriptor.SupportedCommands,
      Buffer.from([supported.length, ...supported]),
    ),
    thirdPartyDescriptor(ThirdPartyDescriptor.ParameterData, parameters),
    thirdPartyDescriptor(
      ThirdPartyDescriptor.SupportedDescriptors,
      Buffer.from([descriptors.length, ...descriptors]),
    ),
    // None but the numbers of the descriptors in the list.
    thirdPartyDescriptor(ThirdPartyDescriptor.SupportedTargetIds, Buffer.alloc(2)),
    thirdPartyDescriptor(ThirdPartyDescriptor.GeneralCopyOperations, general),
  ])
  page.writeUInt16BE(page.length - 4, 2)
  return page
}

/** Padded so that the next begins at a multiple of four bytes. */
function thirdPartyDescriptor(type: number, content: Buffer): Buffer {
  const data = Buffer.alloc(4 + Math.ceil(content.length / 4) * 4)
  data.writeUInt16BE(type, 0)
  data.writeUInt16BE(data.length - 4, 2)
  content.copy(data, 4)
  return data
}
