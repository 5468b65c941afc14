/** Where tshark is wrong by the standards: what it is held to nevertheless is everything else. */
import { Opcode, TaskManagementFunction, TaskManagementResponseCode } from '@platter/protocol/iscsi'
import type { CapturedPdu } from './pdu-stream.ts'

/**
 * Commands that are answered with parameter data, and where in the CDB their allocation length is. Data end
 * with it, also in the midst of a field, when there is more (SPC-4 section 4.2.5.6). tshark reads on to the
 * end of the field, and takes the data for malformed.
 */
const parameterDataCommands: ReadonlyMap<number, { readonly at: number; readonly bytes: number }> =
  new Map([
    [0x03, { at: 4, bytes: 1 }],
    [0x12, { at: 3, bytes: 2 }],
    [0x1a, { at: 4, bytes: 1 }],
    [0x5a, { at: 7, bytes: 2 }],
    [0x5e, { at: 7, bytes: 2 }],
    [0x84, { at: 10, bytes: 4 }],
    [0x9e, { at: 10, bytes: 4 }],
    [0xa0, { at: 6, bytes: 4 }],
    [0xa3, { at: 6, bytes: 4 }],
  ])

/**
 * Whether tshark may take this PDU for malformed: its data end as said above, or its text goes on in
 * another PDU (RFC 7143 section 6.1 lets it be cut anywhere), and tshark reads each by itself; or a host
 * has sent a SANITIZE list that is shorter than it says, as the conformance suite does on purpose.
 */
export function mayBeTakenForMalformed(pdu: CapturedPdu): boolean {
  const { header, command, partOfText } = pdu
  if (partOfText || bringsCutOverwriteList(pdu)) return true
  if (command === undefined || (header.readUInt8(0) & 0x3f) !== Opcode.DataIn) return false
  const cdb = command.buffer.subarray(command.cdbPosition)
  const allocationLength = parameterDataCommands.get(cdb.readUInt8(0))
  if (allocationLength === undefined) return false
  const { at, bytes } = allocationLength
  return cdb.readUIntBE(at, bytes) === header.readUIntBE(5, 3)
}

/** OVERWRITE with immediate data that end before its initialization pattern does (SBC-3 section 5.24). */
function bringsCutOverwriteList({ header, data }: CapturedPdu): boolean {
  const isCommand = (header.readUInt8(0) & 0x3f) === Opcode.ScsiCommand
  if (!isCommand || header.readUInt8(32) !== 0x48 || (header.readUInt8(33) & 0x1f) !== 1)
    return false
  return data.length >= 4 && data.length < 4 + data.readUInt16BE(2)
}

/**
 * Whether tshark may leave the rest of the frame after this PDU: it does so, without complaint or with
 * the one above, when parameter data fill the room that there is for them, and end in the midst of a field.
 */
export function mayEndFrame(pdu: CapturedPdu): boolean {
  if (mayBeTakenForMalformed(pdu)) return true
  const { header, command } = pdu
  if (command === undefined || (header.readUInt8(0) & 0x3f) !== Opcode.DataIn) return false
  const cdbOpcode = command.buffer.readUInt8(command.cdbPosition)
  const isFull = header.readUIntBE(5, 3) === command.expectedDataTransferLength
  return isFull && parameterDataCommands.has(cdbOpcode)
}

/**
 * Whether tshark takes this PDU, first in its segment, for none: text with neither F nor C bit, of
 * which it wants one, though text may be whole and its exchange not at an end (RFC 7143 section 11.10.1
 * and 11.10.2), and the functions and the response that RFC 7144 has added to task management.
 */
export function isTakenForNone({ header }: CapturedPdu): boolean {
  const second = header.readUInt8(1)
  switch (header.readUInt8(0) & 0x3f) {
    case Opcode.TextRequest:
    case Opcode.TextResponse:
      return (second & 0xc0) === 0
    case Opcode.TaskManagementRequest:
      return (second & 0x7f) >= TaskManagementFunction.QueryTask
    case Opcode.TaskManagementResponse:
      return header.readUInt8(2) === TaskManagementResponseCode.FunctionSucceeded
    default:
      return false
  }
}

/**
 * Warnings that tell of what tshark does not know, not of what is wrong: mode pages (tgtd has some), and
 * service actions of RECEIVE COPY RESULTS.
 */
export const warningOfNoImport = /^Unknown (Page|serv_action)\b/

/** Whether this is a Reject that brings back a header of no opcode there is: tshark complains of that header. */
export function rejectsUnknownOpcode({ header, data }: CapturedPdu): boolean {
  if ((header.readUInt8(0) & 0x3f) !== Opcode.Reject || data.length === 0) return false
  const known: readonly number[] = Object.values(Opcode)
  return !known.includes(data.readUInt8(0) & 0x3f)
}

/** What tshark then says, and the fields that it shows of such a header, some of them or all. */
export const unknownOpcode = {
  complaint: /^(Invalid opcode|malformed:( _ws\.malformed)+)$/,
  fields: ['iscsi.opcode', 'iscsi.I', 'iscsi.totalahslength', 'iscsi.datasegmentlength'],
} as const
