/**
 * A connection after login: what each PDU from the target means (RFC 7143 section 11), and the PDUs
 * that are not commands: NOP, text, task management, logout.
 */
import {
  AsyncEvent,
  AsyncMessage,
  DataIn,
  type LogoutReason,
  LogoutRequest,
  NopIn,
  NopOut,
  Opcode,
  opcodeName,
  ProtocolError,
  RESERVED_TAG,
  ReadyToTransfer,
  Reject,
  RejectReason,
  ScsiResponse,
  type SessionParameters,
  serialAdd,
  statusName,
  TaskManagementFunction,
  TaskManagementRequest,
  TaskManagementResponse,
  TaskManagementResponseCode,
  type TextPair,
  TextResponse,
} from '@platter/protocol/iscsi'
import { AnsweredTasks } from './answered-tasks.ts'
import type { CommandWindow } from './command-window.ts'
import type { Connection } from './connection.ts'
import { DataOutSender } from './data-out.ts'
import { CommandError, ConnectionLostError } from './errors.ts'
import type { PduWriter } from './pdu-writer.ts'
import { acceptDataIn, acceptReadyToTransfer, takeDataInStatus, takeResponse } from './response.ts'
import type { ScsiTask } from './task.ts'
import { type TextDone, TextExchange } from './text-exchange.ts'

/** What the connections of a session share. */
export interface SessionSide {
  readonly window: CommandWindow
  /** A tag for a PDU that is no SCSI command. */
  takeControlTag(): number
  /** The command under way with that tag on that connection, and no other (RFC 7143 section 4.2.5.1). */
  taskOf(initiatorTaskTag: number, connection: Connection): ScsiTask | undefined
  /** The command has its outcome. */
  taskEnded(task: ScsiTask): void
  /** The window may have opened, or the network has room again. */
  resume(): void
  /** A unit has told, unasked, that something of it has changed; it tells again by a unit attention. */
  scsiEvent(): void
}

export interface FullFeatureOptions {
  readonly connection: Connection
  readonly writer: PduWriter
  readonly parameters: SessionParameters
  readonly session: SessionSide
  readonly expStatSN: number
  logoutRequested(): void
  loggedOut(): void
}

const NO_DATA = Buffer.alloc(0)
/** How long a target may take to answer a text, or a logout. */
const ANSWER_TIMEOUT_MS = 15_000

export class FullFeaturePhase {
  readonly #connection: Connection
  readonly #writer: PduWriter
  readonly #parameters: SessionParameters
  readonly #session: SessionSide
  readonly #logoutRequested: () => void
  readonly #loggedOut: () => void
  readonly #dataOut: DataOutSender
  readonly #answered: AnsweredTasks
  #expStatSN: number

  /** The task whose Data-In is coming in, and where in its buffer the data segment goes. */
  #dataTask: ScsiTask | null = null
  #dataPosition = 0
  /** The data segment of any other PDU. */
  #segment: Buffer = NO_DATA

  #pingTag: number | null = null
  #logoutTag: number | null = null
  readonly #text: TextExchange
  /** When the text or logout that is under way was first seen so. */
  #askedMs: number | null = null
  /** Tags of the commands being aborted, by the tag of the request to abort them. */
  readonly #aborts = new Map<number, number>()

  readonly #dataIn = new DataIn()
  readonly #response = new ScsiResponse()
  readonly #r2t = new ReadyToTransfer()

