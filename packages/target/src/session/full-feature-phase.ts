/**
 * What a connection does with its PDUs after login: takes commands in the session's order, routes
 * data to their tasks, and sends what the tasks answer. Commands and data are looked at in place, in
 * the receive buffer; other PDUs go to control-receiver.ts.
 */
import {
  BHS_LENGTH,
  DataOut,
  type FramerHandler,
  headerLength,
  Opcode,
  ProtocolError,
  RESERVED_TAG,
  RejectReason,
  ScsiCommand,
} from '@platter/protocol/iscsi'
import type { Nexus, VolumeError } from '../scsi/scsi-task.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { AHS_LENGTH_MAX, checkAdditional, checkCommand } from './command-check.ts'
import { Turn } from './command-window.ts'
import type { CloseReason, ConnectionSink } from './connection-sink.ts'
import type { ControlContext, ControlPort } from './control-pdu.ts'
import { ControlReceiver } from './control-receiver.ts'
import { type DataInPort, DataInSender } from './data-in.ts'
import { DataFault, type DataOutPort, DataOutReceiver } from './data-out.ts'
import type { Responder } from './responder.ts'
import type { Session, SessionConnection } from './session.ts'
import { R2T_LIMIT, type Task, TaskStage } from './task.ts'

/** Where the data segment that is coming in goes. */
const Use = { Discard: 0, Task: 1, Control: 2, Command: 3 } as const
type Use = (typeof Use)[keyof typeof Use]

/** Write data copied aside, above which a connection stops taking in PDUs, in bytes. */
const ASIDE_LIMIT = 8 * 1024 * 1024

/** Where every PDU of an initiator has its TotalAHSLength and its ExpStatSN. */
const TOTAL_AHS_LENGTH_OFFSET = 4
const EXP_STAT_SN_OFFSET = 28

/** What the phase needs of the connection it belongs to. */
export interface FullFeaturePort extends ControlPort {
  readonly cid: number
  readonly remote: string
  readonly local: string
  readonly responder: Responder
  readonly session: Session
  /** The initiator's MaxRecvDataSegmentLength, in bytes. */
  readonly sendSegmentMax: number
  /** Asks the initiator for a sign of life, and so for its ExpStatSN. */
  solicit(): void
  requestLogout(nowMs: number, seconds: number, detail: string): void
  isLeaving(): boolean
  end(reason: CloseReason, detail: string): void
  /** Stops or goes on taking in PDUs. */
  setPaused(paused: boolean): void
}

