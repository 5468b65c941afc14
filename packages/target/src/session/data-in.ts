/**
 * Read data and parameter data on their way out: SCSI Data-In PDUs (RFC 7143 section 11.7), with the
 * status in the last of them. Each PDU is laid out where it will leave from, and a cached read puts
 * its bytes straight there; when a disk must be waited for, the PDU gets a slab of its own.
 */
import { BHS_LENGTH, DataIn, dataPosition, pduLength, RESERVED_TAG } from '@platter/protocol/iscsi'
import type { VolumeError } from '../scsi/scsi-task.ts'
import type { ConnectionSink } from './connection-sink.ts'
import type { Responder } from './responder.ts'
import type { ResponseFence } from './response-fence.ts'
import type { Task } from './task.ts'

/** What the sender needs of its connection. */
export interface DataInPort {
  readonly responder: Responder
  readonly session: { readonly fence: ResponseFence }
  /** The initiator's MaxRecvDataSegmentLength, and the session's MaxBurstLength, in bytes. */
  readonly sendSegmentMax: number
  readonly maxBurstLength: number
  /** All data of a task went out with its status: frees its place in the command window first. */
  endTask(task: Task): void
  /** Sends the response of a task whose data went without its status, or that moved none. */
  respond(task: Task): void
}

export class DataInSender {
  readonly #port: DataInPort
  readonly #responder: Responder
  readonly #sink: ConnectionSink
  readonly #fence: ResponseFence
  readonly #pdu = new DataIn()
  /** Tasks whose next PDU has to wait for room in the output; bounded by the command window. */
  readonly #blocked: Task[] = []
  #dataAt = BHS_LENGTH
  #segmentMax = 0

  constructor(port: DataInPort) {
    this.#port = port
    this.#responder = port.responder
    this.#sink = port.responder.sink
    this.#fence = port.session.fence
  }

  /** To be called when the connection's parameters are settled, and when one of them changes. */
  configure(): void {
    const { headerDigest, dataDigest } = this.#responder
    const { sendSegmentMax } = this.#port
    this.#dataAt = dataPosition(0, 0, headerDigest)
    const overhead = pduLength(0, 0, headerDigest, dataDigest) + 4
    // Segments are of whole words where they can be (RFC 7143 section 11.7).
    this.#segmentMax = Math.min(sendSegmentMax, this.#sink.slabMaxBytes - overhead) & ~3
  }

