/** Ready To Transfer (RFC 7143 section 11.8). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.8. */
export const readyToTransferLayout = struct([
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
  u32be('r2tSN'),
  u32be('bufferOffset'),
  u32be('desiredDataTransferLength'),
])
const readyToTransferAt = bhsOffsets(readyToTransferLayout)

export class ReadyToTransfer extends BasicHeader {
  protected readonly firstByte = Opcode.ReadyToTransfer
  protected override readonly secondByte = 0x80

  get targetTransferTag(): number {
    return this.u32(readyToTransferAt.targetTransferTag)
  }
  set targetTransferTag(value: number) {
    this.setU32(readyToTransferAt.targetTransferTag, value)
  }

  get statSN(): number {
    return this.u32(readyToTransferAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(readyToTransferAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(readyToTransferAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(readyToTransferAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(readyToTransferAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(readyToTransferAt.maxCmdSN, value)
  }

  get r2tSN(): number {
    return this.u32(readyToTransferAt.r2tSN)
  }
  set r2tSN(value: number) {
    this.setU32(readyToTransferAt.r2tSN, value)
  }

  get bufferOffset(): number {
    return this.u32(readyToTransferAt.bufferOffset)
  }
  set bufferOffset(value: number) {
    this.setU32(readyToTransferAt.bufferOffset, value)
  }

  get desiredDataTransferLength(): number {
    return this.u32(readyToTransferAt.desiredDataTransferLength)
  }
  set desiredDataTransferLength(value: number) {
    this.setU32(readyToTransferAt.desiredDataTransferLength, value)
  }

  /** The F bit. */
  get final(): boolean {
    return this.flag(1, 0x80)
  }
  set final(value: boolean) {
    this.setFlag(1, 0x80, value)
  }
}
