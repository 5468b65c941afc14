/**
 * The fields of each PDU by the names that tshark has for them, and what our decoder says of each.
 * Where tshark shows less than there is, this is said here, so that all else is compared.
 */
import {
  AsyncMessage,
  type BasicHeader,
  BHS_LENGTH,
  crc32c,
  DataIn,
  DataOut,
  decodeText,
  LoginRequest,
  LoginResponse,
  LogoutRequest,
  LogoutResponse,
  NopIn,
  NopOut,
  Opcode,
  ReadyToTransfer,
  Reject,
  ScsiCommand,
  ScsiResponse,
  SnackRequest,
  TaskManagementRequest,
  TaskManagementResponse,
  TextRequest,
  TextResponse,
} from '@platter/protocol/iscsi'
import type { CapturedPdu } from './pdu-stream.ts'

const views: Readonly<Record<number, BasicHeader>> = {
  [Opcode.NopOut]: new NopOut(),
  [Opcode.ScsiCommand]: new ScsiCommand(),
  [Opcode.TaskManagementRequest]: new TaskManagementRequest(),
  [Opcode.LoginRequest]: new LoginRequest(),
  [Opcode.TextRequest]: new TextRequest(),
  [Opcode.DataOut]: new DataOut(),
  [Opcode.LogoutRequest]: new LogoutRequest(),
  [Opcode.SnackRequest]: new SnackRequest(),
  [Opcode.NopIn]: new NopIn(),
  [Opcode.ScsiResponse]: new ScsiResponse(),
  [Opcode.TaskManagementResponse]: new TaskManagementResponse(),
  [Opcode.LoginResponse]: new LoginResponse(),
  [Opcode.TextResponse]: new TextResponse(),
  [Opcode.DataIn]: new DataIn(),
  [Opcode.LogoutResponse]: new LogoutResponse(),
  [Opcode.ReadyToTransfer]: new ReadyToTransfer(),
  [Opcode.AsyncMessage]: new AsyncMessage(),
  [Opcode.Reject]: new Reject(),
}

/** The logical unit that a PDU is for; tshark shows the units that REPORT LUNS lists by the same name. */
export const lunField = 'scsi.lun'
const withLun: readonly number[] = [
  ...[Opcode.NopOut, Opcode.ScsiCommand, Opcode.TaskManagementRequest, Opcode.TextRequest],
  ...[Opcode.DataOut, Opcode.SnackRequest, Opcode.NopIn, Opcode.TextResponse],
  ...[Opcode.ReadyToTransfer, Opcode.AsyncMessage],
]

/** The pairs of a login or text PDU. */
export const textField = 'iscsi.keyvalue'

/** A field that tshark shows for every kind of PDU whose view has the property. */
interface HeaderField {
  readonly property: string
  /** Only for these. */
  readonly of?: readonly Opcode[]
  /** Not for these: tshark leaves the field out, though they have it. */
  readonly unseenIn?: readonly Opcode[]
  /** Only where this other property is true: elsewhere the field means nothing. */
  readonly when?: string
}

const text = [Opcode.TextRequest, Opcode.TextResponse]
const data = [Opcode.DataOut, Opcode.DataIn]

