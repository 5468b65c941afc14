/** NOP-Out and NOP-In (RFC 7143 sections 11.18 and 11.19). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.18. */
export const nopOutLayout = struct([
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
const nopOutAt = bhsOffsets(nopOutLayout)

export class NopOut extends BasicHeader {
  protected readonly firstByte = Opcode.NopOut
  protected override readonly secondByte = 0x80

  get targetTransferTag(): number {
    return this.u32(nopOutAt.targetTransferTag)
  }
  set targetTransferTag(value: number) {
    this.setU32(nopOutAt.targetTransferTag, value)
  }

  get cmdSN(): number {
    return this.u32(nopOutAt.cmdSN)
  }
  set cmdSN(value: number) {
    this.setU32(nopOutAt.cmdSN, value)
  }

  get expStatSN(): number {
    return this.u32(nopOutAt.expStatSN)
  }
  set expStatSN(value: number) {
    this.setU32(nopOutAt.expStatSN, value)
  }
}

/** The rows of the picture in section 11.19. */
export const nopInLayout = struct([
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
const nopInAt = bhsOffsets(nopInLayout)

export class NopIn extends BasicHeader {
  protected readonly firstByte = Opcode.NopIn
  protected override readonly secondByte = 0x80

  get targetTransferTag(): number {
    return this.u32(nopInAt.targetTransferTag)
  }
  set targetTransferTag(value: number) {
    this.setU32(nopInAt.targetTransferTag, value)
  }

  get statSN(): number {
    return this.u32(nopInAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(nopInAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(nopInAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(nopInAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(nopInAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(nopInAt.maxCmdSN, value)
  }
}
