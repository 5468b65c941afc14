/** MODE SELECT(6) and (10): their CDBs and parameter lists (SPC-4 sections 6.11, 6.12 and 7.5). */
import { type BlockDescriptor, decodeBlockDescriptor } from './mode-page.ts'
import { Opcode } from './opcode.ts'

export interface ModeSelectCdb {
  /** PF: the pages are those of the standard. */
  readonly pageFormat: boolean
  /** SP: save them as well. */
  readonly savePages: boolean
  readonly parameterListLength: number
}

/** Reads a MODE SELECT(6) or (10) CDB, by its operation code. */
export function decodeModeSelectCdb(cdb: Buffer, position: number): ModeSelectCdb {
  const ten = cdb.readUInt8(position) === Opcode.ModeSelect10
  const flags = cdb.readUInt8(position + 1)
  return {
    pageFormat: (flags & 0x10) !== 0,
    savePages: (flags & 0x01) !== 0,
    parameterListLength: ten ? cdb.readUInt16BE(position + 7) : cdb.readUInt8(position + 4),
  }
}

/** Writes a MODE SELECT(6) or (10) CDB into the zeroed bytes at `cdb[position]`. */
export function encodeModeSelectCdb(
  cdb: Buffer,
  position: number,
  opcode: typeof Opcode.ModeSelect6 | typeof Opcode.ModeSelect10,
  fields: ModeSelectCdb,
): void {
  cdb.writeUInt8(opcode, position)
  cdb.writeUInt8((fields.pageFormat ? 0x10 : 0) | (fields.savePages ? 0x01 : 0), position + 1)
  if (opcode === Opcode.ModeSelect10) cdb.writeUInt16BE(fields.parameterListLength, position + 7)
  else cdb.writeUInt8(fields.parameterListLength, position + 4)
}

export interface ModeSelectList {
  /** Null when the list has one of a length that there is not. */
  readonly blockDescriptor?: BlockDescriptor | null
  /** Whole pages with their headers, aliasing the data. */
  readonly pages: readonly Buffer[]
}

const HEADER_LENGTH = { six: 4, ten: 8 } as const
const SUBPAGE_FORMAT = 0x40

/** The list of a MODE SELECT(10), or (6); undefined when something of it is cut. */
export function decodeModeSelectList(data: Buffer, ten: boolean): ModeSelectList | undefined {
  const headerLength = ten ? HEADER_LENGTH.ten : HEADER_LENGTH.six
  if (data.length < headerLength) return undefined
  const long = ten && (data.readUInt8(4) & 0x01) !== 0
  const descriptorLength = ten ? data.readUInt16BE(6) : data.readUInt8(3)
  const pagesAt = headerLength + descriptorLength
  if (data.length < pagesAt) return undefined
  const pages = splitPages(data, pagesAt)
  if (pages === undefined) return undefined
  if (descriptorLength === 0) return { pages }
  const known = descriptorLength === (long ? 16 : 8)
  return {
    blockDescriptor: known ? decodeBlockDescriptor(data, headerLength, long) : null,
    pages,
  }
}

/** A MODE SELECT parameter list without a block descriptor. */
export function encodeModeSelectList(pages: readonly Buffer[], ten: boolean): Buffer {
  return Buffer.concat([Buffer.alloc(ten ? HEADER_LENGTH.ten : HEADER_LENGTH.six), ...pages])
}

function splitPages(data: Buffer, from: number): Buffer[] | undefined {
  const pages: Buffer[] = []
  for (let at = from; at < data.length; ) {
    const withSubpage = (data.readUInt8(at) & SUBPAGE_FORMAT) !== 0
    if (at + (withSubpage ? 4 : 2) > data.length) return undefined
    const next = at + (withSubpage ? 4 + data.readUInt16BE(at + 2) : 2 + data.readUInt8(at + 1))
    if (next > data.length) return undefined
    pages.push(data.subarray(at, next))
    at = next
  }
  return pages
}
