/**
 * PDUs other than commands and data, on their way in: gathers each whole, waits for its turn in CmdSN
 * order, and hands it to the function that acts on it. One for each connection.
 */
import {
  headerLength,
  LogoutReason,
  LogoutRequest,
  NopOut,
  Opcode,
  RESERVED_TAG,
  RejectReason,
} from '@platter/protocol/iscsi'
import { Turn } from './command-window.ts'
import { type ControlContext, type ControlPdu, isNumbered, rejectPdu } from './control-pdu.ts'
import { logoutRequest } from './logout.ts'
import { nopOut } from './nop.ts'
import { taskManagementRequest } from './task-management.ts'
import { TextExchange } from './text.ts'

const NO_BYTES: Buffer = Buffer.alloc(0)

export class ControlReceiver {
  readonly #context: ControlContext
  readonly #text: TextExchange
  #header = NO_BYTES
  #data = NO_BYTES

  constructor(context: ControlContext) {
    this.#context = context
    this.#text = new TextExchange(context)
  }

  /** A PDU begins, with the header at `buffer[base …]`; its data segment comes by `take`. */
  begin(buffer: Buffer, base: number): void {
    this.#header = Buffer.from(buffer.subarray(base, base + headerLength(buffer, base)))
    this.#data = Buffer.allocUnsafe(buffer.readUIntBE(base + 5, 3))
  }

  take(buffer: Buffer, position: number, length: number, offset: number): void {
    buffer.copy(this.#data, offset, position, position + length)
  }

  /** The PDU is complete: acts on it, or keeps it until its turn, or ignores it. */
  end(): void {
    const pdu = { header: this.#header, data: this.#data }
    this.#header = NO_BYTES
    this.#data = NO_BYTES
    if (!isNumbered(pdu.header)) {
      this.#act(pdu)
      return
    }
    const { session } = this.#context
    const cmdSN = pdu.header.readUInt32BE(24)
    const turn = session.window.turn(cmdSN)
    if (turn === Turn.Outside || session.isKept(cmdSN)) return
    const deliver = () => {
      session.window.release()
      this.#act(pdu)
    }
    if (turn === Turn.Early) {
      session.keepEarly(cmdSN, { sender: this.#context, deliver })
    } else {
      session.window.advance()
      deliver()
    }
  }

  #act(pdu: ControlPdu): void {
    const context = this.#context
    const opcode = (pdu.header[0] as number) & 0x3f
    const discovery = context.session.identity.type === 'Discovery'
    if (discovery && !belongsToDiscovery(opcode, pdu.header)) this.#refuse(opcode, pdu)
    else if (opcode === Opcode.TextRequest) this.#text.request(pdu)
    else if (opcode === Opcode.LogoutRequest) logoutRequest(context, pdu)
    else if (opcode === Opcode.NopOut) nopOut(context, pdu)
    else if (opcode === Opcode.TaskManagementRequest) taskManagementRequest(context, pdu)
    else this.#refuse(opcode, pdu)
  }

  #refuse(opcode: number, pdu: ControlPdu): void {
    const known = opcode === Opcode.LoginRequest || normalOnly.has(opcode)
    let reason: RejectReason = known ? RejectReason.ProtocolError : RejectReason.CommandNotSupported
    if (opcode === Opcode.SnackRequest) reason = RejectReason.SnackReject
    rejectPdu(this.#context, reason, pdu.header)
  }
}

/** What a discovery session refuses altogether, or unless it is what `belongsToDiscovery` says. */
const normalOnly: ReadonlySet<number> = new Set([
  Opcode.ScsiCommand,
  Opcode.TaskManagementRequest,
  Opcode.LogoutRequest,
  Opcode.NopOut,
])

/** A discovery session is for SendTargets and its own logout (RFC 7143 section 4.3); our pings may be answered. */
function belongsToDiscovery(opcode: number, header: Buffer): boolean {
  if (opcode === Opcode.LogoutRequest) {
    return new LogoutRequest().at(header, 0).reasonCode === LogoutReason.CloseSession
  }
  if (opcode === Opcode.NopOut) return new NopOut().at(header, 0).initiatorTaskTag === RESERVED_TAG
  return opcode === Opcode.TextRequest
}