export const headerFields: Readonly<Record<string, HeaderField>> = {
  'iscsi.opcode': { property: 'opcode' },
  'iscsi.I': {
    property: 'immediate',
    of: [
      ...[Opcode.NopOut, Opcode.ScsiCommand, Opcode.TaskManagementRequest, Opcode.TextRequest],
      Opcode.LogoutRequest,
    ],
  },
  'iscsi.totalahslength': {
    property: 'totalAHSLength',
    unseenIn: [Opcode.TaskManagementResponse],
  },
  'iscsi.datasegmentlength': {
    property: 'dataSegmentLength',
    unseenIn: [Opcode.TaskManagementResponse],
  },
  'iscsi.initiatortasktag': {
    property: 'initiatorTaskTag',
    unseenIn: [Opcode.AsyncMessage, Opcode.Reject],
  },
  'iscsi.targettransfertag': { property: 'targetTransferTag', when: 'acknowledge' },
  'iscsi.cmdsn': { property: 'cmdSN' },
  'iscsi.expstatsn': { property: 'expStatSN' },
  'iscsi.statsn': { property: 'statSN' },
  'iscsi.expcmdsn': { property: 'expCmdSN' },
  'iscsi.maxcmdsn': { property: 'maxCmdSN' },
  'iscsi.scsicommand.F': { property: 'final', of: [Opcode.ScsiCommand] },
  'iscsi.scsicommand.R': { property: 'read' },
  'iscsi.scsicommand.W': { property: 'write' },
  'iscsi.scsicommand.attr': { property: 'attribute' },
  'iscsi.scsicommand.expecteddatatransferlength': { property: 'expectedDataTransferLength' },
  'iscsi.scsiresponse.o': { property: 'bidirectionalReadResidualOverflow' },
  'iscsi.scsiresponse.u': { property: 'bidirectionalReadResidualUnderflow' },
  'iscsi.scsiresponse.O': { property: 'residualOverflow', of: [Opcode.ScsiResponse] },
  'iscsi.scsiresponse.U': { property: 'residualUnderflow', of: [Opcode.ScsiResponse] },
  'iscsi.scsiresponse.response': { property: 'response', of: [Opcode.ScsiResponse] },
  'iscsi.scsiresponse.status': { property: 'status', when: 'hasStatus' },
  'iscsi.scsiresponse.residualcount': { property: 'residualCount', of: [Opcode.ScsiResponse] },
  'iscsi.scsiresponse.bidireadresidualcount': { property: 'bidirectionalReadResidualCount' },
  'iscsi.expdatasn': { property: 'expDataSN', unseenIn: [Opcode.TaskManagementRequest] },
  'iscsi.scsidata.F': { property: 'final', of: data },
  'iscsi.scsidata.A': { property: 'acknowledge' },
  'iscsi.scsidata.O': { property: 'residualOverflow', of: [Opcode.DataIn] },
  'iscsi.scsidata.U': { property: 'residualUnderflow', of: [Opcode.DataIn] },
  'iscsi.scsidata.S': { property: 'hasStatus' },
  'iscsi.scsidata.readresidualcount': { property: 'residualCount', of: [Opcode.DataIn] },
  'iscsi.datasn': { property: 'dataSN' },
  'iscsi.bufferOffset': { property: 'bufferOffset' },
  'iscsi.r2tsn': { property: 'r2tSN' },
  'iscsi.desireddatalength': { property: 'desiredDataTransferLength' },
  'iscsi.versionmax': { property: 'versionMax' },
  'iscsi.versionmin': { property: 'versionMin' },
  'iscsi.versionactive': { property: 'versionActive' },
  'iscsi.cid': { property: 'cid' },
  'iscsi.tsih': { property: 'tsih' },
  'iscsi.login.T': { property: 'transit' },
  'iscsi.login.C': { property: 'continued', unseenIn: text },
  'iscsi.login.csg': { property: 'currentStage' },
  'iscsi.login.nsg': { property: 'nextStage', when: 'transit' },
  'iscsi.text.F': { property: 'final', of: text },
  'iscsi.text.C': { property: 'continued', of: text },
  'iscsi.taskmanfun.function': { property: 'function' },
  'iscsi.taskmanfun.referencedtasktag': { property: 'referencedTaskTag' },
  'iscsi.refcmdsn': { property: 'refCmdSN' },
  'iscsi.taskmanfun.response': { property: 'response', of: [Opcode.TaskManagementResponse] },
  'iscsi.logout.reason': { property: 'reasonCode' },
  'iscsi.logout.response': { property: 'response', of: [Opcode.LogoutResponse] },
  'iscsi.time2wait': { property: 'time2Wait' },
  'iscsi.time2retain': { property: 'time2Retain' },
  'iscsi.asyncevent': { property: 'asyncEvent' },
  'iscsi.eventvendorcode': { property: 'asyncVCode' },
  'iscsi.parameter1': { property: 'parameter1' },
  'iscsi.parameter2': { property: 'parameter2' },
  'iscsi.parameter3': { property: 'parameter3' },
  'iscsi.reject.reason': { property: 'reason' },
  'iscsi.snack.type': { property: 'type' },
  'iscsi.snack.begrun': { property: 'begRun' },
  'iscsi.snack.runlength': { property: 'runLength' },
}

