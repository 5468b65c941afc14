/** Asynchronous Message (RFC 7143 section 11.9). */
import { blob, struct, u8, u16be, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets, RESERVED_TAG } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.9. */
export const asyncMessageLayout = struct([
  u8('opcode'),
  u8('flags'),
  blob(2),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8, 'lun'),
  u32be('initiatorTaskTag'),
  blob(4),
  u32be('statSN'),
  u32be('expCmdSN'),
  u32be('maxCmdSN'),
  u8('asyncEvent'),
  u8('asyncVCode'),
  u16be('parameter1'),
  u16be('parameter2'),
  u16be('parameter3'),
  blob(4),
])
const asyncMessageAt = bhsOffsets(asyncMessageLayout)

export class AsyncMessage extends BasicHeader {
  protected readonly firstByte = Opcode.AsyncMessage
  protected override readonly secondByte = 0x80

  /** As for every PDU; the tag is always the reserved one. */
  override init(buffer: Buffer, base: number): this {
    super.init(buffer, base)
    this.initiatorTaskTag = RESERVED_TAG
    return this
  }

  get statSN(): number {
    return this.u32(asyncMessageAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(asyncMessageAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(asyncMessageAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(asyncMessageAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(asyncMessageAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(asyncMessageAt.maxCmdSN, value)
  }

  /** See AsyncEvent. */
  get asyncEvent(): number {
    return this.u8(asyncMessageAt.asyncEvent)
  }
  set asyncEvent(value: number) {
    this.setU8(asyncMessageAt.asyncEvent, value)
  }

  get asyncVCode(): number {
    return this.u8(asyncMessageAt.asyncVCode)
  }
  set asyncVCode(value: number) {
    this.setU8(asyncMessageAt.asyncVCode, value)
  }

  get parameter1(): number {
    return this.u16(asyncMessageAt.parameter1)
  }
  set parameter1(value: number) {
    this.setU16(asyncMessageAt.parameter1, value)
  }

  get parameter2(): number {
    return this.u16(asyncMessageAt.parameter2)
  }
  set parameter2(value: number) {
    this.setU16(asyncMessageAt.parameter2, value)
  }

  get parameter3(): number {
    return this.u16(asyncMessageAt.parameter3)
  }
  set parameter3(value: number) {
    this.setU16(asyncMessageAt.parameter3, value)
  }
}
