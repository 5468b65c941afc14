/**
 * PDUs other than commands and data: control-receiver.ts gathers them whole and puts them into CmdSN
 * order, and then one function each acts on them (nop.ts, text.ts, logout.ts, task-management.ts).
 */
import { Opcode, type RejectReason } from '@platter/protocol/iscsi'
import type { ConnectionSink } from './connection-sink.ts'
import type { Responder } from './responder.ts'
import type { FencedConnection } from './response-fence.ts'
import type { Session } from './session.ts'
import type { TargetDirectory } from './target-directory.ts'

/** A PDU gathered whole: header with AHS, and data segment. */
export interface ControlPdu {
  readonly header: Buffer
  readonly data: Buffer
}

/** Whether a PDU takes a place in CmdSN order: it is neither immediate nor a SNACK. */
export function isNumbered(header: Buffer): boolean {
  const first = header[0] as number
  return (first & 0x40) === 0 && first !== Opcode.SnackRequest
}

/** Rejects a PDU whose turn it is: its CmdSN does not count as received (RFC 7143 section 7.3). */
export function rejectPdu(context: ControlContext, reason: RejectReason, header: Buffer): void {
  if (isNumbered(header)) context.session.window.retreat()
  context.responder.reject(reason, header, 0)
}

/** What acting on a control PDU may need of its connection. */
export interface ControlContext extends FencedConnection {
  readonly session: Session
  readonly responder: Responder
  readonly sink: ConnectionSink
  readonly cid: number
  readonly port: ControlPort
  /** False when the connection is over: then nothing more may be sent on it. */
  readonly isOpen: boolean
  /** The initiator's MaxRecvDataSegmentLength: what we may send, in bytes; it may declare it anew. */
  sendSegmentMax: number
  /** Makes a Target Transfer Tag that is not in use for data. */
  nextTag(): number
}

/** What lies beyond the session's part of a connection. */
export interface ControlPort {
  /** All sessions of this target, for functions that reach beyond their own. */
  sessions(): Iterable<Session>
  /** What the initiator may ask for in text. */
  readonly directory: TargetDirectory
  /** The initiator answered our ping. */
  pingAnswered(targetTransferTag: number): void
  /** The connection goes to IN_LOGOUT: nothing more is taken in. */
  logoutStarted(): void
  /** Ends this connection after what is queued has been sent. */
  loggedOut(): void
}