export class FullFeaturePhase
  implements FramerHandler, DataInPort, DataOutPort, SessionConnection, ControlContext
{
  readonly port: FullFeaturePort
  readonly session: Session
  readonly responder: Responder
  readonly sink: ConnectionSink
  readonly cid: number
  readonly remote: string
  readonly local: string
  readonly nexus: Nexus
  #sendSegmentMax = 0
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly maxOutstandingR2T: number
  readonly #dataIn: DataInSender
  readonly #dataOut: DataOutReceiver
  readonly #control: ControlReceiver
  readonly #acknowledgements: Acknowledgements
  readonly #command = new ScsiCommand()
  readonly #data = new DataOut()

  #use: Use = Use.Discard
  #task: Task | null = null
  #solicited = false
  #final = false
  #isCommand = false
  /** Of the PDU that is coming in, kept while its data wait for their digest. */
  readonly #header = Buffer.alloc(BHS_LENGTH + AHS_LENGTH_MAX)
  #asideBytes = 0
  #tagSerial = 0
  #open = true

  constructor(port: FullFeaturePort) {
    this.port = port
    this.session = port.session
    this.responder = port.responder
    this.sink = port.responder.sink
    this.cid = port.cid
    this.remote = port.remote
    this.local = port.local
    this.nexus = port.session.nexus
    const { parameters } = port.session
    this.maxBurstLength = parameters.maxBurstLength
    this.firstBurstLength = parameters.firstBurstLength
    this.maxOutstandingR2T = Math.min(parameters.maxOutstandingR2T, R2T_LIMIT)
    this.#dataIn = new DataInSender(this)
    this.sendSegmentMax = port.sendSegmentMax
    this.#dataOut = new DataOutReceiver(this)
    this.#control = new ControlReceiver(this)
    this.#acknowledgements = new Acknowledgements(this.responder.statSN)
  }

  get sendSegmentMax(): number {
    return this.#sendSegmentMax
  }
  set sendSegmentMax(length: number) {
    this.#sendSegmentMax = Math.min(length, this.sink.slabMaxBytes - 2 * BHS_LENGTH)
    this.#dataIn.configure()
  }

  get isOpen(): boolean {
    return this.#open
  }

  // Framer: one PDU after another.

  onHeader(buffer: Buffer, base: number): void {
    this.#use = Use.Discard
    this.#task = null
    this.#acknowledgements.note(buffer.readUInt32BE(base + EXP_STAT_SN_OFFSET))
    if (this.responder.dataDigest)
      buffer.copy(this.#header, 0, base, base + headerLength(buffer, base))
    const opcode = (buffer[base] as number) & 0x3f
    const hasData = buffer.readUIntBE(base + 5, 3) > 0
    if (opcode === Opcode.ScsiCommand && this.responder.dataDigest && hasData) {
      // Until its data are verified the command may turn out never to have come.
      this.#use = Use.Command
    } else {
      this.#begin(opcode, buffer, base)
    }
  }

  /** A PDU begins to act, with its header at `buffer[base …]`. */
  #begin(opcode: number, buffer: Buffer, base: number): void {
    try {
      if (buffer[base + TOTAL_AHS_LENGTH_OFFSET] !== 0) checkAdditional(opcode, buffer, base)
      if (opcode === Opcode.ScsiCommand) this.#scsiCommand(buffer, base)
      else if (opcode === Opcode.DataOut) this.#dataOutHeader(buffer, base)
      else {
        this.#use = Use.Control
        this.#control.begin(buffer, base)
      }
    } catch (error) {
      if (error instanceof ProtocolError && error.answer.kind === 'reject') {
        this.responder.reject(error.answer.reason, buffer, base)
      }
      throw error
    }
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    if (this.#use === Use.Command) {
      this.#use = Use.Discard
      this.#begin(Opcode.ScsiCommand, this.#header, 0)
    }
    if (this.#use === Use.Task) {
      const task = this.#task as Task
      if (task.stage !== TaskStage.Aborted) this.#dataOut.take(task, buffer, position, length)
    } else if (this.#use === Use.Control) {
      this.#control.take(buffer, position, length, offset)
    }
  }

  onEnd(): void {
    if (this.#use === Use.Task) this.#dataEnded(this.#task as Task)
    else if (this.#use === Use.Control) this.#control.end()
    this.#pduEnded()
  }

  /** The PDU is discarded (RFC 7143 section 7.8): a command leaves its CmdSN to be sent again. */
  onDataDigestError(): void {
    this.responder.reject(RejectReason.DataDigestError, this.#header, 0)
    if (this.#use === Use.Task) {
      const task = this.#task as Task
      task.dataFault = DataFault.Lost
      this.#dataEnded(task)
    }
    this.#pduEnded()
  }

  #pduEnded(): void {
    this.session.runEarly()
    if (this.#mustPause()) this.port.setPaused(true)
  }

  // SCSI commands.

  #scsiCommand(buffer: Buffer, base: number): void {
    const command = this.#command.at(buffer, base)
    const { session } = this
    if (session.identity.type !== 'Normal') {
      // It is refused there.
      this.#use = Use.Control
      this.#control.begin(buffer, base)
      return
    }
    let turn: Turn = Turn.Next
    if (!command.immediate) {
      turn = session.window.turn(command.cmdSN)
      if (turn === Turn.Outside || session.isKept(command.cmdSN)) return
    }
    checkCommand(command, session.parameters, session.tasks)
    const task = session.beginTask(command, this)
    if (task === undefined) {
      this.responder.reject(RejectReason.ImmediateCommandReject, buffer, base)
      return
    }
    // Without the F bit, though nothing may follow: the initiator has sent all it can unasked.
    if (session.parameters.initialR2T) task.unsolicitedOpen = false
    const immediateData = command.dataSegmentLength > 0
    if (immediateData) {
      this.#use = Use.Task
      this.#task = task
      this.#isCommand = true
      this.#final = command.final || session.parameters.initialR2T
      // The response must wait for the segment that is on its heels, as for unsolicited data.
      task.unsolicitedOpen = true
    }
    if (turn === Turn.Early) {
      session.keepEarly(command.cmdSN, task)
      return
    }
    if (!command.immediate) session.window.advance()
    session.execute(task)
  }

  #dataOutHeader(buffer: Buffer, base: number): void {
    const pdu = this.#data.at(buffer, base)
    const task = this.session.tasks.get(pdu.initiatorTaskTag)
    // Data of a task that has ended or was aborted meanwhile are of no use, and no fault.
    if (task === undefined || task.owner !== this) return
    if (task.stage === TaskStage.Aborted) {
      if (!this.#dataOut.isAwaited(task, pdu)) return
    } else this.#dataOut.check(task, pdu)
    this.#use = Use.Task
    this.#task = task
    this.#isCommand = false
    this.#solicited = pdu.targetTransferTag !== RESERVED_TAG
    this.#final = pdu.final
  }

  #dataEnded(task: Task): void {
    const solicited = this.#solicited && !this.#isCommand
    if (task.stage === TaskStage.Aborted) {
      if (this.#final) this.#dataOut.sequenceDropped(task, solicited)
      return
    }
    const waited = task.stage === TaskStage.Ending && task.unsolicitedOpen
    this.#dataOut.pduEnded(task, solicited, this.#final)
    if (waited && !task.unsolicitedOpen) this.respond(task)
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
    if (this.session.fence.isFor(task)) this.#respondInOrder(task)
    else this.#sendResponse(task)
  }

  #sendResponse(task: Task): void {
    // The response itself tells of the place in the window that it gives back.
    this.session.endTask(task)
    this.responder.scsiResponse(task)
  }

  #respondInOrder(task: Task): void {
    task.stage = TaskStage.Ending
    task.failing = false
    task.onAborted = null
    const { isFenced } = task
    const send = () => this.#sendResponse(task)
    this.session.fence.hand({ task, connection: this, isFenced, send })
  }

  endTask(task: Task): void {
    this.session.endTask(task)
  }

  abortEnded(task: Task): void {
    const { onAborted, failing } = task
    this.#dataIn.forget(task)
    this.session.fence.forget(task)
    // The rest of a PDU that is coming in must not reach the record's next command.
    if (this.#task === task) this.#use = Use.Discard
    if (!failing) this.session.endAborted(task)
    else if (this.#open) this.#respondFailed(task)
    else this.session.endTask(task)
    onAborted?.()
  }

  #respondFailed(task: Task): void {
    task.unsolicitedOpen = false
    this.respond(task)
  }

  // Ports of the two data movers.

  nextTargetTransferTag(task: Task): number {
    this.#tagSerial = (this.#tagSerial + 1) & 0x7fff
    return this.#tagSerial * 0x10000 + task.slot
  }

  nextTag(): number {
    this.#tagSerial = (this.#tagSerial + 1) & 0x7fff
    return this.#tagSerial * 0x10000 + 0xffff
  }

  asideChanged(bytes: number): void {
    this.#asideBytes += bytes
    if (bytes < 0 && !this.#mustPause()) this.port.setPaused(false)
  }

  failData(task: Task): void {
    this.session.executor.dataFailed(task, task.dataFault)
  }

  #mustPause(): boolean {
    return this.sink.backlogBytes > this.sink.backlogLimitBytes || this.#asideBytes > ASIDE_LIMIT
  }

  /** The network has taken what was queued. */
  onDrain(): void {
    this.#dataIn.resume()
    if (!this.#mustPause()) this.port.setPaused(false)
  }

  // The session.

  end(reason: CloseReason, detail: string): void {
    this.port.end(reason, detail)
  }

  whenAcknowledged(done: () => void): void {
    if (!this.#open) done()
    else if (this.#acknowledgements.await(this.responder.statSN, done)) this.port.solicit()
  }

  /** Whether somebody has waited in vain for the initiator to acknowledge; called about once a second. */
  isUnacknowledged(nowMs: number, limitMs: number): boolean {
    return this.#acknowledgements.isOverdue(nowMs, limitMs)
  }

  get isLeaving(): boolean {
    return this.port.isLeaving()
  }

  requestLogout(nowMs: number, seconds: number, detail: string): void {
    this.port.requestLogout(nowMs, seconds, detail)
  }

  /** The connection is over: nothing that waits acts any more. */
  closed(): void {
    this.#open = false
    this.session.removeConnection(this)
    this.#acknowledgements.end()
  }
}
