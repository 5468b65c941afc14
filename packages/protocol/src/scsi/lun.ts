/**
 * Logical unit numbers (SAM-5 section 4.7) and REPORT LUNS (SPC-4 section 6.33). Platter numbers
 * its units with plain numbers up to 16383, which the single-level formats can hold.
 */
import { Opcode } from './opcode.ts'

/** Bytes of a LUN. */
export const LUN_LENGTH = 8
/** The highest number a single-level LUN can hold: flat space addressing has 14 bits. */
export const LUN_MAX = 0x3fff

const FLAT_SPACE = 0x40
const ADDRESS_METHOD = 0xc0
const PERIPHERAL_LUN_MAX = 0xff

/**
 * The number of the single-level LUN at `buffer[position]`, in peripheral device addressing (bus 0)
 * or in flat space addressing; -1 for every other LUN, among them the well-known ones.
 */
export function decodeLun(buffer: Buffer, position: number): number {
  const first = buffer.readUInt16BE(position)
  if (buffer.readUInt16BE(position + 2) !== 0 || buffer.readUInt32BE(position + 4) !== 0) return -1
  if (first <= PERIPHERAL_LUN_MAX) return first
  if (((first >> 8) & ADDRESS_METHOD) === FLAT_SPACE) return first & LUN_MAX
  return -1
}

/** Writes `lun` into the eight bytes at `buffer[position]`. */
export function encodeLun(buffer: Buffer, position: number, lun: number): void {
  if (!Number.isInteger(lun) || lun < 0 || lun > LUN_MAX) {
    throw new RangeError(`LUN must be 0 to ${LUN_MAX}, got ${lun}`)
  }
  const first = lun <= PERIPHERAL_LUN_MAX ? lun : (FLAT_SPACE << 8) | lun
  buffer.writeUInt16BE(first, position)
  buffer.fill(0, position + 2, position + LUN_LENGTH)
}

/** Which logical units REPORT LUNS is to list. */
export const SelectReport = { Addressable: 0, WellKnownOnly: 1, All: 2 } as const

export interface ReportLunsCdb {
  readonly selectReport: number
  readonly allocationLength: number
}

export function decodeReportLunsCdb(cdb: Buffer, position: number): ReportLunsCdb {
  return {
    selectReport: cdb.readUInt8(position + 2),
    allocationLength: cdb.readUInt32BE(position + 6),
  }
}

/** Writes a REPORT LUNS CDB into the zeroed bytes at `cdb[position]`. */
export function encodeReportLunsCdb(cdb: Buffer, position: number, fields: ReportLunsCdb): void {
  cdb.writeUInt8(Opcode.ReportLuns, position)
  cdb.writeUInt8(fields.selectReport, position + 2)
  cdb.writeUInt32BE(fields.allocationLength, position + 6)
}

const LIST_HEADER_LENGTH = 8

/** REPORT LUNS parameter data that list `luns`, in the order given. */
export function encodeLunList(luns: readonly number[]): Buffer {
  const data = Buffer.alloc(LIST_HEADER_LENGTH + luns.length * LUN_LENGTH)
  data.writeUInt32BE(luns.length * LUN_LENGTH, 0)
  for (const [index, lun] of luns.entries()) {
    encodeLun(data, LIST_HEADER_LENGTH + index * LUN_LENGTH, lun)
  }
  return data
}

export interface LunList {
  /** The single-level LUNs among those received. */
  readonly luns: readonly number[]
  /** Bytes that the whole parameter data need: more than were received if they were cut. */
  readonly length: number
}

export function decodeLunList(data: Buffer): LunList {
  if (data.length < LIST_HEADER_LENGTH) {
    throw new RangeError(`REPORT LUNS data: got ${data.length} bytes, want at least 8`)
  }
  const length = LIST_HEADER_LENGTH + data.readUInt32BE(0)
  const end = Math.min(length, data.length)
  const luns: number[] = []
  for (let at = LIST_HEADER_LENGTH; at + LUN_LENGTH <= end; at += LUN_LENGTH) {
    const lun = decodeLun(data, at)
    if (lun >= 0) luns.push(lun)
  }
  return { luns, length }
}
