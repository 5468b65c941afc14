/**
 * Sense data (SPC-4 section 4.5) in both formats, the conditions Platter reports, and REQUEST
 * SENSE (SPC-4 section 6.39).
 */
import { Opcode } from './opcode.ts'

export const SenseKey = {
  NoSense: 0x0,
  RecoveredError: 0x1,
  NotReady: 0x2,
  MediumError: 0x3,
  HardwareError: 0x4,
  IllegalRequest: 0x5,
  UnitAttention: 0x6,
  DataProtect: 0x7,
  BlankCheck: 0x8,
  CopyAborted: 0xa,
  AbortedCommand: 0xb,
  Miscompare: 0xe,
} as const
export type SenseKey = (typeof SenseKey)[keyof typeof SenseKey]

/** Points at the byte, and perhaps the bit, of the CDB that is wrong; bit is the highest of its field. */
export interface FieldPointer {
  readonly byte: number
  readonly bit?: number
}

/** What happened, whatever format carries it. `senseKey` is a SenseKey, or what a peer sent. */
export interface Sense {
  readonly senseKey: number
  readonly additionalSenseCode: number
  readonly additionalSenseCodeQualifier: number
  /** Usually the LBA concerned. */
  readonly information?: number
  readonly cdbField?: FieldPointer
  /** PROGRESS INDICATION: how much of what the unit is busy with is done, in 65536ths. */
  readonly progress?: number
  /** The error belongs to an earlier command, which had already been reported GOOD. */
  readonly deferred?: boolean
}

/** Sense without more than its three codes; `code` is ASC and ASCQ as four hex digits, as in 0x2100. */
export function senseOf(senseKey: number, code: number): Sense {
  return {
    senseKey,
    additionalSenseCode: code >> 8,
    additionalSenseCodeQualifier: code & 0xff,
  }
}

export const noSense = senseOf(SenseKey.NoSense, 0x0000)
/** The parameter list is cut, or its lengths contradict each other. */
export const parameterListLengthError = senseOf(SenseKey.IllegalRequest, 0x1a00)
export const invalidOpcode = senseOf(SenseKey.IllegalRequest, 0x2000)
export const lbaOutOfRange = senseOf(SenseKey.IllegalRequest, 0x2100)
export const logicalUnitNotSupported = senseOf(SenseKey.IllegalRequest, 0x2500)
export const invalidReleaseOfReservation = senseOf(SenseKey.IllegalRequest, 0x2604)
export const insufficientRegistrationResources = senseOf(SenseKey.IllegalRequest, 0x5504)
export const invalidFieldInParameterList = senseOf(SenseKey.IllegalRequest, 0x2600)
export const savingParametersNotSupported = senseOf(SenseKey.IllegalRequest, 0x3900)
/** A list identifier names an operation that is still in progress. */
export const operationInProgress = senseOf(SenseKey.IllegalRequest, 0x0016)
export const tooManyTargetDescriptors = senseOf(SenseKey.IllegalRequest, 0x2606)
export const unsupportedTargetDescriptor = senseOf(SenseKey.IllegalRequest, 0x2607)
export const tooManySegmentDescriptors = senseOf(SenseKey.IllegalRequest, 0x2608)
export const unsupportedSegmentDescriptor = senseOf(SenseKey.IllegalRequest, 0x2609)
export const inlineDataLengthExceeded = senseOf(SenseKey.IllegalRequest, 0x260b)
/** COPY ABORTED: the source or the destination failed, or refused. */
export const thirdPartyDeviceFailure = senseOf(SenseKey.CopyAborted, 0x0d01)
export const copyTargetNotReachable = senseOf(SenseKey.CopyAborted, 0x0d02)
export const incorrectCopyTarget = senseOf(SenseKey.CopyAborted, 0x0d03)
export const unexpectedInexactSegment = senseOf(SenseKey.CopyAborted, 0x260a)
/** COPY ABORTED: a segment names what is not there. */
export const copyAborted = senseOf(SenseKey.CopyAborted, 0x0000)
export const writeProtected = senseOf(SenseKey.DataProtect, 0x2700)
export const spaceAllocationFailed = senseOf(SenseKey.DataProtect, 0x2707)
export const sanitizeFailed = senseOf(SenseKey.MediumError, 0x3103)
export const internalTargetFailure = senseOf(SenseKey.HardwareError, 0x4400)
/** What came with a command, beside its CDB, is not known: INVALID MESSAGE ERROR. */
export const invalidMessage = senseOf(SenseKey.IllegalRequest, 0x4900)
/** The initiator sent fewer bytes than the command needs. */
export const dataPhaseError = senseOf(SenseKey.AbortedCommand, 0x4b00)
export const powerOnUnitAttention = senseOf(SenseKey.UnitAttention, 0x2900)
export const resetUnitAttention = senseOf(SenseKey.UnitAttention, 0x2903)
export const modeParametersChangedUnitAttention = senseOf(SenseKey.UnitAttention, 0x2a01)
export const reservationsPreemptedUnitAttention = senseOf(SenseKey.UnitAttention, 0x2a03)
export const reservationsReleasedUnitAttention = senseOf(SenseKey.UnitAttention, 0x2a04)
export const registrationsPreemptedUnitAttention = senseOf(SenseKey.UnitAttention, 0x2a05)
export const commandsClearedUnitAttention = senseOf(SenseKey.UnitAttention, 0x2f00)
/** Tasks of the nexus ended with their connection (RFC 7143 section 11.14.5). */
export const commandsClearedByTransportUnitAttention = senseOf(SenseKey.UnitAttention, 0x477f)
export const capacityChangedUnitAttention = senseOf(SenseKey.UnitAttention, 0x2a09)
export const lunsChangedUnitAttention = senseOf(SenseKey.UnitAttention, 0x3f0e)

