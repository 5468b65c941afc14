/**
 * Write data and parameter data on their way in: immediate data, unsolicited and solicited SCSI
 * Data-Out PDUs, and the R2Ts that ask for the latter (RFC 7143 sections 11.7 and 11.8).
 *
 * Data of a write go to the medium as they come, in whole blocks, straight from the receive buffer;
 * only the beginning of a block whose rest is still on the wire is copied, and what the medium can't
 * take at once. All data of a command come in order: DataPDUInOrder and DataSequenceInOrder are Yes.
 */
import {
  type DataOut,
  ProtocolError,
  RESERVED_TAG,
  ReadyToTransfer,
  RejectReason,
} from '@platter/protocol/iscsi'
import type { IoCompletion, VolumeError } from '../scsi/scsi-task.ts'
import { EarlyDataBuffers } from './early-data.ts'
import type { Responder } from './responder.ts'
import { R2T_LIMIT, type Task, TaskStage } from './task.ts'

/** The unit in which data reach the medium: the page cache's, and a multiple of every block size. */
const PAGE_BYTES = 4096

/**
 * What is wrong with a command's data, as the additional sense code of its ABORTED COMMAND
 * (RFC 7143 section 11.4.7.2). The rest of the data is dropped.
 */
export const DataFault = {
  None: 0,
  /** Some failed their digest, or never came. */
  Lost: 0x4705,
  /** A sequence ended before all that it had to bring. */
  IncorrectAmount: 0x0c0d,
} as const
export type DataFault = (typeof DataFault)[keyof typeof DataFault]

/** What the receiver needs of its connection and session. */
export interface DataOutPort {
  readonly responder: Responder
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly maxOutstandingR2T: number
  nextTargetTransferTag(task: Task): number
  /** Bytes copied aside for the medium grew or shrank: input must pause above a bound. */
  asideChanged(bytes: number): void
  /** The SCSI layer must end the task for its `dataFault`. */
  failData(task: Task): void
}

/** A write that the medium could not take at once; the records are used again. */
class WriteAside implements IoCompletion {
  readonly #receiver: DataOutReceiver
  task: Task | null = null
  length = 0

  constructor(receiver: DataOutReceiver) {
    this.#receiver = receiver
  }

  ioCompleted(error: VolumeError | null): void {
    this.#receiver.writeEnded(this, error)
  }
}

export class DataOutReceiver {
  readonly #port: DataOutPort
  readonly #r2t = new ReadyToTransfer()
  readonly #freeWrites: WriteAside[] = []
  readonly #earlyData: EarlyDataBuffers

  constructor(port: DataOutPort) {
    this.#port = port
    this.#earlyData = new EarlyDataBuffers(port.firstBurstLength)
  }

  /** The SCSI layer has said where the data of this command go. */
  start(task: Task): void {
    const { held, received } = task
    task.held = null
    if (held !== null && task.dataFault === DataFault.None) {
      const length = Math.min(received, task.dataOutWanted)
      task.received = 0
      if (length > 0) this.#place(task, held, 0, length)
      task.received = received
    }
    if (held !== null) this.#earlyData.giveBack(held)
    this.advance(task)
  }

  /**
   * Takes in `length` bytes of the command's data, the next in order. The bytes are used or copied
   * before it returns.
   */
  take(task: Task, buffer: Buffer, position: number, length: number): void {
    if (task.dataFault !== DataFault.None) return
    if (task.dataOutWanted < 0) {
      this.#hold(task, buffer, position, length)
      task.received += length
      return
    }
    const wanted = Math.min(length, task.dataOutWanted - task.received)
    if (wanted > 0) this.#place(task, buffer, position, wanted)
    if (wanted < length) task.received += length - Math.max(wanted, 0)
  }

  /** All data that came so far is taken in: asks for more, or goes on with the command. */
  advance(task: Task): void {
    if (task.stage !== TaskStage.Executing || task.unsolicitedOpen || task.dataOutWanted < 0) return
    if (task.dataFault !== DataFault.None) {
      if (task.r2tCount === 0 && task.pendingIo === 0) this.#endFaulty(task)
      return
    }
    if (task.received >= task.dataOutWanted && task.r2tCount === 0) {
      if (task.pendingIo === 0) this.#finish(task)
      return
    }
    if (task.r2tCount === 0) task.requested = task.received
    while (task.r2tCount < this.#port.maxOutstandingR2T && task.requested < task.dataOutWanted) {
      this.#askForMore(task)
    }
  }