/** What tshark shows of a PDU beside the numbers of its header, and how we come by the same. */
export const otherFields: Readonly<Record<string, (pdu: CapturedPdu) => readonly string[]>> = {
  'iscsi.login.status': ({ header }) => {
    const view = viewOf(header)
    if (!(view instanceof LoginResponse)) return []
    return [String((view.statusClass << 8) | view.statusDetail)]
  },
  'iscsi.isid': ({ header }) => {
    const view = viewOf(header)
    if (!(view instanceof LoginRequest || view instanceof LoginResponse)) return []
    return [header.toString('hex', view.isidPosition, view.isidPosition + 6)]
  },
  [textField]: ({ header, data }) => {
    const view = viewOf(header)
    const hasText = view instanceof TextRequest || view instanceof TextResponse
    if (!hasText && !(view instanceof LoginRequest || view instanceof LoginResponse)) return []
    try {
      return decodeText(data).map(([key, value]) => `${key}=${value}`)
    } catch (error) {
      return [String(error)]
    }
  },
  [lunField]: ({ header }) => {
    const first = header.readUInt16BE(8)
    // Of the other ways to address a unit it shows no number, or the last byte alone.
    const isNumber = first <= 0xff || first >> 14 === 1
    return withLun.includes(header.readUInt8(0) & 0x3f) && isNumber ? [String(first & 0x3fff)] : []
  },
  // tshark reads digests as if their first byte were the most significant.
  'iscsi.headerdigest32': (pdu) => {
    if (!pdu.headerDigest) return []
    const own = swapped(crc32c(pdu.header, 0, pdu.header.length))
    // What follows the header that a Reject brings back, tshark takes for the digest of that.
    return isReject(pdu) && pdu.dataDigest ? [own, dataDigestOf(pdu)] : [own]
  },
  'iscsi.datadigest32': (pdu) => (pdu.dataDigest && !isReject(pdu) ? [dataDigestOf(pdu)] : []),
}

export const comparedFields = [...Object.keys(headerFields), ...Object.keys(otherFields)]

/** What tshark must show for this field of these PDUs, in their order. */
export function expectedValues(field: string, pdus: readonly CapturedPdu[]): readonly string[] {
  return pdus.flatMap((pdu) => {
    const own = values(field, pdu)
    // tshark goes on into the header that a Reject has for its data; a LUN there may be in any format.
    if (!isReject(pdu) || field === lunField) return own
    return [...own, ...values(field, rejectedBy(pdu))]
  })
}

function values(field: string, pdu: CapturedPdu): readonly string[] {
  const header = headerFields[field]
  return header === undefined ? (otherFields[field]?.(pdu) ?? []) : headerValue(header, pdu.header)
}

function rejectedBy(reject: CapturedPdu): CapturedPdu {
  const without = { data: Buffer.alloc(0), headerDigest: false, dataDigest: false }
  return { ...reject, ...without, header: reject.data }
}

function headerValue({ property, of, unseenIn, when }: HeaderField, header: Buffer): string[] {
  const view = viewOf(header)
  if (view === undefined) return []
  const opcode = view.opcode as Opcode
  if (of?.includes(opcode) === false || unseenIn?.includes(opcode)) return []
  if (!(property in view)) return []
  if (when !== undefined && when in view && Reflect.get(view, when) !== true) return []
  return [String(Number(Reflect.get(view, property)))]
}

function isReject({ header, data }: CapturedPdu): boolean {
  return (header.readUInt8(0) & 0x3f) === Opcode.Reject && data.length >= BHS_LENGTH
}

function dataDigestOf({ data }: CapturedPdu): string {
  const padded = Buffer.concat([data, Buffer.alloc(-data.length & 3)])
  return swapped(crc32c(padded, 0, padded.length))
}

function viewOf(header: Buffer): BasicHeader | undefined {
  return views[header.readUInt8(0) & 0x3f]?.at(header, 0)
}

function swapped(crc: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(crc)
  return String(bytes.readUInt32BE(0))
}
