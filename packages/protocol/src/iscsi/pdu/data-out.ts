/** SCSI Data-Out (RFC 7143 section 11.7). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the Data-Out picture in section 11.7. */
export const dataOutLayout = struct([
  u8('opcode'),
  u8('flags'),
  blob(2),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8, 'lun'),
  u32be('initiatorTaskTag'),
  u32be('targetTransferTag'),
  blob(4),
  u32be('expStatSN'),
  blob(4),
  u32be('dataSN'),
  u32be('bufferOffset'),
  blob(4),
])
const dataOutAt = bhsOffsets(dataOutLayout)

export class DataOut extends BasicHeader {
  protected readonly firstByte = Opcode.DataOut

  get targetTransferTag(): number {
    return this.u32(dataOutAt.targetTransferTag)
  }
  set targetTransferTag(value: number) {
    this.setU32(dataOutAt.targetTransferTag, value)
  }

  get expStatSN(): number {
    return this.u32(dataOutAt.expStatSN)
  }
  set expStatSN(value: number) {
    this.setU32(dataOutAt.expStatSN, value)
  }

  get dataSN(): number {
    return this.u32(dataOutAt.dataSN)
  }
  set dataSN(value: number) {
    this.setU32(dataOutAt.dataSN, value)
  }

  get bufferOffset(): number {
    return this.u32(dataOutAt.bufferOffset)
  }
  set bufferOffset(value: number) {
    this.setU32(dataOutAt.bufferOffset, value)
  }

  /** The F bit: the last PDU of its sequence. */
  get final(): boolean {
    return this.flag(1, 0x80)
  }
  set final(value: boolean) {
    this.setFlag(1, 0x80, value)
  }
}
