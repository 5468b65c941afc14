/**
 * Whether what the target says about a command can be true, and what then becomes of the task. A
 * target is never trusted with the caller's memory: what does not fit ends the connection.
 */
import {
  type DataIn,
  ProtocolError,
  RESERVED_TAG,
  type ReadyToTransfer,
  type ScsiResponse,
  ScsiResponseCode,
} from '@platter/protocol/iscsi'
import { CommandError } from './errors.ts'
import { Direction, type ScsiTask, SENSE_BYTES_MAX } from './task.ts'

const GOOD = 0

/**
 * Checks a Data-In header against its task (RFC 7143 section 11.7), and returns where its data go in
 * the task's buffer. Sequences and PDUs come in order, as was negotiated.
 */
export function acceptDataIn(task: ScsiTask, pdu: DataIn): number {
  const { dataSegmentLength, bufferOffset } = pdu
  if (task.direction !== Direction.Read) throw broken('Data-In', 'the command reads nothing')
  if (pdu.dataSN !== task.dataSN) {
    throw broken('Data-In', `DataSN is ${pdu.dataSN}, wanted ${task.dataSN}`)
  }
  if (bufferOffset !== task.received) {
    throw broken('Data-In', `Buffer Offset is ${bufferOffset}, wanted ${task.received}`)
  }
  if (bufferOffset + dataSegmentLength > task.length) {
    const range = `bytes ${bufferOffset} to ${bufferOffset + dataSegmentLength}`
    throw broken('Data-In', `${range} are beyond the ${task.length} expected`)
  }
  task.dataSN += 1
  task.received += dataSegmentLength
  return task.position + bufferOffset
}

/** Ends a task by the status in its last Data-In. */
export function takeDataInStatus(task: ScsiTask, pdu: DataIn): void {
  if (!pdu.final) throw broken('Data-In', 'it carries a status, and is not the last')
  takeStatus(task, pdu.status, pdu.residualUnderflow ? pdu.residualCount : 0)
}

/** Ends a task by its SCSI Response (RFC 7143 section 11.4); `data` is its data segment. */
export function takeResponse(task: ScsiTask, pdu: ScsiResponse, data: Buffer): void {
  if (pdu.response !== ScsiResponseCode.Completed) {
    task.error = new CommandError(`the target failed: response 0x${pdu.response.toString(16)}`)
    return
  }
  if (pdu.expDataSN > task.dataSN + task.r2tSN) {
    const got = task.dataSN + task.r2tSN
    throw broken('SCSI Response', `ExpDataSN is ${pdu.expDataSN}, but ${got} came`)
  }
  takeSense(task, data)
  takeStatus(task, pdu.status, pdu.residualUnderflow ? pdu.residualCount : 0)
}

/** Sense follows its length in two bytes (RFC 7143 section 11.4.7). */
function takeSense(task: ScsiTask, data: Buffer): void {
  if (data.length === 0) return
  const length = data.length < 2 ? -1 : data.readUInt16BE(0)
  if (length < 0 || length > data.length - 2) {
    throw broken('SCSI Response', `SenseLength ${length} in a data segment of ${data.length}`)
  }
  task.senseLength = Math.min(length, SENSE_BYTES_MAX)
  data.copy(task.sense, 0, 2, 2 + task.senseLength)
}

function takeStatus(task: ScsiTask, status: number, underflow: number): void {
  if (underflow > task.length) {
    throw broken('status', `residual of ${underflow} bytes, only ${task.length} were expected`)
  }
  const moved = task.length - underflow
  if (status === GOOD && task.direction === Direction.Read && task.received < moved) {
    throw broken('status', `GOOD, but only ${task.received} of ${moved} bytes came`)
  }
  task.status = status
  task.transferredLength =
    task.direction === Direction.Read ? Math.min(moved, task.received) : moved
}

/**
 * Checks an R2T against its task (RFC 7143 section 11.8), and notes what it asks for. One may be
 * outstanding, as was negotiated; it may come before all unsolicited data have left.
 */
export function acceptReadyToTransfer(
  task: ScsiTask,
  pdu: ReadyToTransfer,
  maxBurstLength: number,
): void {
  const { bufferOffset, desiredDataTransferLength: length } = pdu
  if (task.direction !== Direction.Write) throw broken('R2T', 'the command writes nothing')
  if (pdu.r2tSN !== task.r2tSN) throw broken('R2T', `R2TSN is ${pdu.r2tSN}, wanted ${task.r2tSN}`)
  if (pdu.targetTransferTag === RESERVED_TAG) throw broken('R2T', 'Target Transfer Tag is reserved')
  if (task.r2tSN > 0 && task.sendOffset < task.solicitedEnd) {
    throw broken('R2T', 'the one before has not yet been answered')
  }
  if (bufferOffset !== task.solicitedEnd) {
    throw broken('R2T', `Buffer Offset is ${bufferOffset}, wanted ${task.solicitedEnd}`)
  }
  if (length === 0 || length > maxBurstLength) {
    throw broken('R2T', `Desired Data Transfer Length is ${length}, wanted 1 to ${maxBurstLength}`)
  }
  if (bufferOffset + length > task.length) {
    const range = `bytes ${bufferOffset} to ${bufferOffset + length}`
    throw broken('R2T', `${range} are beyond the ${task.length} to be written`)
  }
  task.r2tSN += 1
  task.solicitedEnd = bufferOffset + length
  task.targetTransferTag = pdu.targetTransferTag
}

function broken(what: string, message: string): ProtocolError {
  return new ProtocolError('response', `${what}: ${message}`, { kind: 'drop' })
}