  #finish(task: Task): void {
    task.carryLength = 0
    task.dataOutWanted = -1
    const error = task.writeError
    task.writeError = null
    task.next(task, error)
  }

  /**
   * A DataSN out of order means that data before it were lost, as are data that failed their digest,
   * and without error recovery they can't be asked for again: the command fails, once all that was due
   * has come (RFC 7143 sections 7.8 and 7.9).
   */
  #endFaulty(task: Task): void {
    task.carryLength = 0
    this.#port.failData(task)
  }

  /**
   * Checks a Data-Out header against what the command expects next. Notes a fault that costs the
   * command; throws ProtocolError for one that costs the connection.
   */
  check(task: Task, pdu: DataOut): void {
    const length = pdu.dataSegmentLength
    const solicited = pdu.targetTransferTag !== RESERVED_TAG
    if (!solicited && !task.unsolicitedOpen) {
      throw breach(`unsolicited data for task ${task.initiatorTaskTag} after its last`)
    }
    if (solicited && (task.r2tCount === 0 || task.r2tTag[task.r2tHead] !== pdu.targetTransferTag)) {
      throw breach(`TargetTransferTag ${pdu.targetTransferTag} is not the R2T due for its task`)
    }
    if (solicited && !isLunOf(task, pdu)) {
      throw breach('the LUN is not that of the command', RejectReason.InvalidPduField)
    }
    const head = task.r2tHead
    const dataSN = solicited ? (task.r2tDataSN[head] as number) : task.unsolicitedDataSN
    if (pdu.dataSN !== dataSN) task.dataFault = DataFault.Lost
    if (task.dataFault !== DataFault.None) return
    if (pdu.bufferOffset !== task.received) {
      throw breach(`BufferOffset ${pdu.bufferOffset} is out of order, wanted ${task.received}`)
    }
    const end = solicited ? (task.r2tEnd[head] as number) : this.unsolicitedEnd(task)
    if (task.received + length > end) {
      throw breach(`data up to byte ${task.received + length}, wanted no more than ${end}`)
    }
    // Who sends data unasked in PDUs of their own sends all that may come unasked.
    if (pdu.final && task.received + length < end) task.dataFault = DataFault.IncorrectAmount
    if (solicited) task.r2tDataSN[head] = dataSN + 1
    else task.unsolicitedDataSN = dataSN + 1
  }

  /** Whether an aborted task waits for the end of the sequence that this PDU belongs to. */
  isAwaited(task: Task, pdu: DataOut): boolean {
    if (!task.dataAwaited) return false
    if (pdu.targetTransferTag === RESERVED_TAG) return task.unsolicitedOpen
    return task.r2tCount > 0 && task.r2tTag[task.r2tHead] === pdu.targetTransferTag
  }

  /** A sequence for an aborted task has come whole, and was dropped. */
  sequenceDropped(task: Task, solicited: boolean): void {
    if (!task.dataAwaited) return
    if (solicited) this.#sequenceEnded(task)
    else task.unsolicitedOpen = false
    if (task.r2tCount === 0 && !task.unsolicitedOpen) task.awaitNoData()
  }

  #sequenceEnded(task: Task): void {
    task.r2tHead = (task.r2tHead + 1) % R2T_LIMIT
    task.r2tCount--
  }

  /** The most that may come without an R2T: FirstBurstLength, immediate data included. */
  unsolicitedEnd(task: Task): number {
    return Math.min(this.#port.firstBurstLength, task.expectedDataTransferLength)
  }

  /** A Data-Out PDU is complete. */
  pduEnded(task: Task, solicited: boolean, final: boolean): void {
    if (final && !solicited) task.unsolicitedOpen = false
    if (final && solicited) this.#sequenceEnded(task)
    this.advance(task)
  }

  #hold(task: Task, buffer: Buffer, position: number, length: number): void {
    task.held ??= this.#earlyData.take(this.unsolicitedEnd(task))
    buffer.copy(task.held, task.received, position, position + length)
  }

  #place(task: Task, buffer: Buffer, position: number, length: number): void {
    if (task.destination !== null) this.#toMedium(task, buffer, position, length)
    else buffer.copy(task.dataOut, task.received, position, position + length)
    task.received += length
  }

  /**
   * Writes what ends on a boundary of the medium's pages, or ends the transfer, and keeps the rest:
   * a page written in two parts may first have to be read from the disk.
   */
  #toMedium(task: Task, buffer: Buffer, position: number, length: number): void {
    const blockBytes = task.destination?.blockSizeBytes ?? 1
    let at = position
    let left = length
    if (task.carryLength > 0) {
      const start = task.received - task.carryLength
      const missing = Math.min(this.#pageEnd(task, start) - task.received, left)
      buffer.copy(task.carry, task.carryLength, at, at + missing)
      task.carryLength += missing
      at += missing
      left -= missing
      if (start + task.carryLength < this.#pageEnd(task, start)) return
      const carried = task.carryLength
      task.carryLength = 0
      this.#write(task, start, task.carry, 0, carried - (carried % blockBytes))
    }
    const start = task.received + (at - position)
    const whole = Math.max(this.#wholePagesEnd(task, start + left) - start, 0)
    if (whole > 0) this.#write(task, start, buffer, at, whole)
    const rest = left - whole
    if (rest > 0) {
      if (task.carry.length < PAGE_BYTES) task.carry = Buffer.allocUnsafeSlow(PAGE_BYTES)
      buffer.copy(task.carry, 0, at + whole, at + left)
      task.carryLength = rest
    }
  }

  /** The end of the page that byte `start` of the command's data lies in, in bytes of its data. */
  #pageEnd(task: Task, start: number): number {
    const within = (task.destinationOffset + start) % PAGE_BYTES
    return Math.min(start - within + PAGE_BYTES, task.dataOutWanted)
  }

  /** The last boundary of pages at or before `end`, or `end` if the transfer ends there. */
  #wholePagesEnd(task: Task, end: number): number {
    if (end === task.dataOutWanted) return end - (end % (task.destination?.blockSizeBytes ?? 1))
    return end - ((task.destinationOffset + end) % PAGE_BYTES)
  }

  /** Writes whole blocks at `offset` of the command's data. */
  #write(task: Task, offset: number, buffer: Buffer, position: number, length: number): void {
    const { destination } = task
    if (destination === null || length === 0 || task.writeError !== null) return
    const target = task.destinationOffset + offset
    if (destination.writeNow(target, buffer, position, length)) return
    const copy = Buffer.allocUnsafeSlow(length)
    buffer.copy(copy, 0, position, position + length)
    const aside = this.#freeWrites.pop() ?? new WriteAside(this)
    aside.task = task
    aside.length = length
    task.pendingIo++
    this.#port.asideChanged(length)
    destination.write(target, copy, 0, length, aside)
  }

  /** A write that was copied aside has ended. */
  writeEnded(aside: WriteAside, error: VolumeError | null): void {
    const task = aside.task as Task
    aside.task = null
    this.#freeWrites.push(aside)
    this.#port.asideChanged(-aside.length)
    task.writeError ??= error
    if (!task.ioEnded()) this.advance(task)
  }

  #askForMore(task: Task): void {
    const length = Math.min(this.#port.maxBurstLength, task.dataOutWanted - task.requested)
    const tag = this.#port.nextTargetTransferTag(task)
    const entry = (task.r2tHead + task.r2tCount) % R2T_LIMIT
    task.r2tTag[entry] = tag
    task.r2tEnd[entry] = task.requested + length
    task.r2tDataSN[entry] = 0
    task.r2tCount++
    const { responder } = this.#port
    const base = responder.reserve(0)
    const pdu = this.#r2t.init(responder.sink.slab, base)
    pdu.final = true
    pdu.copyLun(task.lunBuffer, task.lunPosition)
    pdu.initiatorTaskTag = task.initiatorTaskTag
    pdu.targetTransferTag = tag
    pdu.r2tSN = task.r2tSN++
    pdu.bufferOffset = task.requested
    pdu.desiredDataTransferLength = length
    task.requested += length
    responder.readyToTransfer(pdu)
  }
}

/** Only beside a Target Transfer Tag does the LUN say something (RFC 7143 section 11.7.4). */
function isLunOf({ lunBuffer }: Task, { buffer, lunPosition }: DataOut): boolean {
  return lunBuffer.compare(buffer, lunPosition, lunPosition + lunBuffer.length) === 0
}

function breach(message: string, reason: RejectReason = RejectReason.ProtocolError): ProtocolError {
  return new ProtocolError('data-out', message, { kind: 'reject', reason })
}
