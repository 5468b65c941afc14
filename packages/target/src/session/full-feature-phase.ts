/**
 * What a connection does with its PDUs after login: takes commands in the session's order, routes
 * data to their tasks, and sends what the tasks answer. Commands and data are looked at in place, in
 * the receive buffer; other PDUs are gathered and handed to the functions of control-pdu.ts.
 */
import {
  BHS_LENGTH,
  DataOut,
  type FramerHandler,
  Opcode,
  ProtocolError,
  RESERVED_TAG,
  type ReadyToTransfer,
  RejectReason,
  ScsiCommand,
} from '@platter/protocol/iscsi'
import type { Nexus, VolumeError } from '../scsi/scsi-task.ts'
import { Turn } from './command-window.ts'
import type { CloseReason, ConnectionSink } from './connection-sink.ts'
import type { ControlContext, ControlPdu } from './control-pdu.ts'
import { type DataInPort, DataInSender } from './data-in.ts'
import { type DataOutPort, DataOutReceiver } from './data-out.ts'
import { logoutRequest } from './logout.ts'
import { nopOut } from './nop.ts'
import type { Responder } from './responder.ts'
import type { Session, SessionConnection } from './session.ts'
import { R2T_LIMIT, type Task, TaskStage } from './task.ts'
import { taskManagementRequest } from './task-management.ts'
import { TextExchange } from './text.ts'

/** Where the data segment that is coming in goes. */
const Use = { Discard: 0, Task: 1, Gather: 2 } as const
type Use = (typeof Use)[keyof typeof Use]

/** Write data copied aside, above which a connection stops taking in PDUs, in bytes. */
const ASIDE_LIMIT = 8 * 1024 * 1024

/** What the phase needs of the connection it belongs to. */
export interface FullFeaturePort {
  readonly cid: number
  readonly remote: string
  readonly local: string
  readonly responder: Responder
  readonly session: Session
  /** The initiator's MaxRecvDataSegmentLength, in bytes. */
  readonly sendSegmentMax: number
  sessions(): Iterable<Session>
  targetAddresses(): { targetName: string; addresses: readonly string[] }
  pingAnswered(targetTransferTag: number): void
  logoutStarted(): void
  loggedOut(): void
  end(reason: CloseReason, detail: string): void
  /** Stops or goes on taking in PDUs. */
  setPaused(paused: boolean): void
}

