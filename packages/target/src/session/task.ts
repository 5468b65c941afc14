/**
 * One SCSI command in the target's hands: the record that data-in.ts and data-out.ts work on, and the
 * ScsiTask that the SCSI layer sees. Records are made once per command slot and used again.
 */
import { RESERVED_TAG, type ScsiCommand } from '@platter/protocol/iscsi'
import {
  type ExtentDestination,
  type ExtentSource,
  type IoCompletion,
  type Nexus,
  type ScsiTask,
  TaskAttribute,
  type TaskStep,
  type VolumeError,
} from '../scsi/scsi-task.ts'

export const TaskStage = {
  /** Not in use. */
  Free: 0,
  /** Received, but an earlier CmdSN is missing. */
  Waiting: 1,
  /** With the SCSI layer, or moving data. */
  Executing: 2,
  /** Its outcome is known; the response waits for the rest of the initiator's unsolicited data, or at a fence. */
  Ending: 3,
  /** Aborted; the record waits for storage operations under way. */
  Aborted: 4,
} as const
export type TaskStage = (typeof TaskStage)[keyof typeof TaskStage]

/** What a task asks of the connection that it belongs to (connection allegiance, RFC 7143 section 4.2.2.2). */
export interface TaskOwner {
  readonly nexus: Nexus
  /** The connection is over or being logged out: what it has not acted on has never come. */
  readonly isLeaving: boolean
  /** The SCSI layer wants data sent: `source`, `sourceOffset` and `dataInLength` are set. */
  startDataIn(task: Task): void
  /** A read that `startDataIn` began has ended. */
  dataInRead(task: Task, error: VolumeError | null): void
  /** The SCSI layer has said where the initiator's data go: `dataOutWanted` is set. */
  startDataOut(task: Task): void
  /** The outcome is known: `status` and `senseLength` are set. */
  respond(task: Task): void
  /** An aborted task's last storage operation has ended. */
  abortEnded(task: Task): void
}

/** What can be outstanding for one command; the policy's MaxOutstandingR2T stays within it. */
export const R2T_LIMIT = 8

/** By the number in the SCSI Command PDU (RFC 7143 section 11.3.1): 0 is for untagged ones. */
const attributes: readonly TaskAttribute[] = [
  TaskAttribute.Simple,
  TaskAttribute.Simple,
  TaskAttribute.Ordered,
  TaskAttribute.HeadOfQueue,
]

const SENSE_MAX = 252
const NO_DATA = Buffer.alloc(0)
const GOOD = 0x00
const CHECK_CONDITION = 0x02

function unset(): void {
  throw new Error('a task was continued before the SCSI layer said how')
}

export class Task implements ScsiTask, IoCompletion {
  /** Index of the record in its session; part of its Target Transfer Tags. */
  readonly slot: number
  stage: TaskStage = TaskStage.Free
  owner!: TaskOwner

  initiatorTaskTag = RESERVED_TAG
  cmdSN = 0
  immediate = false
  expectedDataTransferLength = 0
  isRead = false
  isWrite = false

  attribute: TaskAttribute = TaskAttribute.Simple
  readonly lunBuffer = Buffer.alloc(8)
  readonly lunPosition = 0
  readonly cdb = Buffer.alloc(16)
  readonly cdbPosition = 0
  next: TaskStep = unset
  unit: unknown = null
  state: unknown = null
  isEnabled = false
  blockAccessIndex = -1
  isFenced = false

  status = GOOD
  readonly sense = Buffer.alloc(SENSE_MAX)
  senseLength = 0
  /** Bytes the command would move if the initiator's buffers allowed; for the residual count. */
  transferLength = 0

  /** Storage operations that will still call back. */
  pendingIo = 0
  /** Run when the last of them has ended after an abort. */
  onAborted: (() => void) | null = null
  /** It is aborted, and ends only when the initiator has sent what R2Ts asked for, as `pendingIo` counts. */
  dataAwaited = false
  dataAwaitedUntilMs = 0
  /** It is aborted, and yet answered: with the CHECK CONDITION that `failWith` has set. */
  failing = false

  // Data-In: what is still to be sent, see data-in.ts.
  source: ExtentSource | null = null
  sourceOffset = 0
  dataInLength = 0
  dataInSent = 0
  dataInBurst = 0
  dataSN = 0
  dataInSlab: Buffer | null = null
  dataInPending = 0

  // Data-Out: what has come and where it goes, see data-out.ts.
  destination: ExtentDestination | null = null
  destinationOffset = 0
  dataOut: Buffer = NO_DATA
  /** Bytes that the SCSI layer wants; -1 until it has said so. */
  dataOutWanted = -1
  /** Bytes of the command's data received, all in order. */
  received = 0
  /** The initiator may still send data that no R2T asked for. */
  unsolicitedOpen = false
  unsolicitedDataSN = 0
  /** Data that came before the SCSI layer said where they go. */
  held: Buffer | null = null
  /** The beginning of a block whose rest has not come. */
  carry: Buffer = NO_DATA
  carryLength = 0
  writeError: VolumeError | null = null
  /** A DataFault of data-out.ts: if not 0, the rest of the data is dropped, and the command fails. */
  dataFault = 0
  r2tSN = 0
  /** Bytes asked for so far, by R2T. */
  requested = 0
  r2tHead = 0
  r2tCount = 0
  readonly r2tTag = new Uint32Array(R2T_LIMIT)
  readonly r2tEnd = new Float64Array(R2T_LIMIT)
  readonly r2tDataSN = new Uint32Array(R2T_LIMIT)

