/**
 * Commands and their data on the way out: immediate data with the command, unsolicited Data-Out
 * behind it, and what R2Ts ask for, in PDUs that the target can take (RFC 7143 sections 4.2.5.2, 11.7).
 */
import { DataOut, RESERVED_TAG, ScsiCommand, type SessionParameters } from '@platter/protocol/iscsi'
import type { PduWriter } from './pdu-writer.ts'
import { Direction, type ScsiTask, TaskQueue } from './task.ts'

/** Task attribute SIMPLE: the target may reorder. */
const SIMPLE = 1

export class DataOutSender {
  readonly #writer: PduWriter
  readonly #parameters: SessionParameters
  readonly #segmentMax: number
  /** Tasks with data to be sent, in the order of their commands and R2Ts. */
  readonly #sending = new TaskQueue()
  readonly #command = new ScsiCommand()
  readonly #dataOut = new DataOut()

  constructor(writer: PduWriter, parameters: SessionParameters) {
    this.#writer = writer
    this.#parameters = parameters
    this.#segmentMax = Math.min(parameters.peerMaxRecvDataSegmentLength, writer.segmentMaxBytes)
  }

  /** Sends the command, and as much of its data as the target takes without being asked. */
  sendCommand(task: ScsiTask, expStatSN: number): void {
    const { immediateData, initialR2T, firstBurstLength } = this.#parameters
    const writes = task.direction === Direction.Write
    const firstBurst = Math.min(task.length, firstBurstLength)
    const immediate = writes && immediateData ? Math.min(firstBurst, this.#segmentMax) : 0
    const unsolicited = writes && !initialR2T ? firstBurst : immediate
    this.#sendCommandPdu(task, immediate, unsolicited === immediate, expStatSN)
    task.solicited = unsolicited
    task.sendOffset = immediate
    task.sendEnd = unsolicited
    task.sendDataSN = 0
    task.targetTransferTag = RESERVED_TAG
    if (unsolicited > immediate) {
      this.#sending.push(task)
      this.pump(expStatSN)
    }
  }

  #sendCommandPdu(task: ScsiTask, immediate: number, final: boolean, expStatSN: number): void {
    const base = this.#writer.reserve(immediate)
    const { slab } = this.#writer
    const pdu = this.#command.init(slab, base)
    pdu.final = final
    pdu.read = task.direction === Direction.Read
    pdu.write = task.direction === Direction.Write
    pdu.attribute = SIMPLE
    pdu.copyLun(task.lun, 0)
    pdu.initiatorTaskTag = task.initiatorTaskTag
    pdu.expectedDataTransferLength = task.length
    pdu.cmdSN = task.cmdSN
    pdu.expStatSN = expStatSN
    task.cdb.copy(slab, pdu.cdbPosition)
    if (immediate > 0) this.#copyData(task, base, 0, immediate)
    this.#writer.send(base, immediate)
  }

  /** An R2T has been accepted. */
  solicit(task: ScsiTask, expStatSN: number): void {
    if (task.nextSendEnd !== 0) return
    this.#sending.push(task)
    this.pump(expStatSN)
  }

  /** Sends what the network has room for. */
  pump(expStatSN: number): void {
    while (!this.#writer.congested) {
      const task = this.#sending.head
      if (task === null) return
      const length = Math.min(task.sendEnd - task.sendOffset, this.#segmentMax)
      const final = task.sendOffset + length === task.sendEnd
      this.#sendDataOut(task, length, final, expStatSN)
      task.sendOffset += length
      task.sendDataSN += 1
      if (final) this.#finish(task)
    }
  }

  #finish(task: ScsiTask): void {
    this.#sending.shift()
    if (task.nextSendEnd === 0) return
    task.sendEnd = task.nextSendEnd
    task.sendDataSN = 0
    task.targetTransferTag = task.nextTargetTransferTag
    task.nextSendEnd = 0
    this.#sending.push(task)
  }

  #sendDataOut(task: ScsiTask, length: number, final: boolean, expStatSN: number): void {
    const base = this.#writer.reserve(length)
    const pdu = this.#dataOut.init(this.#writer.slab, base)
    pdu.final = final
    // The LUN goes with a Target Transfer Tag; it does no harm without one (section 11.7.2).
    pdu.copyLun(task.lun, 0)
    pdu.initiatorTaskTag = task.initiatorTaskTag
    pdu.targetTransferTag = task.targetTransferTag
    pdu.expStatSN = expStatSN
    pdu.dataSN = task.sendDataSN
    pdu.bufferOffset = task.sendOffset
    this.#copyData(task, base, task.sendOffset, length)
    this.#writer.send(base, length)
  }

  #copyData(task: ScsiTask, base: number, offset: number, length: number): void {
    const at = task.position + offset
    task.buffer.copy(this.#writer.slab, this.#writer.dataPosition(base), at, at + length)
  }

  /** The task has ended: what it still had to send is not wanted any more. */
  forget(task: ScsiTask): void {
    if (task.sendOffset < task.sendEnd) this.#sending.remove(task)
  }
}
