/** Reject (RFC 7143 section 11.17). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets, RESERVED_TAG } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.17; the header that is rejected is the data segment. */
export const rejectLayout = struct([
  u8('opcode'),
  u8('flags'),
  u8('reason'),
  blob(1),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8),
  u32be('initiatorTaskTag'),
  blob(4),
  u32be('statSN'),
  u32be('expCmdSN'),
  u32be('maxCmdSN'),
  u32be('dataSN'),
  blob(8),
])
const rejectAt = bhsOffsets(rejectLayout)

export class Reject extends BasicHeader {
  protected readonly firstByte = Opcode.Reject
  protected override readonly secondByte = 0x80

  /** As for every PDU; the tag is always the reserved one. */
  override init(buffer: Buffer, base: number): this {
    super.init(buffer, base)
    this.initiatorTaskTag = RESERVED_TAG
    return this
  }

  /** See RejectReason. */
  get reason(): number {
    return this.u8(rejectAt.reason)
  }
  set reason(value: number) {
    this.setU8(rejectAt.reason, value)
  }

  get statSN(): number {
    return this.u32(rejectAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(rejectAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(rejectAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(rejectAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(rejectAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(rejectAt.maxCmdSN, value)
  }

  /** DataSN or R2TSN expected, where the reason has to do with one. */
  get dataSN(): number {
    return this.u32(rejectAt.dataSN)
  }
  set dataSN(value: number) {
    this.setU32(rejectAt.dataSN, value)
  }
}
