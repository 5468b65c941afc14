/** SANITIZE (SBC-3 section 5.24): its CDB, and the parameter list of OVERWRITE. */
import { Opcode } from './opcode.ts'

export const SanitizeAction = {
  Overwrite: 0x01,
  BlockErase: 0x02,
  CryptographicErase: 0x03,
  ExitFailureMode: 0x1f,
} as const

export interface SanitizeCdb {
  /** A SanitizeAction, or what a peer sent. */
  readonly serviceAction: number
  /** IMMED: status comes before the operation, not after it. */
  readonly immediate: boolean
  /** AUSE: EXIT FAILURE MODE is enough to leave the operation's failure behind. */
  readonly allowUnrestrictedExit: boolean
  readonly parameterListLength: number
}

/** Undefined when a reserved bit is set. */
export function decodeSanitizeCdb(cdb: Buffer, position: number): SanitizeCdb | undefined {
  const flags = cdb.readUInt8(position + 1)
  if ((flags & 0x40) !== 0 || cdb.readUIntBE(position + 2, 5) !== 0) return undefined
  return {
    serviceAction: flags & 0x1f,
    immediate: (flags & 0x80) !== 0,
    allowUnrestrictedExit: (flags & 0x20) !== 0,
    parameterListLength: cdb.readUInt16BE(position + 7),
  }
}

/** Writes a SANITIZE CDB into the zeroed bytes at `cdb[position]`. */
export function encodeSanitizeCdb(cdb: Buffer, position: number, fields: SanitizeCdb): void {
  cdb.writeUInt8(Opcode.Sanitize, position)
  cdb.writeUInt8(
    fields.serviceAction |
      (fields.immediate ? 0x80 : 0) |
      (fields.allowUnrestrictedExit ? 0x20 : 0),
    position + 1,
  )
  cdb.writeUInt16BE(fields.parameterListLength, position + 7)
}

/** The header of an OVERWRITE parameter list, which the initialization pattern follows. */
export const OVERWRITE_HEADER_LENGTH = 4

export interface OverwriteParameters {
  /** INVERT: the pattern is inverted between consecutive passes, so that the last writes it as it is. */
  readonly invert: boolean
  /** TEST, a number of 2 bits; 0 for the ordinary operation. */
  readonly test: number
  /** OVERWRITE COUNT: passes; 0 is reserved. */
  readonly overwriteCount: number
  /** INITIALIZATION PATTERN: what each block is filled with, from its beginning and again. */
  readonly pattern: Buffer
}

export function encodeOverwriteParameters(parameters: OverwriteParameters): Buffer {
  const { invert, test, overwriteCount, pattern } = parameters
  const list = Buffer.alloc(OVERWRITE_HEADER_LENGTH + pattern.length)
  list.writeUInt8((invert ? 0x80 : 0) | (test << 5) | overwriteCount, 0)
  list.writeUInt16BE(pattern.length, 2)
  pattern.copy(list, OVERWRITE_HEADER_LENGTH)
  return list
}

/** `pattern` aliases `list`. Undefined when the list ends before its pattern does. */
export function decodeOverwriteParameters(list: Buffer): OverwriteParameters | undefined {
  if (list.length < OVERWRITE_HEADER_LENGTH) return undefined
  const end = OVERWRITE_HEADER_LENGTH + list.readUInt16BE(2)
  if (end > list.length) return undefined
  const flags = list.readUInt8(0)
  return {
    invert: (flags & 0x80) !== 0,
    test: (flags >> 5) & 0x03,
    overwriteCount: flags & 0x1f,
    pattern: list.subarray(OVERWRITE_HEADER_LENGTH, end),
  }
}
