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
  /** Whose unsolicited data are on their way out; the next command waits for them. */
  #unsolicited: ScsiTask | null = null
  /** Tasks with an R2T to be answered, in the order in which the R2Ts came (section 11.8). */
  readonly #solicited = new TaskQueue()
  readonly #command = new ScsiCommand()
  readonly #dataOut = new DataOut()

  constructor(writer: PduWriter, parameters: SessionParameters) {
    this.#writer = writer
    this.#parameters = parameters
    // All but the last data segment of a sequence should be whole words (section 11.7.7).
    this.#segmentMax =
      Math.min(parameters.peerMaxRecvDataSegmentLength, writer.segmentMaxBytes) & ~3
  }

  /** Whether the next command may be sent: unsolicited data go in the order of their commands. */
  get ready(): boolean {
    return this.#unsolicited === null && !this.#writer.congested
  }

  /** Sends the command, and as much of its data as the target takes without being asked. */
  sendCommand(task: ScsiTask, expStatSN: number): void {
    const { immediateData, initialR2T, firstBurstLength } = this.#parameters
    const writes = task.direction === Direction.Write
    const firstBurst = Math.min(task.length, firstBurstLength)
    const immediate = writes && immediateData ? Math.min(firstBurst, this.#segmentMax) : 0
    const unsolicited = writes && !initialR2T ? firstBurst : immediate
    this.#sendCommandPdu(task, immediate, unsolicited === immediate, expStatSN)
    task.sendOffset = immediate
    task.unsolicitedEnd = unsolicited
    task.solicitedEnd = unsolicited
    if (unsolicited > immediate) {
      this.#unsolicited = task
      this.pump(expStatSN)
    }
  }

  #sendCommandPdu(task: ScsiTask, immediate: number, final: boolean, expStatSN: number): void {
    const base = this.#reserve(immediate)
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
    this.#send(task, base, 0, immediate)
  }

  /** An R2T has been accepted. */
  solicit(task: ScsiTask, expStatSN: number): void {
    this.#solicited.push(task)
    this.pump(expStatSN)
  }

  /** Sends what the network has room for. */
  pump(expStatSN: number): void {
    while (!this.#writer.congested) {
      if (this.#unsolicited !== null) {
        const { unsolicitedEnd } = this.#unsolicited
        const final = this.#sendDataOut(this.#unsolicited, RESERVED_TAG, unsolicitedEnd, expStatSN)
        if (final) this.#unsolicited = null
      } else {
        const task = this.#solicited.head
        if (task === null) return
        const { targetTransferTag, solicitedEnd } = task
        const final = this.#sendDataOut(task, targetTransferTag, solicitedEnd, expStatSN)
        if (final) this.#solicited.shift()
      }
    }
  }

  /** Sends the next Data-Out of the sequence that goes up to `end`; returns whether it was the last. */
  #sendDataOut(task: ScsiTask, tag: number, end: number, expStatSN: number): boolean {
    const length = Math.min(end - task.sendOffset, this.#segmentMax)
    const final = task.sendOffset + length === end
    const base = this.#reserve(length)
    const pdu = this.#dataOut.init(this.#writer.slab, base)
    pdu.final = final
    // The LUN goes with a Target Transfer Tag; it does no harm without one (section 11.7.2).
    pdu.copyLun(task.lun, 0)
    pdu.initiatorTaskTag = task.initiatorTaskTag
    pdu.targetTransferTag = tag
    pdu.expStatSN = expStatSN
    pdu.dataSN = task.sendDataSN
    pdu.bufferOffset = task.sendOffset
    this.#send(task, base, task.sendOffset, length)
    task.sendOffset += length
    task.sendDataSN = final ? 0 : task.sendDataSN + 1
    return final
  }

  #reserve(dataLength: number): number {
    return this.#writer.reserve(this.#writer.lends(dataLength) ? 0 : dataLength)
  }

  /** Sends the PDU at `base` with `length` bytes of the task's data. */
  #send(task: ScsiTask, base: number, offset: number, length: number): void {
    const writer = this.#writer
    const at = task.position + offset
    if (writer.lends(length)) {
      task.lentUntilBytes = writer.sendLent(base, task.buffer, at, length)
      return
    }
    if (length > 0) task.buffer.copy(writer.slab, writer.dataPosition(base), at, at + length)
    writer.send(base, length)
  }

  /** The task has ended: what it still had to send is not wanted any more. */
  forget(task: ScsiTask): void {
    if (task === this.#unsolicited) this.#unsolicited = null
    this.#solicited.remove(task)
  }
}
