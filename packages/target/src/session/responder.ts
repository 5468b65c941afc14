/**
 * PDUs on their way out of one connection: StatSN, the window's numbers, digests, and the short
 * responses that carry no medium data. One for each connection, from its login to its end.
 */
import {
  AsyncEvent,
  AsyncMessage,
  dataPosition,
  headerLength,
  LogoutResponse,
  NopIn,
  pduLength,
  RESERVED_TAG,
  type ReadyToTransfer,
  Reject,
  ScsiResponse,
  sealPdu,
  serialAdd,
  TaskManagementResponse,
  TextResponse,
} from '@platter/protocol/iscsi'
import type { CommandWindow } from './command-window.ts'
import type { ConnectionSink } from './connection-sink.ts'
import { setResidual } from './data-in.ts'
import type { Task } from './task.ts'

/** The numbers that every target PDU carries. */
interface Stamped {
  statSN: number
  expCmdSN: number
  maxCmdSN: number
}

export class Responder {
  readonly sink: ConnectionSink
  /** StatSN of the next PDU that carries a status (RFC 7143 section 4.2.2.2). */
  statSN: number
  /** The session's window; absent until login has made or found the session. */
  window: CommandWindow | null = null
  headerDigest = false
  dataDigest = false
  readonly #scsiResponse = new ScsiResponse()

  constructor(sink: ConnectionSink, firstStatSN: number) {
    this.sink = sink
    this.statSN = firstStatSN
  }

  /** Fills in the window's numbers, and the next StatSN, used up when `hasStatus`. */
  stamp(pdu: Stamped, hasStatus: boolean): void {
    if (hasStatus) {
      pdu.statSN = this.statSN
      this.statSN = serialAdd(this.statSN, 1)
    }
    this.stampWindow(pdu)
  }

  /** Fills in ExpCmdSN and MaxCmdSN only. */
  stampWindow(pdu: Stamped): void {
    const { window } = this
    if (window === null) return
    pdu.expCmdSN = window.expCmdSN
    pdu.maxCmdSN = window.maxCmdSN
  }

  seal(buffer: Buffer, base: number, dataLength: number): void {
    sealPdu(buffer, base, dataLength, this.headerDigest, this.dataDigest)
  }

  /** Room for a PDU with `dataLength` bytes of data: its position in `sink.slab`. */
  reserve(dataLength: number): number {
    return this.sink.reserve(pduLength(0, dataLength, this.headerDigest, this.dataDigest))
  }

  /** Seals and queues a PDU laid out at `base` of `sink.slab`. */
  send(base: number, dataLength: number): void {
    this.seal(this.sink.slab, base, dataLength)
    this.sink.commit(pduLength(0, dataLength, this.headerDigest, this.dataDigest))
  }