/** INVALID FIELD IN CDB, pointing at it when `byte` is given. */
export function invalidFieldInCdb(byte?: number, bit?: number): Sense {
  const sense = senseOf(SenseKey.IllegalRequest, 0x2400)
  if (byte === undefined) return sense
  return { ...sense, cdbField: bit === undefined ? { byte } : { byte, bit } }
}

/** LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS, of which so many 65536ths are done. */
export function sanitizeInProgress(progress: number): Sense {
  return { ...senseOf(SenseKey.NotReady, 0x041b), progress }
}

/** UNRECOVERED READ ERROR at `lba`, or somewhere unknown. */
export function unrecoveredReadError(lba?: number): Sense {
  const sense = senseOf(SenseKey.MediumError, 0x1100)
  return lba === undefined ? sense : { ...sense, information: lba }
}

/** WRITE ERROR at `lba`, or somewhere unknown. */
export function writeError(lba?: number): Sense {
  const sense = senseOf(SenseKey.MediumError, 0x0c00)
  return lba === undefined ? sense : { ...sense, information: lba }
}

/** MISCOMPARE DURING VERIFY OPERATION; what `information` means depends on the command. */
export function miscompareDuringVerify(information?: number): Sense {
  const sense = senseOf(SenseKey.Miscompare, 0x1d00)
  return information === undefined ? sense : { ...sense, information }
}

const FIXED_LENGTH = 18
const VALID = 0x80
const FIELD_IN_CDB = 0x40
const BIT_POINTER_VALID = 0x08
const SENSE_KEY_SPECIFIC_VALID = 0x80

const ResponseCode = { Fixed: 0x70, Descriptor: 0x72 } as const
const Descriptor = { Information: 0x00, SenseKeySpecific: 0x02 } as const

/** Fixed format, 18 bytes. An `information` above 32 bits does not fit it, and is left out. */
export function encodeFixedSense(sense: Sense): Buffer {
  const data = Buffer.alloc(FIXED_LENGTH)
  data.writeUInt8(ResponseCode.Fixed + (sense.deferred ? 1 : 0), 0)
  data.writeUInt8(sense.senseKey, 2)
  if (sense.information !== undefined && sense.information <= 0xffffffff) {
    data.writeUInt8(data.readUInt8(0) | VALID, 0)
    data.writeUInt32BE(sense.information, 3)
  }
  data.writeUInt8(FIXED_LENGTH - 8, 7)
  data.writeUInt8(sense.additionalSenseCode, 12)
  data.writeUInt8(sense.additionalSenseCodeQualifier, 13)
  encodeSpecific(data, 15, sense)
  return data
}

