/** READ DEFECT DATA(10) and (12): their CDBs and an empty list (SBC-3 sections 5.17 and 5.18). */
import { Opcode } from './opcode.ts'

const LISTS_AND_FORMAT = 0x1f
const HEADER_LENGTH_10 = 4
const HEADER_LENGTH_12 = 8

export interface ReadDefectDataCdb {
  /** REQ_PLIST, REQ_GLIST and the format of the list, as they are in the CDB and in the answer. */
  readonly listsAndFormat: number
  readonly allocationLength: number
}

/** Takes the CDB of either length. */
export function decodeReadDefectDataCdb(cdb: Buffer, position: number): ReadDefectDataCdb {
  const long = cdb.readUInt8(position) === Opcode.ReadDefectData12
  return {
    listsAndFormat: cdb.readUInt8(position + (long ? 1 : 2)) & LISTS_AND_FORMAT,
    allocationLength: long ? cdb.readUInt32BE(position + 6) : cdb.readUInt16BE(position + 7),
  }
}

/** Writes the CDB that `opcode` says into the zeroed bytes at `cdb[position]`. */
export function encodeReadDefectDataCdb(
  cdb: Buffer,
  position: number,
  opcode: number,
  fields: ReadDefectDataCdb,
): void {
  const long = opcode === Opcode.ReadDefectData12
  cdb.writeUInt8(opcode, position)
  cdb.writeUInt8(fields.listsAndFormat, position + (long ? 1 : 2))
  if (long) cdb.writeUInt32BE(fields.allocationLength, position + 6)
  else cdb.writeUInt16BE(fields.allocationLength, position + 7)
}

/** The answer to either of a disk without defects: the lists that were asked for, both empty. */
export function encodeEmptyDefectList(opcode: number, listsAndFormat: number): Buffer {
  const data = Buffer.alloc(
    opcode === Opcode.ReadDefectData12 ? HEADER_LENGTH_12 : HEADER_LENGTH_10,
  )
  data.writeUInt8(listsAndFormat, 1)
  return data
}
