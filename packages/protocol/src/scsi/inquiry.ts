/** INQUIRY: its CDB and the standard INQUIRY data (SPC-4 section 6.6). VPD pages are in vpd.ts. */
import { readAscii, writeAscii } from './ascii.ts'
import { Opcode } from './opcode.ts'

/** Byte 0 of INQUIRY data: peripheral qualifier and device type. */
export const Peripheral = {
  /** A direct access block device is connected. */
  DirectAccess: 0x00,
  /** No device at this LUN: qualifier 011b, type 1Fh. */
  Unsupported: 0x7f,
} as const

/** Version descriptors (SPC-4 table 188), without a claim to a revision. */
export const VersionDescriptor = {
  Sam5: 0x00a0,
  Spc4: 0x0460,
  Sbc3: 0x04c0,
} as const

export interface InquiryCdb {
  /** EVPD: a VPD page is asked for, not the standard data. */
  readonly vitalProductData: boolean
  readonly pageCode: number
  readonly allocationLength: number
}

export function decodeInquiryCdb(cdb: Buffer, position: number): InquiryCdb {
  return {
    vitalProductData: (cdb.readUInt8(position + 1) & 0x01) !== 0,
    pageCode: cdb.readUInt8(position + 2),
    allocationLength: cdb.readUInt16BE(position + 3),
  }
}

/** Writes an INQUIRY CDB into the zeroed bytes at `cdb[position]`. */
export function encodeInquiryCdb(cdb: Buffer, position: number, fields: InquiryCdb): void {
  cdb.writeUInt8(Opcode.Inquiry, position)
  cdb.writeUInt8(fields.vitalProductData ? 1 : 0, position + 1)
  cdb.writeUInt8(fields.pageCode, position + 2)
  cdb.writeUInt16BE(fields.allocationLength, position + 3)
}

export interface StandardInquiry {
  /** A Peripheral, or what a peer sent. */
  readonly peripheral: number
  /** VERSION: 06h is SPC-4. */
  readonly version: number
  /** TPGS 01b: REPORT TARGET PORT GROUPS tells of access states, which only the target changes. */
  readonly implicitAsymmetricAccess: boolean
  /** 3PC: EXTENDED COPY and its like are supported. */
  readonly thirdPartyCopy: boolean
  /** CMDQUE: commands may be queued. */
  readonly commandQueuing: boolean
  /** ASCII, at most 8, 16 and 4 characters; padded with spaces on the wire. */
  readonly vendor: string
  readonly product: string
  readonly revision: string
  /** At most 8. */
  readonly versionDescriptors: readonly number[]
}

const LENGTH = 96
const LENGTH_MIN = 36
const HIERARCHICAL_LUNS = 0x10
const RESPONSE_DATA_FORMAT = 0x02
const TPGS_IMPLICIT = 0x10
const THIRD_PARTY_COPY = 0x08
const CMDQUE = 0x02
const DESCRIPTORS_AT = 58
const DESCRIPTOR_COUNT = 8

export function encodeStandardInquiry(inquiry: StandardInquiry): Buffer {
  const data = Buffer.alloc(LENGTH)
  data.writeUInt8(inquiry.peripheral, 0)
  data.writeUInt8(inquiry.version, 2)
  data.writeUInt8(HIERARCHICAL_LUNS | RESPONSE_DATA_FORMAT, 3)
  data.writeUInt8(LENGTH - 5, 4)
  data.writeUInt8(
    (inquiry.implicitAsymmetricAccess ? TPGS_IMPLICIT : 0) |
      (inquiry.thirdPartyCopy ? THIRD_PARTY_COPY : 0),
    5,
  )
  data.writeUInt8(inquiry.commandQueuing ? CMDQUE : 0, 7)
  writeAscii(data, 8, 8, inquiry.vendor)
  writeAscii(data, 16, 16, inquiry.product)
  writeAscii(data, 32, 4, inquiry.revision)
  if (inquiry.versionDescriptors.length > DESCRIPTOR_COUNT) {
    throw new RangeError(
      `INQUIRY: got ${inquiry.versionDescriptors.length} version descriptors, want at most 8`,
    )
  }
  for (const [index, descriptor] of inquiry.versionDescriptors.entries()) {
    data.writeUInt16BE(descriptor, DESCRIPTORS_AT + 2 * index)
  }
  return data
}

export function decodeStandardInquiry(data: Buffer): StandardInquiry {
  if (data.length < LENGTH_MIN) {
    throw new RangeError(`INQUIRY data: got ${data.length} bytes, want at least ${LENGTH_MIN}`)
  }
  const versionDescriptors: number[] = []
  for (let index = 0; index < DESCRIPTOR_COUNT; index += 1) {
    const at = DESCRIPTORS_AT + 2 * index
    const descriptor = at + 2 <= data.length ? data.readUInt16BE(at) : 0
    if (descriptor !== 0) versionDescriptors.push(descriptor)
  }
  return {
    peripheral: data.readUInt8(0),
    version: data.readUInt8(2),
    implicitAsymmetricAccess: (data.readUInt8(5) & TPGS_IMPLICIT) !== 0,
    thirdPartyCopy: (data.readUInt8(5) & THIRD_PARTY_COPY) !== 0,
    commandQueuing: (data.readUInt8(7) & CMDQUE) !== 0,
    vendor: readAscii(data, 8, 8),
    product: readAscii(data, 16, 16),
    revision: readAscii(data, 32, 4),
    versionDescriptors,
  }
}
