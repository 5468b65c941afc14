/** Login Request and Response (RFC 7143 sections 11.12 and 11.13). */
import { blob, struct, u8, u16be, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.12. */
export const loginRequestLayout = struct([
  u8('opcode'),
  u8('flags'),
  u8('versionMax'),
  u8('versionMin'),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(6, 'isid'),
  u16be('tsih'),
  u32be('initiatorTaskTag'),
  u16be('cid'),
  blob(2),
  u32be('cmdSN'),
  u32be('expStatSN'),
  blob(16),
])
const loginRequestAt = bhsOffsets(loginRequestLayout)

export class LoginRequest extends BasicHeader {
  protected readonly firstByte = 0x40 | Opcode.LoginRequest

  get versionMax(): number {
    return this.u8(loginRequestAt.versionMax)
  }
  set versionMax(value: number) {
    this.setU8(loginRequestAt.versionMax, value)
  }

  get versionMin(): number {
    return this.u8(loginRequestAt.versionMin)
  }
  set versionMin(value: number) {
    this.setU8(loginRequestAt.versionMin, value)
  }

  get tsih(): number {
    return this.u16(loginRequestAt.tsih)
  }
  set tsih(value: number) {
    this.setU16(loginRequestAt.tsih, value)
  }

  get cid(): number {
    return this.u16(loginRequestAt.cid)
  }
  set cid(value: number) {
    this.setU16(loginRequestAt.cid, value)
  }

  get cmdSN(): number {
    return this.u32(loginRequestAt.cmdSN)
  }
  set cmdSN(value: number) {
    this.setU32(loginRequestAt.cmdSN, value)
  }

  get expStatSN(): number {
    return this.u32(loginRequestAt.expStatSN)
  }
  set expStatSN(value: number) {
    this.setU32(loginRequestAt.expStatSN, value)
  }

  /** The T bit: the sender is ready to go to `nextStage`. */
  get transit(): boolean {
    return this.flag(1, 0x80)
  }
  set transit(value: boolean) {
    this.setFlag(1, 0x80, value)
  }

  /** The C bit: the text goes on in the next PDU. */
  get continued(): boolean {
    return this.flag(1, 0x40)
  }
  set continued(value: boolean) {
    this.setFlag(1, 0x40, value)
  }

  /** CSG: 0 security negotiation, 1 operational negotiation, 3 full feature phase. */
  get currentStage(): number {
    return (this.u8(1) >> 2) & 0x03
  }
  set currentStage(value: number) {
    this.setU8(1, (this.u8(1) & 0xf3) | ((value & 0x03) << 2))
  }

  /** NSG, with the same numbers; means something only with `transit`. */
  get nextStage(): number {
    return this.u8(1) & 0x03
  }
  set nextStage(value: number) {
    this.setU8(1, (this.u8(1) & 0xfc) | (value & 0x03))
  }

  /** Where the six bytes of the ISID lie in `buffer`. */
  get isidPosition(): number {
    return this.base + loginRequestAt.isid
  }
}

/** The rows of the picture in section 11.13. */
export const loginResponseLayout = struct([
  u8('opcode'),
  u8('flags'),
  u8('versionMax'),
  u8('versionActive'),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(6, 'isid'),
  u16be('tsih'),
  u32be('initiatorTaskTag'),
  blob(4),
  u32be('statSN'),
  u32be('expCmdSN'),
  u32be('maxCmdSN'),
  u8('statusClass'),
  u8('statusDetail'),
  blob(2),
  blob(8),
])
const loginResponseAt = bhsOffsets(loginResponseLayout)

export class LoginResponse extends BasicHeader {
  protected readonly firstByte = Opcode.LoginResponse

  get versionMax(): number {
    return this.u8(loginResponseAt.versionMax)
  }
  set versionMax(value: number) {
    this.setU8(loginResponseAt.versionMax, value)
  }

  get versionActive(): number {
    return this.u8(loginResponseAt.versionActive)
  }
  set versionActive(value: number) {
    this.setU8(loginResponseAt.versionActive, value)
  }

  get tsih(): number {
    return this.u16(loginResponseAt.tsih)
  }
  set tsih(value: number) {
    this.setU16(loginResponseAt.tsih, value)
  }

  get statSN(): number {
    return this.u32(loginResponseAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(loginResponseAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(loginResponseAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(loginResponseAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(loginResponseAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(loginResponseAt.maxCmdSN, value)
  }

  get statusClass(): number {
    return this.u8(loginResponseAt.statusClass)
  }
  set statusClass(value: number) {
    this.setU8(loginResponseAt.statusClass, value)
  }

  get statusDetail(): number {
    return this.u8(loginResponseAt.statusDetail)
  }
  set statusDetail(value: number) {
    this.setU8(loginResponseAt.statusDetail, value)
  }

  /** The T bit: the sender is ready to go to `nextStage`. */
  get transit(): boolean {
    return this.flag(1, 0x80)
  }
  set transit(value: boolean) {
    this.setFlag(1, 0x80, value)
  }

  /** The C bit: the text goes on in the next PDU. */
  get continued(): boolean {
    return this.flag(1, 0x40)
  }
  set continued(value: boolean) {
    this.setFlag(1, 0x40, value)
  }

  /** CSG: 0 security negotiation, 1 operational negotiation, 3 full feature phase. */
  get currentStage(): number {
    return (this.u8(1) >> 2) & 0x03
  }
  set currentStage(value: number) {
    this.setU8(1, (this.u8(1) & 0xf3) | ((value & 0x03) << 2))
  }

  /** NSG, with the same numbers; means something only with `transit`. */
  get nextStage(): number {
    return this.u8(1) & 0x03
  }
  set nextStage(value: number) {
    this.setU8(1, (this.u8(1) & 0xfc) | (value & 0x03))
  }

  /** Where the six bytes of the ISID lie in `buffer`. */
  get isidPosition(): number {
    return this.base + loginResponseAt.isid
  }
}
