/** SNACK Request (RFC 7143 section 11.16). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.16. */
export const snackRequestLayout = struct([
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
  blob(8),
  u32be('begRun'),
  u32be('runLength'),
])
const snackRequestAt = bhsOffsets(snackRequestLayout)

export class SnackRequest extends BasicHeader {
  protected readonly firstByte = Opcode.SnackRequest
  protected override readonly secondByte = 0x80

  get targetTransferTag(): number {
    return this.u32(snackRequestAt.targetTransferTag)
  }
  set targetTransferTag(value: number) {
    this.setU32(snackRequestAt.targetTransferTag, value)
  }

  get expStatSN(): number {
    return this.u32(snackRequestAt.expStatSN)
  }
  set expStatSN(value: number) {
    this.setU32(snackRequestAt.expStatSN, value)
  }

  get begRun(): number {
    return this.u32(snackRequestAt.begRun)
  }
  set begRun(value: number) {
    this.setU32(snackRequestAt.begRun, value)
  }

  get runLength(): number {
    return this.u32(snackRequestAt.runLength)
  }
  set runLength(value: number) {
    this.setU32(snackRequestAt.runLength, value)
  }

  /** 0 Data or R2T, 1 status, 2 DataACK, 3 R-Data. */
  get type(): number {
    return this.u8(1) & 0x0f
  }
  set type(value: number) {
    this.setU8(1, 0x80 | (value & 0x0f))
  }
}