/** Descriptor format: 8 bytes, and those of the descriptors it needs. */
export function encodeDescriptorSense(sense: Sense): Buffer {
  const informationLength = sense.information === undefined ? 0 : 12
  const specific = sense.cdbField !== undefined || sense.progress !== undefined
  const data = Buffer.alloc(8 + informationLength + (specific ? 8 : 0))
  data.writeUInt8(ResponseCode.Descriptor + (sense.deferred ? 1 : 0), 0)
  data.writeUInt8(sense.senseKey, 1)
  data.writeUInt8(sense.additionalSenseCode, 2)
  data.writeUInt8(sense.additionalSenseCodeQualifier, 3)
  data.writeUInt8(data.length - 8, 7)
  if (sense.information !== undefined) {
    data.writeUInt8(Descriptor.Information, 8)
    data.writeUInt8(0x0a, 9)
    data.writeUInt8(VALID, 10)
    data.writeBigUInt64BE(BigInt(sense.information), 12)
  }
  if (specific) {
    const at = 8 + informationLength
    data.writeUInt8(Descriptor.SenseKeySpecific, at)
    data.writeUInt8(0x06, at + 1)
    encodeSpecific(data, at + 4, sense)
  }
  return data
}

/** The three sense-key specific bytes, if the sense has any. */
function encodeSpecific(data: Buffer, at: number, sense: Sense): void {
  if (sense.cdbField !== undefined) encodeFieldPointer(data, at, sense.cdbField)
  else if (sense.progress !== undefined) {
    data.writeUInt8(SENSE_KEY_SPECIFIC_VALID, at)
    data.writeUInt16BE(sense.progress, at + 1)
  }
}

/** The sense-key specific bytes for ILLEGAL REQUEST (SPC-4 section 4.5.2.4.2). */
function encodeFieldPointer(data: Buffer, at: number, field: FieldPointer): void {
  const bit = field.bit === undefined ? 0 : BIT_POINTER_VALID | field.bit
  data.writeUInt8(SENSE_KEY_SPECIFIC_VALID | FIELD_IN_CDB | bit, at)
  data.writeUInt16BE(field.byte, at + 1)
}

/** The progress indication at `at` (SPC-4 section 4.5.2.4.4); undefined unless the key has one. */
function decodeProgress(data: Buffer, at: number, senseKey: number): number | undefined {
  const hasProgress = senseKey === SenseKey.NotReady || senseKey === SenseKey.NoSense
  if (!hasProgress || data.length < at + 3) return undefined
  if ((data.readUInt8(at) & SENSE_KEY_SPECIFIC_VALID) === 0) return undefined
  return data.readUInt16BE(at + 1)
}

/** Undefined unless the bytes at `at` are a valid pointer into the CDB. */
function decodeFieldPointer(data: Buffer, at: number, senseKey: number): FieldPointer | undefined {
  if (senseKey !== SenseKey.IllegalRequest || data.length < at + 3) return undefined
  const flags = data.readUInt8(at)
  if ((flags & SENSE_KEY_SPECIFIC_VALID) === 0 || (flags & FIELD_IN_CDB) === 0) return undefined
  const byte = data.readUInt16BE(at + 1)
  return (flags & BIT_POINTER_VALID) === 0 ? { byte } : { byte, bit: flags & 0x07 }
}

/**
 * Sense data of either format; fields beyond the end of data that were cut are zero or absent.
 * Throws a RangeError when the response code is neither, or the key itself is missing.
 */
export function decodeSense(data: Buffer): Sense {
  const responseCode = data.length === 0 ? 0 : data.readUInt8(0) & 0x7f
  const format = responseCode & 0x7e
  if (format === ResponseCode.Fixed && data.length >= 3) return decodeFixedSense(data)
  if (format === ResponseCode.Descriptor && data.length >= 4) return decodeDescriptorSense(data)
  throw new RangeError(
    `sense data: got ${data.length} bytes with response code ${responseCode.toString(16)}h, want 70h to 73h`,
  )
}

