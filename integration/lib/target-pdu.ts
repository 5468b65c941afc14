/**
 * The fields of what a target sends, read at their places in the header (RFC 7143 section 11). Shares no
 * code with packages/protocol, as raw-pdu.ts.
 */
import type { Pdu } from './raw-connection.ts'

export const TargetOpcode = {
  NopIn: 0x20,
  ScsiResponse: 0x21,
  TaskManagementResponse: 0x22,
  LoginResponse: 0x23,
  TextResponse: 0x24,
  DataIn: 0x25,
  LogoutResponse: 0x26,
  ReadyToTransfer: 0x31,
  AsyncMessage: 0x32,
  Reject: 0x3f,
} as const

export class TargetPdu implements Pdu {
  readonly opcode: number
  readonly flags: number
  readonly bhs: Buffer
  readonly data: Buffer

  constructor({ opcode, flags, bhs, data }: Pdu) {
    this.opcode = opcode
    this.flags = flags
    this.bhs = bhs
    this.data = data
  }

  get final(): boolean {
    return (this.flags & 0x80) !== 0
  }
  /** C of a Text Response. */
  get continued(): boolean {
    return (this.flags & 0x40) !== 0
  }
  /** S of a Data-In. */
  get hasStatus(): boolean {
    return this.opcode === TargetOpcode.ScsiResponse || (this.flags & 0x01) !== 0
  }
  /** O of a SCSI Response or Data-In. */
  get overflow(): boolean {
    return (this.flags & 0x04) !== 0
  }
  /** U of a SCSI Response or Data-In. */
  get underflow(): boolean {
    return (this.flags & 0x02) !== 0
  }
  /** Response of a SCSI, Task Management or Logout Response, reason of a Reject. */
  get response(): number {
    return this.bhs.readUInt8(2)
  }
  get status(): number {
    return this.bhs.readUInt8(3)
  }
  get lun(): Buffer {
    return this.bhs.subarray(8, 16)
  }
  get initiatorTaskTag(): number {
    return this.bhs.readUInt32BE(16)
  }
  get targetTransferTag(): number {
    return this.bhs.readUInt32BE(20)
  }
  get statSN(): number {
    return this.bhs.readUInt32BE(24)
  }
  get expCmdSN(): number {
    return this.bhs.readUInt32BE(28)
  }
  get maxCmdSN(): number {
    return this.bhs.readUInt32BE(32)
  }
  /** DataSN of a Data-In, R2TSN of an R2T, ExpDataSN of a SCSI Response. */
  get dataSN(): number {
    return this.bhs.readUInt32BE(36)
  }
  get bufferOffset(): number {
    return this.bhs.readUInt32BE(40)
  }
  /** Of an R2T, in bytes. */
  get desiredDataTransferLength(): number {
    return this.bhs.readUInt32BE(44)
  }
  get residualCount(): number {
    return this.bhs.readUInt32BE(44)
  }
  /** Sense key, ASC and ASCQ of a SCSI Response with fixed format sense. */
  get sense(): readonly number[] {
    const at = 2
    return [(this.data[at + 2] ?? 0) & 0x0f, this.data[at + 12] ?? 0, this.data[at + 13] ?? 0]
  }
}
