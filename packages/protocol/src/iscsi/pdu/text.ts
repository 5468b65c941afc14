/** Text Request and Response (RFC 7143 sections 11.10 and 11.11). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.10. */
export const textRequestLayout = struct([
  u8('opcode'),
  u8('flags'),
  blob(2),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8, 'lun'),
  u32be('initiatorTaskTag'),
  u32be('targetTransferTag'),
  u32be('cmdSN'),
  u32be('expStatSN'),
  blob(16),
])
const textRequestAt = bhsOffsets(textRequestLayout)

export class TextRequest extends BasicHeader {
  protected readonly firstByte = Opcode.TextRequest

  get targetTransferTag(): number {
    return this.u32(textRequestAt.targetTransferTag)
  }
  set targetTransferTag(value: number) {
    this.setU32(textRequestAt.targetTransferTag, value)
  }

  get cmdSN(): number {
    return this.u32(textRequestAt.cmdSN)
  }
  set cmdSN(value: number) {
    this.setU32(textRequestAt.cmdSN, value)
  }

  get expStatSN(): number {
    return this.u32(textRequestAt.expStatSN)
  }
  set expStatSN(value: number) {
    this.setU32(textRequestAt.expStatSN, value)
  }

  /** The F bit: the exchange can end with this PDU. */
  get final(): boolean {
    return this.flag(1, 0x80)
  }
  set final(value: boolean) {
    this.setFlag(1, 0x80, value)
  }

  /** The C bit: the text goes on in the next PDU. */
  get continued(): boolean {
    return this.flag(1, 0x40)
  }
  set continued(value: boolean) {
    this.setFlag(1, 0x40, value)
  }
}

/** The rows of the picture in section 11.11. */
export const textResponseLayout = struct([
  u8('opcode'),
  u8('flags'),
  blob(2),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8, 'lun'),
  u32be('initiatorTaskTag'),
  u32be('targetTransferTag'),
  u32be('statSN'),
  u32be('expCmdSN'),
  u32be('maxCmdSN'),
  blob(12),
])
const textResponseAt = bhsOffsets(textResponseLayout)

export class TextResponse extends BasicHeader {
  protected readonly firstByte = Opcode.TextResponse

  get targetTransferTag(): number {
    return this.u32(textResponseAt.targetTransferTag)
  }
  set targetTransferTag(value: number) {
    this.setU32(textResponseAt.targetTransferTag, value)
  }

  get statSN(): number {
    return this.u32(textResponseAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(textResponseAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(textResponseAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(textResponseAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(textResponseAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(textResponseAt.maxCmdSN, value)
  }

  /** The F bit: the exchange can end with this PDU. */
  get final(): boolean {
    return this.flag(1, 0x80)
  }
  set final(value: boolean) {
    this.setFlag(1, 0x80, value)
  }

  /** The C bit: the text goes on in the next PDU. */
  get continued(): boolean {
    return this.flag(1, 0x40)
  }
  set continued(value: boolean) {
    this.setFlag(1, 0x40, value)
  }
}
