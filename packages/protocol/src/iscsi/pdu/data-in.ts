/** SCSI Data-In (RFC 7143 section 11.7). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the Data-In picture in section 11.7. */
export const dataInLayout = struct([
  u8('opcode'),
  u8('flags'),
  blob(1),
  u8('status'),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8, 'lun'),
  u32be('initiatorTaskTag'),
  u32be('targetTransferTag'),
  u32be('statSN'),
  u32be('expCmdSN'),
  u32be('maxCmdSN'),
  u32be('dataSN'),
  u32be('bufferOffset'),
  u32be('residualCount'),
])
const dataInAt = bhsOffsets(dataInLayout)

export class DataIn extends BasicHeader {
  protected readonly firstByte = Opcode.DataIn

  /** SCSI status; means something only with `hasStatus`. */
  get status(): number {
    return this.u8(dataInAt.status)
  }
  set status(value: number) {
    this.setU8(dataInAt.status, value)
  }

  get targetTransferTag(): number {
    return this.u32(dataInAt.targetTransferTag)
  }
  set targetTransferTag(value: number) {
    this.setU32(dataInAt.targetTransferTag, value)
  }

  get statSN(): number {
    return this.u32(dataInAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(dataInAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(dataInAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(dataInAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(dataInAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(dataInAt.maxCmdSN, value)
  }

  get dataSN(): number {
    return this.u32(dataInAt.dataSN)
  }
  set dataSN(value: number) {
    this.setU32(dataInAt.dataSN, value)
  }

  get bufferOffset(): number {
    return this.u32(dataInAt.bufferOffset)
  }
  set bufferOffset(value: number) {
    this.setU32(dataInAt.bufferOffset, value)
  }

  get residualCount(): number {
    return this.u32(dataInAt.residualCount)
  }
  set residualCount(value: number) {
    this.setU32(dataInAt.residualCount, value)
  }

  /** The F bit: the last PDU of its sequence. */
  get final(): boolean {
    return this.flag(1, 0x80)
  }
  set final(value: boolean) {
    this.setFlag(1, 0x80, value)
  }

  /** The A bit: a DataACK is wanted. */
  get acknowledge(): boolean {
    return this.flag(1, 0x40)
  }
  set acknowledge(value: boolean) {
    this.setFlag(1, 0x40, value)
  }

  /** The O bit. */
  get residualOverflow(): boolean {
    return this.flag(1, 0x04)
  }
  set residualOverflow(value: boolean) {
    this.setFlag(1, 0x04, value)
  }

  /** The U bit. */
  get residualUnderflow(): boolean {
    return this.flag(1, 0x02)
  }
  set residualUnderflow(value: boolean) {
    this.setFlag(1, 0x02, value)
  }

  /** The S bit: the PDU carries the status, and no SCSI Response follows. */
  get hasStatus(): boolean {
    return this.flag(1, 0x01)
  }
  set hasStatus(value: boolean) {
    this.setFlag(1, 0x01, value)
  }
}
