/** SCSI Response (RFC 7143 section 11.4). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.4. */
export const scsiResponseLayout = struct([
  u8('opcode'),
  u8('flags'),
  u8('response'),
  u8('status'),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8),
  u32be('initiatorTaskTag'),
  u32be('snackTag'),
  u32be('statSN'),
  u32be('expCmdSN'),
  u32be('maxCmdSN'),
  u32be('expDataSN'),
  u32be('bidirectionalReadResidualCount'),
  u32be('residualCount'),
])
const scsiResponseAt = bhsOffsets(scsiResponseLayout)

export class ScsiResponse extends BasicHeader {
  protected readonly firstByte = Opcode.ScsiResponse
  protected override readonly secondByte = 0x80

  /** 0 when the command completed at the target. */
  get response(): number {
    return this.u8(scsiResponseAt.response)
  }
  set response(value: number) {
    this.setU8(scsiResponseAt.response, value)
  }

  /** SCSI status. */
  get status(): number {
    return this.u8(scsiResponseAt.status)
  }
  set status(value: number) {
    this.setU8(scsiResponseAt.status, value)
  }

  get snackTag(): number {
    return this.u32(scsiResponseAt.snackTag)
  }
  set snackTag(value: number) {
    this.setU32(scsiResponseAt.snackTag, value)
  }

  get statSN(): number {
    return this.u32(scsiResponseAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(scsiResponseAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(scsiResponseAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(scsiResponseAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(scsiResponseAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(scsiResponseAt.maxCmdSN, value)
  }

  get expDataSN(): number {
    return this.u32(scsiResponseAt.expDataSN)
  }
  set expDataSN(value: number) {
    this.setU32(scsiResponseAt.expDataSN, value)
  }

  get bidirectionalReadResidualCount(): number {
    return this.u32(scsiResponseAt.bidirectionalReadResidualCount)
  }
  set bidirectionalReadResidualCount(value: number) {
    this.setU32(scsiResponseAt.bidirectionalReadResidualCount, value)
  }

  get residualCount(): number {
    return this.u32(scsiResponseAt.residualCount)
  }
  set residualCount(value: number) {
    this.setU32(scsiResponseAt.residualCount, value)
  }

  /** The o bit. */
  get bidirectionalReadResidualOverflow(): boolean {
    return this.flag(1, 0x10)
  }
  set bidirectionalReadResidualOverflow(value: boolean) {
    this.setFlag(1, 0x10, value)
  }

  /** The u bit. */
  get bidirectionalReadResidualUnderflow(): boolean {
    return this.flag(1, 0x08)
  }
  set bidirectionalReadResidualUnderflow(value: boolean) {
    this.setFlag(1, 0x08, value)
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
}
