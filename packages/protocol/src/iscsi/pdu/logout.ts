/** Logout Request and Response (RFC 7143 sections 11.14 and 11.15). */
import { blob, struct, u8, u16be, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.14. */
export const logoutRequestLayout = struct([
  u8('opcode'),
  u8('flags'),
  blob(2),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8),
  u32be('initiatorTaskTag'),
  u16be('cid'),
  blob(2),
  u32be('cmdSN'),
  u32be('expStatSN'),
  blob(16),
])
const logoutRequestAt = bhsOffsets(logoutRequestLayout)

export class LogoutRequest extends BasicHeader {
  protected readonly firstByte = Opcode.LogoutRequest
  protected override readonly secondByte = 0x80

  get cid(): number {
    return this.u16(logoutRequestAt.cid)
  }
  set cid(value: number) {
    this.setU16(logoutRequestAt.cid, value)
  }

  get cmdSN(): number {
    return this.u32(logoutRequestAt.cmdSN)
  }
  set cmdSN(value: number) {
    this.setU32(logoutRequestAt.cmdSN, value)
  }

  get expStatSN(): number {
    return this.u32(logoutRequestAt.expStatSN)
  }
  set expStatSN(value: number) {
    this.setU32(logoutRequestAt.expStatSN, value)
  }

  /** What to close and why: see LogoutReason. */
  get reasonCode(): number {
    return this.u8(1) & 0x7f
  }
  set reasonCode(value: number) {
    this.setU8(1, 0x80 | (value & 0x7f))
  }
}

/** The rows of the picture in section 11.15. */
export const logoutResponseLayout = struct([
  u8('opcode'),
  u8('flags'),
  u8('response'),
  blob(1),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8),
  u32be('initiatorTaskTag'),
  blob(4),
  u32be('statSN'),
  u32be('expCmdSN'),
  u32be('maxCmdSN'),
  blob(4),
  u16be('time2Wait'),
  u16be('time2Retain'),
  blob(4),
])
const logoutResponseAt = bhsOffsets(logoutResponseLayout)

export class LogoutResponse extends BasicHeader {
  protected readonly firstByte = Opcode.LogoutResponse
  protected override readonly secondByte = 0x80

  /** See LogoutResponseCode. */
  get response(): number {
    return this.u8(logoutResponseAt.response)
  }
  set response(value: number) {
    this.setU8(logoutResponseAt.response, value)
  }

  get statSN(): number {
    return this.u32(logoutResponseAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(logoutResponseAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(logoutResponseAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(logoutResponseAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(logoutResponseAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(logoutResponseAt.maxCmdSN, value)
  }

  /** In seconds. */
  get time2Wait(): number {
    return this.u16(logoutResponseAt.time2Wait)
  }
  set time2Wait(value: number) {
    this.setU16(logoutResponseAt.time2Wait, value)
  }

  /** In seconds. */
  get time2Retain(): number {
    return this.u16(logoutResponseAt.time2Retain)
  }
  set time2Retain(value: number) {
    this.setU16(logoutResponseAt.time2Retain, value)
  }
}