  constructor(slot: number) {
    this.slot = slot
  }

  get nexus(): Nexus {
    return this.owner.nexus
  }

  get dataOutLength(): number {
    return this.isWrite ? this.expectedDataTransferLength : 0
  }

  /** Takes a free record into use for a command whose header is at hand. */
  begin(command: ScsiCommand, owner: TaskOwner): void {
    this.stage = TaskStage.Waiting
    this.owner = owner
    this.initiatorTaskTag = command.initiatorTaskTag
    this.cmdSN = command.cmdSN
    this.immediate = command.immediate
    this.expectedDataTransferLength = command.expectedDataTransferLength
    this.isRead = command.read
    this.isWrite = command.write
    this.attribute = attributes[command.attribute] ?? TaskAttribute.Other
    const { buffer } = command
    for (let i = 0; i < 8; i++) this.lunBuffer[i] = buffer[command.lunPosition + i] as number
    for (let i = 0; i < 16; i++) this.cdb[i] = buffer[command.cdbPosition + i] as number
    this.isFenced = false
    this.status = GOOD
    this.senseLength = 0
    this.transferLength = 0
    this.dataInLength = 0
    this.dataInSent = 0
    this.dataInBurst = 0
    this.dataSN = 0
    this.dataOutWanted = -1
    this.received = 0
    this.unsolicitedOpen = command.write && !command.final
    this.unsolicitedDataSN = 0
    this.carryLength = 0
    this.dataFault = 0
    this.r2tSN = 0
    this.requested = 0
    this.r2tHead = 0
    this.r2tCount = 0
  }

  /** Lets go of what the command held; the record can be used again. */
  end(): void {
    this.stage = TaskStage.Free
    this.next = unset
    this.unit = null
    this.state = null
    this.source = null
    this.destination = null
    this.dataOut = NO_DATA
    this.held = null
    this.writeError = null
    this.onAborted = null
    this.failing = false
  }

  finish(status: number): void {
    this.status = status
    this.senseLength = 0
    this.owner.respond(this)
  }

  checkCondition(sense: Buffer): void {
    this.#setCondition(sense)
    this.owner.respond(this)
  }

  /** To be called before the task is aborted: it is answered, once the initiator has sent all it is to send. */
  failWith(sense: Buffer): void {
    this.#setCondition(sense)
    this.failing = true
    // What has not begun must be over at once, lest it begins meanwhile; data of it are then dropped.
    const hasBegun = this.dataOutWanted >= 0
    if ((this.unsolicitedOpen && hasBegun) || this.r2tCount > 0) this.#beginWait()
  }

  #setCondition(sense: Buffer): void {
    this.status = CHECK_CONDITION
    // A read that failed has moved what was sent by then, and no more.
    if (this.source !== null) this.transferLength = this.dataInSent
    this.senseLength = sense.copy(this.sense, 0, 0, SENSE_MAX)
  }

  sendData(data: Buffer): void {
    this.sendExtent(new BufferSource(data), 0, data.length)
  }

  sendExtent(source: ExtentSource, offset: number, length: number): void {
    this.source = source
    this.sourceOffset = offset
    this.transferLength = length
    const room = this.isRead ? this.expectedDataTransferLength : 0
    this.dataInLength = Math.min(length, room)
    this.owner.startDataIn(this)
  }

  receiveExtent(destination: ExtentDestination, offset: number, length: number): void {
    this.destination = destination
    this.destinationOffset = offset
    this.transferLength = length
    this.dataOutWanted = Math.min(length, this.dataOutLength)
    this.owner.startDataOut(this)
  }

  receiveData(length: number): void {
    this.transferLength = length
    this.dataOutWanted = Math.min(length, this.dataOutLength)
    this.dataOut = Buffer.alloc(this.dataOutWanted)
    this.owner.startDataOut(this)
  }

  awaitIo(): IoCompletion {
    this.pendingIo++
    return this
  }

  /** To be called before the task is aborted: its R2Ts that are out are to be answered all the same. */
  awaitData(): void {
    if (this.r2tCount > 0) this.#beginWait()
  }

  #beginWait(): void {
    if (this.dataAwaited) return
    this.dataAwaited = true
    this.dataAwaitedUntilMs = 0
    this.pendingIo++
  }

  /** The data have come, or are not waited for any longer. */
  awaitNoData(): void {
    if (!this.dataAwaited) return
    this.dataAwaited = false
    this.ioEnded()
  }

  /** Counts a storage operation as ended; true when the task has been aborted meanwhile. */
  ioEnded(): boolean {
    this.pendingIo--
    if (this.stage !== TaskStage.Aborted) return false
    if (this.pendingIo === 0) this.owner.abortEnded(this)
    return true
  }

  ioCompleted(error: VolumeError | null): void {
    if (this.dataInSlab !== null) this.owner.dataInRead(this, error)
    else if (!this.ioEnded()) this.next(this, error)
  }
}

/** Parameter data as a source, so that they leave by the same road as the medium's. */
class BufferSource implements ExtentSource {
  readonly blockSizeBytes = 1
  readonly #data: Buffer

  constructor(data: Buffer) {
    this.#data = data
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    this.#data.copy(into, position, offset, offset + length)
    return true
  }

  read(): void {
    throw new Error('parameter data are always at hand')
  }
}