export class FullFeaturePhase
  implements FramerHandler, DataInPort, DataOutPort, SessionConnection, ControlContext
{
  readonly #port: FullFeaturePort
  readonly session: Session
  readonly responder: Responder
  readonly sink: ConnectionSink
  readonly cid: number
  readonly remote: string
  readonly local: string
  readonly nexus: Nexus
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  readonly sendSegmentMax: number
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly maxOutstandingR2T: number
  readonly #dataIn: DataInSender
  readonly #dataOut: DataOutReceiver
  readonly #text: TextExchange
  readonly #command = new ScsiCommand()
  readonly #data = new DataOut()

  #use: Use = Use.Discard
  #task: Task | null = null
  #solicited = false
  #final = false
  #isCommand = false
  #header: Buffer | null = null
  #payload: Buffer | null = null
  #asideBytes = 0
  #tagSerial = 0
  #open = true

  constructor(port: FullFeaturePort) {
    this.#port = port
    this.session = port.session
    this.responder = port.responder
    this.sink = port.responder.sink
    this.cid = port.cid
    this.remote = port.remote
    this.local = port.local
    this.nexus = port.session.nexus
    this.headerDigest = port.responder.headerDigest
    this.dataDigest = port.responder.dataDigest
    this.sendSegmentMax = Math.min(port.sendSegmentMax, this.sink.slabMaxBytes - 2 * BHS_LENGTH)
    const { parameters } = port.session
    this.maxBurstLength = parameters.maxBurstLength
    this.firstBurstLength = parameters.firstBurstLength
    this.maxOutstandingR2T = Math.min(parameters.maxOutstandingR2T, R2T_LIMIT)
    this.#dataIn = new DataInSender(this)
    this.#dataIn.configure()
    this.#dataOut = new DataOutReceiver(this)
    this.#text = new TextExchange(this)
  }

  // Framer: one PDU after another.

  onHeader(buffer: Buffer, base: number): void {
    this.#use = Use.Discard
    this.#task = null
    try {
      const opcode = (buffer[base] as number) & 0x3f
      if (opcode === Opcode.ScsiCommand) this.#scsiCommand(buffer, base)
      else if (opcode === Opcode.DataOut) this.#dataOutHeader(buffer, base)
      else this.#gather(buffer, base)
    } catch (error) {
      if (error instanceof ProtocolError && error.answer.kind === 'reject') {
        this.responder.reject(error.answer.reason, buffer, base)
      }
      throw error
    }
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    if (this.#use === Use.Task) {
      const task = this.#task as Task
      if (task.stage !== TaskStage.Aborted) this.#dataOut.take(task, buffer, position, length)
    } else if (this.#use === Use.Gather) {
      buffer.copy(this.#payload as Buffer, offset, position, position + length)
    }
  }

  onEnd(): void {
    if (this.#use === Use.Task) this.#dataEnded(this.#task as Task)
    else if (this.#use === Use.Gather) this.#controlPdu()
    this.session.runEarly()
    if (this.#mustPause()) this.#port.setPaused(true)
  }

  onDataDigestError(): void {
    const header = this.#header ?? Buffer.alloc(BHS_LENGTH)
    this.responder.reject(RejectReason.DataDigestError, header, 0)
    if (this.#use === Use.Task) {
      // At ErrorRecoveryLevel 0 lost data can't be asked for again: the session starts anew.
      this.#port.end('protocol-error', 'a data segment failed its digest')
    }
  }

  // SCSI commands.

  #scsiCommand(buffer: Buffer, base: number): void {
    const command = this.#command.at(buffer, base)
    const { session } = this
    if (session.identity.type !== 'Normal') {
      this.responder.reject(RejectReason.ProtocolError, buffer, base)
      return
    }
    let turn: Turn = Turn.Next
    if (!command.immediate) {
      turn = session.window.turn(command.cmdSN)
      if (turn === Turn.Outside || session.isKept(command.cmdSN)) return
    }
    this.#checkCommand(command)
    const task = session.beginTask(command, this)
    if (task === undefined) {
      this.responder.reject(RejectReason.ImmediateCommandReject, buffer, base)
      return
    }
    const immediateData = command.dataSegmentLength > 0
    if (immediateData) {
      this.#use = Use.Task
      this.#task = task
      this.#isCommand = true
      this.#final = command.final
      // The response must wait for the segment that is on its heels, as for unsolicited data.
      task.unsolicitedOpen = true
      if (this.dataDigest) this.#header = Buffer.from(buffer.subarray(base, base + BHS_LENGTH))
    }
    if (turn === Turn.Early) {
      session.keepEarly(command.cmdSN, task)
      return
    }
    if (!command.immediate) session.window.advance()
    session.execute(task)
  }

  #checkCommand(command: ScsiCommand): void {
    const { parameters } = this.session
    const length = command.dataSegmentLength
    if (command.read && command.write) {
      throw refused(RejectReason.CommandNotSupported, 'bidirectional commands are not supported')
    }
    if (this.session.tasks.has(command.initiatorTaskTag)) {
      throw refused(RejectReason.TaskInProgress, `task ${command.initiatorTaskTag} is in progress`)
    }
    if (length > 0 && !parameters.immediateData) {
      throw refused(RejectReason.ProtocolError, 'immediate data, though ImmediateData is No')
    }
    if (length > 0 && !command.write) {
      throw refused(RejectReason.ProtocolError, 'immediate data in a command that writes nothing')
    }
    if (command.write && !command.final && parameters.initialR2T) {
      throw refused(RejectReason.ProtocolError, 'unsolicited data, though InitialR2T is Yes')
    }
    const most = Math.min(this.firstBurstLength, command.expectedDataTransferLength)
    if (length > most) {
      throw refused(RejectReason.ProtocolError, `immediate data of ${length} bytes exceed ${most}`)
    }
  }

  // Data-Out.

  #dataOutHeader(buffer: Buffer, base: number): void {
    const pdu = this.#data.at(buffer, base)
    const tag = pdu.targetTransferTag
    const solicited = tag !== RESERVED_TAG
    const task = solicited
      ? this.session.taskInSlot(tag & 0xffff)
      : this.session.tasks.get(pdu.initiatorTaskTag)
    // Data of a task that has ended or was aborted meanwhile are of no use, and no fault.
    if (task === undefined || task.owner !== this) return
    if (task.stage === TaskStage.Free || task.stage === TaskStage.Aborted) return
    if (task.initiatorTaskTag !== pdu.initiatorTaskTag) return
    this.#dataOut.check(task, pdu)
    this.#use = Use.Task
    this.#task = task
    this.#isCommand = false
    this.#solicited = solicited
    this.#final = pdu.final
    if (this.dataDigest) this.#header = Buffer.from(buffer.subarray(base, base + BHS_LENGTH))
  }

  #dataEnded(task: Task): void {
    if (task.stage === TaskStage.Aborted) return
    const solicited = this.#solicited && !this.#isCommand
    this.#dataOut.pduEnded(task, solicited, this.#final)
    if (task.stage === TaskStage.Ending && !task.unsolicitedOpen) this.respond(task)
  }

  // Other PDUs.

  #gather(buffer: Buffer, base: number): void {
    const header = BHS_LENGTH + 4 * (buffer[base + 4] as number)
    this.#header = Buffer.from(buffer.subarray(base, base + header))
    this.#payload = Buffer.allocUnsafe(buffer.readUIntBE(base + 5, 3))
    this.#use = Use.Gather
  }

  #controlPdu(): void {
    const pdu = { header: this.#header as Buffer, data: this.#payload as Buffer }
    this.#header = null
    this.#payload = null
    const immediate = ((pdu.header[0] as number) & 0x40) !== 0
    const opcode = (pdu.header[0] as number) & 0x3f
    if (immediate || opcode === Opcode.SnackRequest) {
      this.#act(pdu)
      return
    }
    const { session } = this
    const cmdSN = pdu.header.readUInt32BE(24)
    const turn = session.window.turn(cmdSN)
    if (turn === Turn.Outside || session.isKept(cmdSN)) return
    const deliver = () => {
      session.window.release()
      if (this.#open) this.#act(pdu)
    }
    if (turn === Turn.Early) {
      session.keepEarly(cmdSN, { deliver })
    } else {
      session.window.advance()
      deliver()
    }
  }

  #act(pdu: ControlPdu): void {
    const opcode = (pdu.header[0] as number) & 0x3f
    const discovery = this.session.identity.type === 'Discovery'
    if (opcode === Opcode.TextRequest) this.#text.request(pdu)
    else if (opcode === Opcode.LogoutRequest) logoutRequest(this, pdu)
    else if (opcode === Opcode.NopOut) nopOut(this, pdu)
    else if (opcode === Opcode.TaskManagementRequest && !discovery) taskManagementRequest(this, pdu)
    else this.#refuse(opcode, pdu)
  }

  #refuse(opcode: number, pdu: ControlPdu): void {
    const known = opcode === Opcode.LoginRequest || opcode === Opcode.TaskManagementRequest
    let reason: RejectReason = known ? RejectReason.ProtocolError : RejectReason.CommandNotSupported
    if (opcode === Opcode.SnackRequest) reason = RejectReason.SnackReject
    this.responder.reject(reason, pdu.header, 0)
  }

  // What tasks ask for.

  startDataIn(task: Task): void {
    this.#dataIn.start(task)
  }

  dataInRead(task: Task, error: VolumeError | null): void {
    this.#dataIn.readEnded(task, error)
  }

  startDataOut(task: Task): void {
    this.#dataOut.start(task)
  }

  /** Sends the response, after the initiator has said all it will say unasked. */
  respond(task: Task): void {
    if (task.unsolicitedOpen) {
      task.stage = TaskStage.Ending
      if (task.dataOutWanted < 0) task.dataOutWanted = 0
      return
    }
    // The response itself tells of the place in the window that it gives back.
    this.session.endTask(task)
    this.responder.scsiResponse(task)
  }

  endTask(task: Task): void {
    this.session.endTask(task)
  }

  abortEnded(task: Task): void {
    const { onAborted } = task
    this.#dataIn.forget(task)
    this.session.endTask(task)
    onAborted?.()
  }

  // Ports of the two data movers.

  stamp(pdu: { statSN: number; expCmdSN: number; maxCmdSN: number }, hasStatus: boolean): void {
    this.responder.stamp(pdu, hasStatus)
  }

  seal(buffer: Buffer, base: number, dataLength: number): void {
    this.responder.seal(buffer, base, dataLength)
  }

  nextTargetTransferTag(task: Task): number {
    this.#tagSerial = (this.#tagSerial + 1) & 0x7fff
    return this.#tagSerial * 0x10000 + task.slot
  }

  nextTag(): number {
    this.#tagSerial = (this.#tagSerial + 1) & 0x7fff
    return this.#tagSerial * 0x10000 + 0xffff
  }

  reservePdu(): number {
    return this.responder.reserve(0)
  }

  sendReadyToTransfer(pdu: ReadyToTransfer): void {
    this.responder.readyToTransfer(pdu)
  }

  asideChanged(bytes: number): void {
    this.#asideBytes += bytes
    if (bytes < 0 && !this.#mustPause()) this.#port.setPaused(false)
  }

  #mustPause(): boolean {
    return this.sink.backlogBytes > this.sink.backlogLimitBytes || this.#asideBytes > ASIDE_LIMIT
  }

  /** The network has taken what was queued. */
  onDrain(): void {
    this.#dataIn.resume()
    if (!this.#mustPause()) this.#port.setPaused(false)
  }

  // Control PDUs and the session.

  sessions(): Iterable<Session> {
    return this.#port.sessions()
  }

  targetAddresses(): { targetName: string; addresses: readonly string[] } {
    return this.#port.targetAddresses()
  }

  pingAnswered(targetTransferTag: number): void {
    this.#port.pingAnswered(targetTransferTag)
  }

  logoutStarted(): void {
    this.#port.logoutStarted()
  }

  loggedOut(): void {
    this.#port.loggedOut()
  }

  end(reason: CloseReason, detail: string): void {
    this.#port.end(reason, detail)
  }

  /** The connection is over: nothing that waits acts any more. */
  closed(): void {
    this.#open = false
    this.session.removeConnection(this)
  }
}

function refused(reason: RejectReason, message: string): ProtocolError {
  return new ProtocolError('command', message, { kind: 'reject', reason })
}