function decodeFixedSense(data: Buffer): Sense {
  const senseKey = data.readUInt8(2) & 0x0f
  const valid = (data.readUInt8(0) & VALID) !== 0 && data.length >= 7
  const cdbField = decodeFieldPointer(data, 15, senseKey)
  const progress = decodeProgress(data, 15, senseKey)
  return {
    senseKey,
    additionalSenseCode: data[12] ?? 0,
    additionalSenseCodeQualifier: data[13] ?? 0,
    ...(valid && { information: data.readUInt32BE(3) }),
    ...(cdbField && { cdbField }),
    ...(progress !== undefined && { progress }),
    ...((data.readUInt8(0) & 1) !== 0 && { deferred: true }),
  }
}

function decodeDescriptorSense(data: Buffer): Sense {
  const senseKey = data.readUInt8(1) & 0x0f
  let information: number | undefined
  let cdbField: FieldPointer | undefined
  let progress: number | undefined
  const end = Math.min(data.length, 8 + (data[7] ?? 0))
  for (let at = 8; at + 2 <= end; ) {
    const next = at + 2 + data.readUInt8(at + 1)
    if (next > end) break
    const type = data.readUInt8(at)
    if (
      type === Descriptor.Information &&
      next - at >= 12 &&
      (data.readUInt8(at + 2) & VALID) !== 0
    ) {
      information = Number(data.readBigUInt64BE(at + 4))
    } else if (type === Descriptor.SenseKeySpecific && next - at >= 7) {
      progress = decodeProgress(data, at + 4, senseKey)
      cdbField = decodeFieldPointer(data, at + 4, senseKey)
    }
    at = next
  }
  return {
    senseKey,
    additionalSenseCode: data.readUInt8(2),
    additionalSenseCodeQualifier: data.readUInt8(3),
    ...(information !== undefined && { information }),
    ...(cdbField && { cdbField }),
    ...(progress !== undefined && { progress }),
    ...((data.readUInt8(0) & 1) !== 0 && { deferred: true }),
  }
}

export interface RequestSenseCdb {
  /** The answer is wanted in descriptor format. */
  readonly descriptorFormat: boolean
  readonly allocationLength: number
}

export function decodeRequestSenseCdb(cdb: Buffer, position: number): RequestSenseCdb {
  return {
    descriptorFormat: (cdb.readUInt8(position + 1) & 0x01) !== 0,
    allocationLength: cdb.readUInt8(position + 4),
  }
}

/** Writes a REQUEST SENSE CDB into the zeroed bytes at `cdb[position]`. */
export function encodeRequestSenseCdb(
  cdb: Buffer,
  position: number,
  fields: RequestSenseCdb,
): void {
  cdb.writeUInt8(Opcode.RequestSense, position)
  cdb.writeUInt8(fields.descriptorFormat ? 1 : 0, position + 1)
  cdb.writeUInt8(fields.allocationLength, position + 4)
}

const keyNames = new Map<number, string>([
  [SenseKey.NoSense, 'NO SENSE'],
  [SenseKey.RecoveredError, 'RECOVERED ERROR'],
  [SenseKey.NotReady, 'NOT READY'],
  [SenseKey.MediumError, 'MEDIUM ERROR'],
  [SenseKey.HardwareError, 'HARDWARE ERROR'],
  [SenseKey.IllegalRequest, 'ILLEGAL REQUEST'],
  [SenseKey.UnitAttention, 'UNIT ATTENTION'],
  [SenseKey.DataProtect, 'DATA PROTECT'],
  [SenseKey.BlankCheck, 'BLANK CHECK'],
  [SenseKey.CopyAborted, 'COPY ABORTED'],
  [SenseKey.AbortedCommand, 'ABORTED COMMAND'],
  [SenseKey.Miscompare, 'MISCOMPARE'],
])

/** One line for logs and errors, such as `ILLEGAL REQUEST 05/21/00`. */
export function formatSense(sense: Sense): string {
  const hex = (value: number): string => value.toString(16).padStart(2, '0').toUpperCase()
  const codes = [sense.senseKey, sense.additionalSenseCode, sense.additionalSenseCodeQualifier]
  const name = keyNames.get(sense.senseKey) ?? 'SENSE'
  const where = sense.information === undefined ? '' : `, information ${sense.information}`
  return `${name} ${codes.map(hex).join('/')}${where}`
}