  constructor(options: FullFeatureOptions) {
    this.#connection = options.connection
    this.#writer = options.writer
    this.#parameters = options.parameters
    this.#session = options.session
    this.#expStatSN = options.expStatSN
    this.#logoutRequested = options.logoutRequested
    this.#loggedOut = options.loggedOut
    this.#dataOut = new DataOutSender(options.writer, options.parameters)
    this.#answered = new AnsweredTasks(options.writer, (task) => options.session.taskEnded(task))
    const { peerMaxRecvDataSegmentLength } = options.parameters
    this.#text = new TextExchange(
      options.writer,
      options.session.window,
      peerMaxRecvDataSegmentLength,
    )
  }

  // Commands.

  /** Whether a command may be sent now. */
  get ready(): boolean {
    return this.#dataOut.ready
  }

  sendCommand(task: ScsiTask): void {
    this.#dataOut.sendCommand(task, this.#expStatSN)
  }

  onDrain(): void {
    this.#answered.onDrain()
    this.#dataOut.pump(this.#expStatSN)
  }

  #taskOf(initiatorTaskTag: number, what: string): ScsiTask {
    const task = this.#session.taskOf(initiatorTaskTag, this.#connection)
    if (task === undefined) {
      throw broken(`${what}: no command has the tag 0x${initiatorTaskTag.toString(16)}`)
    }
    return task
  }

  #endTask(task: ScsiTask): void {
    this.#dataOut.forget(task)
    this.#answered.add(task)
  }

  // What comes in. `header` is a copy that stays the same until the end of the PDU.

  onHeader(header: Buffer): void {
    const pdu = this.#dataIn.at(header, 0)
    const opcode = pdu.opcode
    if (opcode !== Opcode.DataIn) {
      const length = pdu.dataSegmentLength
      this.#segment = length === 0 ? NO_DATA : Buffer.allocUnsafe(length)
      return
    }
    const task = this.#taskOf(pdu.initiatorTaskTag, 'Data-In')
    this.#dataPosition = acceptDataIn(task, pdu)
    this.#dataTask = task
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    if (this.#dataTask === null) buffer.copy(this.#segment, offset, position, position + length)
    else
      buffer.copy(this.#dataTask.buffer, this.#dataPosition + offset, position, position + length)
  }

  onEnd(header: Buffer): void {
    const pdu = this.#dataIn.at(header, 0)
    // The window lies at the same place in all PDUs that a target sends now.
    this.#session.window.update(pdu.expCmdSN, pdu.maxCmdSN)
    switch (pdu.opcode) {
      case Opcode.DataIn:
        this.#onDataInEnd(pdu)
        return
      case Opcode.ScsiResponse:
        this.#onScsiResponse(this.#response.at(header, 0))
        return
      case Opcode.ReadyToTransfer:
        this.#onReadyToTransfer(this.#r2t.at(header, 0))
        return
      case Opcode.NopIn:
        this.#onNopIn(new NopIn().at(header, 0))
        return
      case Opcode.TextResponse:
        this.#onTextResponse(new TextResponse().at(header, 0))
        return
      case Opcode.TaskManagementResponse:
        this.#onTaskManagementResponse(new TaskManagementResponse().at(header, 0))
        return
      case Opcode.LogoutResponse:
        this.#onLogoutResponse(pdu)
        return
      case Opcode.AsyncMessage:
        this.#onAsyncMessage(new AsyncMessage().at(header, 0))
        return
      case Opcode.Reject:
        this.#onReject(new Reject().at(header, 0))
        return
      default:
        throw broken(`got ${opcodeName(pdu.opcode)}, which no target may send now`)
    }
  }

  #onDataInEnd(pdu: DataIn): void {
    const task = this.#dataTask as ScsiTask
    this.#dataTask = null
    if (!pdu.hasStatus) return
    this.#countStatus(pdu)
    takeDataInStatus(task, pdu)
    this.#endTask(task)
  }

  #onScsiResponse(pdu: ScsiResponse): void {
    this.#countStatus(pdu)
    const task = this.#taskOf(pdu.initiatorTaskTag, 'SCSI Response')
    takeResponse(task, pdu, this.#segment)
    this.#endTask(task)
  }

  #onReadyToTransfer(pdu: ReadyToTransfer): void {
    const task = this.#taskOf(pdu.initiatorTaskTag, 'R2T')
    acceptReadyToTransfer(task, pdu, this.#parameters.maxBurstLength)
    this.#dataOut.solicit(task, this.#expStatSN)
  }

  /** Every PDU with a status has the next StatSN (RFC 7143 section 4.2.2.2). */
  #countStatus(pdu: { readonly opcode: number; readonly statSN: number }): void {
    if (pdu.statSN !== this.#expStatSN) {
      throw broken(`${opcodeName(pdu.opcode)}: StatSN is ${pdu.statSN}, wanted ${this.#expStatSN}`)
    }
    this.#expStatSN = serialAdd(this.#expStatSN, 1)
  }

  // NOP.

  /** Asks whether the target is there; that anything comes is answer enough for the caller. */
  ping(): void {
    if (this.#pingTag !== null) return
    this.#pingTag = this.#session.takeControlTag()
    this.#sendNopOut(this.#pingTag, RESERVED_TAG, null)
  }

  #onNopIn(pdu: NopIn): void {
    if (pdu.initiatorTaskTag !== RESERVED_TAG) {
      this.#countStatus(pdu)
      if (pdu.initiatorTaskTag !== this.#pingTag) throw broken('NOP-In: an answer to no ping')
      this.#pingTag = null
    } else if (pdu.targetTransferTag !== RESERVED_TAG && this.#logoutTag === null) {
      if (this.#writer.overrun) throw broken('NOP-In: it asks, and does not read our answers')
      this.#sendNopOut(RESERVED_TAG, pdu.targetTransferTag, pdu)
    }
  }

  #sendNopOut(tag: number, targetTransferTag: number, asked: NopIn | null): void {
    const base = this.#writer.reserve(0)
    const pdu = new NopOut().init(this.#writer.slab, base)
    pdu.immediate = true
    if (asked !== null) pdu.copyLun(asked.buffer, asked.lunPosition)
    pdu.initiatorTaskTag = tag
    pdu.targetTransferTag = targetTransferTag
    pdu.cmdSN = this.#session.window.cmdSN
    pdu.expStatSN = this.#expStatSN
    this.#writer.send(base, 0)
  }

  // Text.

  /** Throws an Error when it cannot be asked now. */
  sendText(pairs: readonly TextPair[], done: TextDone): void {
    this.#text.ask(pairs, this.#session.takeControlTag(), this.#expStatSN, done)
  }

  #onTextResponse(pdu: TextResponse): void {
    this.#countStatus(pdu)
    // After a Logout Request no more can be asked for; the end of the connection is the answer.
    if (this.#logoutTag !== null) return
    this.#text.receive(pdu, this.#segment, this.#expStatSN)
    if (!this.#text.underWay) this.#askedMs = null
  }

  // Task management.

  abortTask(task: ScsiTask): void {
    task.aborting = true
    const tag = this.#session.takeControlTag()
    this.#aborts.set(tag, task.initiatorTaskTag)
    const base = this.#writer.reserve(0)
    const pdu = new TaskManagementRequest().init(this.#writer.slab, base)
    pdu.immediate = true
    pdu.function = TaskManagementFunction.AbortTask
    pdu.copyLun(task.lun, 0)
    pdu.initiatorTaskTag = tag
    pdu.referencedTaskTag = task.initiatorTaskTag
    pdu.cmdSN = this.#session.window.cmdSN
    pdu.expStatSN = this.#expStatSN
    pdu.refCmdSN = task.cmdSN
    this.#writer.send(base, 0)
  }

  #onTaskManagementResponse(pdu: TaskManagementResponse): void {
    this.#countStatus(pdu)
    const tag = this.#aborts.get(pdu.initiatorTaskTag)
    if (tag === undefined) throw broken('Task Management Response: an answer to no request')
    this.#aborts.delete(pdu.initiatorTaskTag)
    const task = this.#session.taskOf(tag, this.#connection)
    // Its own status may have come first.
    if (task === undefined) return
    if (
      pdu.response !== TaskManagementResponseCode.FunctionComplete &&
      pdu.response !== TaskManagementResponseCode.TaskDoesNotExist
    ) {
      throw broken(`ABORT TASK: ${statusName(TaskManagementResponseCode, pdu.response)}`)
    }
    task.error ??= new CommandError(`no answer within ${task.timeoutMs} ms; aborted`)
    this.#endTask(task)
  }

  // The end.

  sendLogout(cid: number, reason: LogoutReason): void {
    this.#askedMs = null
    this.#logoutTag = this.#session.takeControlTag()
    const base = this.#writer.reserve(0)
    const pdu = new LogoutRequest().init(this.#writer.slab, base)
    pdu.immediate = true
    pdu.reasonCode = reason
    pdu.initiatorTaskTag = this.#logoutTag
    pdu.cid = cid
    pdu.cmdSN = this.#session.window.cmdSN
    pdu.expStatSN = this.#expStatSN
    this.#writer.send(base, 0)
  }

  #onLogoutResponse(pdu: { opcode: number; statSN: number; initiatorTaskTag: number }): void {
    this.#countStatus(pdu)
    if (pdu.initiatorTaskTag !== this.#logoutTag) {
      throw broken('Logout Response: an answer to no request')
    }
    // Whatever it says, nothing more is to be had on this connection.
    this.#loggedOut()
  }

  #onAsyncMessage(pdu: AsyncMessage): void {
    this.#countStatus(pdu)
    switch (pdu.asyncEvent) {
      case AsyncEvent.LogoutRequest:
      case AsyncEvent.NegotiationRequest:
        // New parameters are agreed on by a new login: the other answer that the standard allows.
        this.#logoutRequested()
        return
      case AsyncEvent.ConnectionDropped:
      case AsyncEvent.SessionDropped:
        throw new ConnectionLostError(`by the target: ${statusName(AsyncEvent, pdu.asyncEvent)}`)
      case AsyncEvent.ScsiEvent:
        this.#session.scsiEvent()
        return
      default:
      // Fast abort was not agreed on, and what vendors add says nothing to us.
    }
  }

  /** A rejected command fails alone; anything else that is rejected is a fault of ours. */
  #onReject(pdu: Reject): void {
    this.#countStatus(pdu)
    const rejected = this.#segment
    const reason = `rejected by the target: ${statusName(RejectReason, pdu.reason)}`
    if (rejected.length < 20) throw broken(`a PDU was ${reason}`)
    const opcode = (rejected[0] as number) & 0x3f
    const tag = rejected.readUInt32BE(16)
    const task =
      opcode === Opcode.ScsiCommand ? this.#session.taskOf(tag, this.#connection) : undefined
    if (task === undefined) throw broken(`${opcodeName(opcode)} was ${reason}`)
    // It was spoiled on the way: the session is to be recovered, and executes it again.
    if (pdu.reason === RejectReason.DataDigestError) throw broken(`the command was ${reason}`)
    // Its CmdSN counts as not received; to abort it fills the gap (RFC 7143 section 7.3).
    task.error = new CommandError(`the command was ${reason}`)
    this.abortTask(task)
  }

  /** What the target has owed for too long, besides commands and pings; null if nothing. */
  overdue(nowMs: number): string | null {
    if (this.#logoutTag === null && !this.#text.underWay) return null
    this.#askedMs ??= nowMs
    if (nowMs - this.#askedMs <= ANSWER_TIMEOUT_MS) return null
    const what = this.#logoutTag === null ? 'a text' : 'the logout'
    return `no answer to ${what} within ${ANSWER_TIMEOUT_MS} ms`
  }

  /** Nothing more will come: tells those who wait for more than a command. */
  end(error: Error): void {
    this.#dataTask = null
    this.#text.end(error)
  }
}

function broken(message: string): ProtocolError {
  return new ProtocolError('full-feature', message, { kind: 'drop' })
}
