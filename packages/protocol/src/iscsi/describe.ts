/** PDUs in words: one line for a trace, or for a test that failed. */
import type { Layout } from 'buffer-layout'
import { type BasicHeader, BHS_LENGTH, RESERVED_TAG } from './bhs.ts'
import { Opcode, opcodeName } from './opcode.ts'
import { AsyncMessage, asyncMessageLayout } from './pdu/async-message.ts'
import { DataIn, dataInLayout } from './pdu/data-in.ts'
import { DataOut, dataOutLayout } from './pdu/data-out.ts'
import {
  LoginRequest,
  LoginResponse,
  loginRequestLayout,
  loginResponseLayout,
} from './pdu/login.ts'
import {
  LogoutRequest,
  LogoutResponse,
  logoutRequestLayout,
  logoutResponseLayout,
} from './pdu/logout.ts'
import { NopIn, NopOut, nopInLayout, nopOutLayout } from './pdu/nop.ts'
import { ReadyToTransfer, readyToTransferLayout } from './pdu/ready-to-transfer.ts'
import { Reject, rejectLayout } from './pdu/reject.ts'
import { ScsiCommand, scsiCommandLayout } from './pdu/scsi-command.ts'
import { ScsiResponse, scsiResponseLayout } from './pdu/scsi-response.ts'
import { SnackRequest, snackRequestLayout } from './pdu/snack.ts'
import {
  TaskManagementRequest,
  TaskManagementResponse,
  taskManagementRequestLayout,
  taskManagementResponseLayout,
} from './pdu/task-management.ts'
import { TextRequest, TextResponse, textRequestLayout, textResponseLayout } from './pdu/text.ts'
import {
  AsyncEvent,
  LoginStatus,
  LogoutReason,
  LogoutResponseCode,
  RejectReason,
  ScsiResponseCode,
  statusName,
  TaskManagementFunction,
  TaskManagementResponseCode,
} from './status.ts'

type Fields = { readonly fields: readonly Layout[] }
type Names = Readonly<Record<string, Readonly<Record<string, number>>>>

/** One kind of PDU: its view, its layout, and the names of the numbers in its fields. */
interface Kind {
  readonly view: BasicHeader
  readonly layout: Fields
  readonly names: Names
}

function kind(view: BasicHeader, layout: Fields, names: Names = {}): Kind {
  return { view, layout, names }
}

const kinds: Readonly<Record<number, Kind>> = {
  [Opcode.NopOut]: kind(new NopOut(), nopOutLayout),
  [Opcode.ScsiCommand]: kind(new ScsiCommand(), scsiCommandLayout),
  [Opcode.TaskManagementRequest]: kind(new TaskManagementRequest(), taskManagementRequestLayout, {
    function: TaskManagementFunction,
  }),
  [Opcode.LoginRequest]: kind(new LoginRequest(), loginRequestLayout),
  [Opcode.TextRequest]: kind(new TextRequest(), textRequestLayout),
  [Opcode.DataOut]: kind(new DataOut(), dataOutLayout),
  [Opcode.LogoutRequest]: kind(new LogoutRequest(), logoutRequestLayout, {
    reasonCode: LogoutReason,
  }),
  [Opcode.SnackRequest]: kind(new SnackRequest(), snackRequestLayout),
  [Opcode.NopIn]: kind(new NopIn(), nopInLayout),
  [Opcode.ScsiResponse]: kind(new ScsiResponse(), scsiResponseLayout, {
    response: ScsiResponseCode,
  }),
  [Opcode.TaskManagementResponse]: kind(
    new TaskManagementResponse(),
    taskManagementResponseLayout,
    { response: TaskManagementResponseCode },
  ),
  [Opcode.LoginResponse]: kind(new LoginResponse(), loginResponseLayout),
  [Opcode.TextResponse]: kind(new TextResponse(), textResponseLayout),
  [Opcode.DataIn]: kind(new DataIn(), dataInLayout),
  [Opcode.LogoutResponse]: kind(new LogoutResponse(), logoutResponseLayout, {
    response: LogoutResponseCode,
  }),
  [Opcode.ReadyToTransfer]: kind(new ReadyToTransfer(), readyToTransferLayout),
  [Opcode.AsyncMessage]: kind(new AsyncMessage(), asyncMessageLayout, { asyncEvent: AsyncEvent }),
  [Opcode.Reject]: kind(new Reject(), rejectLayout, { reason: RejectReason }),
}

/**
 * The PDU whose header is at `buffer[base …]`, in one line: its name, the flags that are set, its
 * fields by their names in RFC 7143, and how much data it carries. Never throws, whatever the bytes.
 */
export function describePdu(buffer: Buffer, base = 0): string {
  const header = buffer.toString('hex', base, base + BHS_LENGTH)
  if (buffer.length - base < BHS_LENGTH) return `part of a header: ${header}`
  const opcode = (buffer[base] as number) & 0x3f
  const found = kinds[opcode]
  if (found === undefined) return `${opcodeName(opcode)}: ${header}`
  const view = found.view.at(buffer, base)
  const flags = view.immediate ? ['immediate'] : []
  const fields = [`initiatorTaskTag=${tag(view.initiatorTaskTag)}`]
  for (const name of getters(view)) {
    const value: unknown = Reflect.get(view, name)
    if (value === true) flags.push(name)
    if (typeof value === 'number' && !name.endsWith('Position')) {
      fields.push(`${name}=${valueText(name, value, found.names)}`)
    }
  }
  if (view instanceof LoginResponse) {
    fields.push(statusName(LoginStatus, (view.statusClass << 8) | view.statusDetail))
  }
  const words = [opcodeName(opcode), ...flags, ...fields, ...blobs(found, buffer, base)]
  if (view.totalAHSLength > 0) words.push(`ahs=${4 * view.totalAHSLength} bytes`)
  if (view.dataSegmentLength > 0) words.push(`data=${view.dataSegmentLength} bytes`)
  return words.join(' ')
}

/** The fields that this kind of PDU has, and not every one. */
function getters(view: BasicHeader): string[] {
  const own = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(view))
  return Object.keys(own).filter((name) => own[name]?.get !== undefined)
}

function valueText(name: string, value: number, names: Names): string {
  const table = names[name]
  if (table !== undefined) return statusName(table, value)
  return name.endsWith('Tag') ? tag(value) : String(value)
}

function tag(value: number): string {
  return value === RESERVED_TAG ? 'none' : `0x${value.toString(16)}`
}

/** LUN, ISID and CDB, in hexadecimal. */
function blobs({ layout }: Kind, buffer: Buffer, base: number): string[] {
  const texts = []
  let at = base
  for (const { property, span } of layout.fields) {
    if (property === 'lun' || property === 'isid' || property === 'cdb') {
      texts.push(`${property}=${buffer.toString('hex', at, at + span)}`)
    }
    at += span
  }
  return texts
}
