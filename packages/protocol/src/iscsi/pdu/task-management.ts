/** Task Management Function Request and Response (RFC 7143 sections 11.5 and 11.6, and RFC 7144). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.5. */
export const taskManagementRequestLayout = struct([
  u8('opcode'),
  u8('flags'),
  blob(2),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8, 'lun'),
  u32be('initiatorTaskTag'),
  u32be('referencedTaskTag'),
  u32be('cmdSN'),
  u32be('expStatSN'),
  u32be('refCmdSN'),
  u32be('expDataSN'),
  blob(8),
])
const taskManagementRequestAt = bhsOffsets(taskManagementRequestLayout)

export class TaskManagementRequest extends BasicHeader {
  protected readonly firstByte = Opcode.TaskManagementRequest
  protected override readonly secondByte = 0x80

  get referencedTaskTag(): number {
    return this.u32(taskManagementRequestAt.referencedTaskTag)
  }
  set referencedTaskTag(value: number) {
    this.setU32(taskManagementRequestAt.referencedTaskTag, value)
  }

  get cmdSN(): number {
    return this.u32(taskManagementRequestAt.cmdSN)
  }
  set cmdSN(value: number) {
    this.setU32(taskManagementRequestAt.cmdSN, value)
  }

  get expStatSN(): number {
    return this.u32(taskManagementRequestAt.expStatSN)
  }
  set expStatSN(value: number) {
    this.setU32(taskManagementRequestAt.expStatSN, value)
  }

  get refCmdSN(): number {
    return this.u32(taskManagementRequestAt.refCmdSN)
  }
  set refCmdSN(value: number) {
    this.setU32(taskManagementRequestAt.refCmdSN, value)
  }

  get expDataSN(): number {
    return this.u32(taskManagementRequestAt.expDataSN)
  }
  set expDataSN(value: number) {
    this.setU32(taskManagementRequestAt.expDataSN, value)
  }

  /** Which function: see TaskManagementFunction. */
  get function(): number {
    return this.u8(1) & 0x7f
  }
  set function(value: number) {
    this.setU8(1, 0x80 | (value & 0x7f))
  }
}

/** The rows of the picture in section 11.6. */
export const taskManagementResponseLayout = struct([
  u8('opcode'),
  u8('flags'),
  u8('response'),
  blob(1),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  u24be('additionalResponseInformation'),
  blob(5),
  u32be('initiatorTaskTag'),
  blob(4),
  u32be('statSN'),
  u32be('expCmdSN'),
  u32be('maxCmdSN'),
  blob(12),
])
const taskManagementResponseAt = bhsOffsets(taskManagementResponseLayout)

export class TaskManagementResponse extends BasicHeader {
  protected readonly firstByte = Opcode.TaskManagementResponse
  protected override readonly secondByte = 0x80

  /** See TaskManagementResponseCode. */
  get response(): number {
    return this.u8(taskManagementResponseAt.response)
  }
  set response(value: number) {
    this.setU8(taskManagementResponseAt.response, value)
  }

  /** Three bytes that QUERY ASYNCHRONOUS EVENT is answered with (RFC 7144); 0 elsewhere. */
  get additionalResponseInformation(): number {
    return this.u24(taskManagementResponseAt.additionalResponseInformation)
  }
  set additionalResponseInformation(value: number) {
    this.setU24(taskManagementResponseAt.additionalResponseInformation, value)
  }

  get statSN(): number {
    return this.u32(taskManagementResponseAt.statSN)
  }
  set statSN(value: number) {
    this.setU32(taskManagementResponseAt.statSN, value)
  }

  get expCmdSN(): number {
    return this.u32(taskManagementResponseAt.expCmdSN)
  }
  set expCmdSN(value: number) {
    this.setU32(taskManagementResponseAt.expCmdSN, value)
  }

  get maxCmdSN(): number {
    return this.u32(taskManagementResponseAt.maxCmdSN)
  }
  set maxCmdSN(value: number) {
    this.setU32(taskManagementResponseAt.maxCmdSN, value)
  }
}