  /** Copies `data` to its place behind the header at `base`. */
  #put(base: number, data: Buffer): void {
    data.copy(this.sink.slab, dataPosition(base, 0, this.headerDigest))
  }

  /** SCSI Response; the task's place in the window has been given back already. */
  scsiResponse(task: Task): void {
    const senseBytes = task.senseLength === 0 ? 0 : task.senseLength + 2
    const base = this.reserve(senseBytes)
    const { slab } = this.sink
    const pdu = this.#scsiResponse.init(slab, base)
    pdu.initiatorTaskTag = task.initiatorTaskTag
    pdu.status = task.status
    pdu.dataSegmentLength = senseBytes
    pdu.expDataSN = task.dataSN
    setResidual(pdu, task.transferLength, task.expectedDataTransferLength)
    this.stamp(pdu, true)
    if (senseBytes > 0) {
      const at = dataPosition(base, 0, this.headerDigest)
      slab.writeUInt16BE(task.senseLength, at)
      task.sense.copy(slab, at + 2, 0, task.senseLength)
    }
    this.send(base, senseBytes)
  }

  /** R2T carries the next StatSN without using it up (RFC 7143 section 11.8). */
  readyToTransfer(pdu: ReadyToTransfer): void {
    pdu.statSN = this.statSN
    this.stampWindow(pdu)
    this.send(pdu.base, 0)
  }

  /** `information` is the Additional Response Information of RFC 7144, three bytes as one number. */
  taskManagementResponse(initiatorTaskTag: number, response: number, information = 0): void {
    const base = this.reserve(0)
    const pdu = new TaskManagementResponse().init(this.sink.slab, base)
    pdu.initiatorTaskTag = initiatorTaskTag
    pdu.response = response
    pdu.additionalResponseInformation = information
    this.stamp(pdu, true)
    this.send(base, 0)
  }

  /** The answer to a ping, with its data; a LUN goes with a Target Transfer Tag only (RFC 7143 section 11.19). */
  nopIn(initiatorTaskTag: number, data: Buffer): void {
    const base = this.reserve(data.length)
    const pdu = new NopIn().init(this.sink.slab, base)
    pdu.initiatorTaskTag = initiatorTaskTag
    pdu.targetTransferTag = RESERVED_TAG
    pdu.dataSegmentLength = data.length
    this.stamp(pdu, true)
    this.#put(base, data)
    this.send(base, data.length)
  }

  /** A ping of ours, or with the reserved tag only the window's numbers; it uses no StatSN up. */
  ping(targetTransferTag: number): void {
    const base = this.reserve(0)
    const pdu = new NopIn().init(this.sink.slab, base)
    pdu.initiatorTaskTag = RESERVED_TAG
    pdu.targetTransferTag = targetTransferTag
    pdu.statSN = this.statSN
    this.stampWindow(pdu)
    this.send(base, 0)
  }

  textResponse(
    answer: {
      initiatorTaskTag: number
      targetTransferTag: number
      final: boolean
      continued: boolean
    },
    data: Buffer,
  ): void {
    const base = this.reserve(data.length)
    const pdu = new TextResponse().init(this.sink.slab, base)
    pdu.final = answer.final
    pdu.continued = answer.continued
    pdu.initiatorTaskTag = answer.initiatorTaskTag
    pdu.targetTransferTag = answer.targetTransferTag
    pdu.dataSegmentLength = data.length
    this.stamp(pdu, true)
    this.#put(base, data)
    this.send(base, data.length)
  }

  logoutResponse(
    initiatorTaskTag: number,
    response: number,
    times: { time2Wait: number; time2Retain: number },
  ): void {
    const base = this.reserve(0)
    const pdu = new LogoutResponse().init(this.sink.slab, base)
    pdu.initiatorTaskTag = initiatorTaskTag
    pdu.response = response
    pdu.time2Wait = times.time2Wait
    pdu.time2Retain = times.time2Retain
    this.stamp(pdu, true)
    this.send(base, 0)
  }

  /** Reject with the header of the PDU that is refused, at `buffer[base]`, its additional segments too. */
  reject(reason: number, buffer: Buffer, base: number): void {
    const length = headerLength(buffer, base)
    const at = this.reserve(length)
    const pdu = new Reject().init(this.sink.slab, at)
    pdu.reason = reason
    pdu.initiatorTaskTag = RESERVED_TAG
    pdu.dataSegmentLength = length
    this.stamp(pdu, true)
    this.#put(at, buffer.subarray(base, base + length))
    this.send(at, length)
  }

  /** Async Message: an event with its parameters (RFC 7143 section 11.9). */
  asyncMessage(event: number, parameters: readonly [number, number, number]): void {
    const base = this.reserve(0)
    const pdu = new AsyncMessage().init(this.sink.slab, base)
    pdu.asyncEvent = event
    pdu.parameter1 = parameters[0]
    pdu.parameter2 = parameters[1]
    pdu.parameter3 = parameters[2]
    this.stamp(pdu, true)
    this.send(base, 0)
  }

  /** Async Message: a SCSI event of the unit at `lun`, told by its sense data (RFC 7143 section 11.9.1). */
  scsiEvent(lun: Buffer, sense: Buffer): void {
    const length = sense.length + 2
    const base = this.reserve(length)
    const { slab } = this.sink
    const pdu = new AsyncMessage().init(slab, base)
    pdu.copyLun(lun, 0)
    pdu.asyncEvent = AsyncEvent.ScsiEvent
    pdu.dataSegmentLength = length
    this.stamp(pdu, true)
    const at = dataPosition(base, 0, this.headerDigest)
    slab.writeUInt16BE(sense.length, at)
    sense.copy(slab, at + 2)
    this.send(base, length)
  }
}