  start(task: Task): void {
    if (task.dataInLength === 0) this.#port.respond(task)
    else if (this.#blocked.length > 0 || !this.#advance(task)) this.#blocked.push(task)
  }

  /** There is room again: in the output, or in the budget of slabs. */
  resume(): void {
    let done = 0
    while (done < this.#blocked.length && this.#advance(this.#blocked[done] as Task)) done++
    if (done > 0) this.#blocked.splice(0, done)
  }

  /** The task is aborted: nothing more of it is sent. */
  forget(task: Task): void {
    const index = this.#blocked.indexOf(task)
    if (index >= 0) this.#blocked.splice(index, 1)
  }

  /** Sends what can be sent now; false when the task has to wait for room. */
  #advance(task: Task): boolean {
    const sink = this.#sink
    while (task.dataInSent < task.dataInLength) {
      if (sink.backlogBytes > sink.backlogLimitBytes) return false
      const length = this.#nextLength(task)
      const offset = task.sourceOffset + task.dataInSent
      const source = task.source as NonNullable<Task['source']>
      const block = source.blockSizeBytes
      if (offset % block !== 0 || length % block !== 0) return this.#readBlocks(task, length)
      const pdu = this.#lengthOnWire(length)
      const base = sink.reserve(pdu)
      if (!source.readNow(offset, sink.slab, base + this.#dataAt, length)) {
        return this.#readLater(task, offset, length, length)
      }
      const last = this.#fill(task, sink.slab, base, length)
      sink.commit(pdu)
      if (last) return true
    }
    return true
  }

  /** The longest segment allowed now, in whole blocks where it can be. */
  #nextLength(task: Task): number {
    const left = task.dataInLength - task.dataInSent
    const burstLeft = this.#port.maxBurstLength - task.dataInBurst
    const length = Math.min(this.#segmentMax, burstLeft, left)
    if (length === left) return length
    const block = task.source?.blockSizeBytes ?? 1
    const end = task.sourceOffset + task.dataInSent + length
    const whole = length - (end % block)
    return whole > 0 ? whole : length
  }

  /** A segment that begins or ends within a block: the blocks around it are read aside. */
  #readBlocks(task: Task, length: number): boolean {
    const block = task.source?.blockSizeBytes ?? 1
    const offset = task.sourceOffset + task.dataInSent
    const first = offset - (offset % block)
    const end = Math.ceil((offset + length) / block) * block
    return this.#readLater(task, first, end - first, length)
  }

  #readLater(task: Task, offset: number, readLength: number, length: number): boolean {
    const slab = this.#sink.takeSlab(this.#lengthOnWire(readLength))
    if (slab === undefined) return false
    task.dataInSlab = slab
    task.dataInPending = length
    task.pendingIo++
    task.source?.read(offset, slab, this.#dataAt, readLength, task)
    return true
  }

  /** A read begun by `#readLater` has ended. */
  readEnded(task: Task, error: VolumeError | null): void {
    const sink = this.#sink
    const slab = task.dataInSlab as Buffer
    task.dataInSlab = null
    if (task.ioEnded()) {
      sink.returnSlab(slab)
    } else if (error !== null) {
      sink.returnSlab(slab)
      task.next(task, error)
    } else {
      const length = task.dataInPending
      const lead = (task.sourceOffset + task.dataInSent) % (task.source?.blockSizeBytes ?? 1)
      const at = this.#dataAt
      if (lead > 0) slab.copyWithin(at, at + lead, at + lead + length)
      const last = this.#fill(task, slab, 0, length)
      sink.sendSlab(slab, this.#lengthOnWire(length))
      if (!last) this.start(task)
    }
    this.resume()
  }

  #lengthOnWire(dataLength: number): number {
    const { headerDigest, dataDigest } = this.#responder
    return pduLength(0, dataLength, headerDigest, dataDigest)
  }

  /** Writes the header of a PDU whose data are in place; true when it is the last. */
  #fill(task: Task, buffer: Buffer, base: number, length: number): boolean {
    const pdu = this.#pdu.init(buffer, base)
    const offset = task.dataInSent
    task.dataInSent += length
    task.dataInBurst += length
    const last = task.dataInSent === task.dataInLength
    pdu.dataSegmentLength = length
    pdu.initiatorTaskTag = task.initiatorTaskTag
    pdu.targetTransferTag = RESERVED_TAG
    pdu.dataSN = task.dataSN++
    pdu.bufferOffset = offset
    if (last || task.dataInBurst === this.#port.maxBurstLength) {
      pdu.final = true
      task.dataInBurst = 0
    }
    const hasStatus = last && !this.#fence.isUp
    if (hasStatus) {
      pdu.hasStatus = true
      pdu.status = task.status
      setResidual(pdu, task.transferLength, task.expectedDataTransferLength)
      this.#port.endTask(task)
    }
    this.#responder.stamp(pdu, hasStatus)
    this.#responder.seal(buffer, base, length)
    // Data may pass the fence, a status may not: it waits there.
    if (last && !hasStatus) this.#port.respond(task)
    return last
  }
}

/** Sets the residual of a response: what the command would have moved against what was expected. */
export function setResidual(
  pdu: { residualOverflow: boolean; residualUnderflow: boolean; residualCount: number },
  transferLength: number,
  expectedLength: number,
): void {
  if (transferLength > expectedLength) {
    pdu.residualOverflow = true
    pdu.residualCount = Math.min(transferLength - expectedLength, 0xffffffff)
  } else if (transferLength < expectedLength) {
    pdu.residualUnderflow = true
    pdu.residualCount = expectedLength - transferLength
  }
}
