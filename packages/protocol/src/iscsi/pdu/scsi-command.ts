/** SCSI Command (RFC 7143 section 11.3). */
import { blob, struct, u8, u24be, u32be } from 'buffer-layout'
import { BasicHeader, bhsOffsets } from '../bhs.ts'
import { Opcode } from '../opcode.ts'

/** The rows of the picture in section 11.3. */
export const scsiCommandLayout = struct([
  u8('opcode'),
  u8('flags'),
  blob(2),
  u8('totalAHSLength'),
  u24be('dataSegmentLength'),
  blob(8, 'lun'),
  u32be('initiatorTaskTag'),
  u32be('expectedDataTransferLength'),
  u32be('cmdSN'),
  u32be('expStatSN'),
  blob(16, 'cdb'),
])
const scsiCommandAt = bhsOffsets(scsiCommandLayout)

export class ScsiCommand extends BasicHeader {
  protected readonly firstByte = Opcode.ScsiCommand

  /** In bytes, for the direction that the R or W bit names. */
  get expectedDataTransferLength(): number {
    return this.u32(scsiCommandAt.expectedDataTransferLength)
  }
  set expectedDataTransferLength(value: number) {
    this.setU32(scsiCommandAt.expectedDataTransferLength, value)
  }

  get cmdSN(): number {
    return this.u32(scsiCommandAt.cmdSN)
  }
  set cmdSN(value: number) {
    this.setU32(scsiCommandAt.cmdSN, value)
  }

  get expStatSN(): number {
    return this.u32(scsiCommandAt.expStatSN)
  }
  set expStatSN(value: number) {
    this.setU32(scsiCommandAt.expStatSN, value)
  }

  /** The F bit: no unsolicited Data-Out PDUs follow. */
  get final(): boolean {
    return this.flag(1, 0x80)
  }
  set final(value: boolean) {
    this.setFlag(1, 0x80, value)
  }

  /** The R bit: the command sends data to the initiator. */
  get read(): boolean {
    return this.flag(1, 0x40)
  }
  set read(value: boolean) {
    this.setFlag(1, 0x40, value)
  }

  /** The W bit: the initiator sends data. */
  get write(): boolean {
    return this.flag(1, 0x20)
  }
  set write(value: boolean) {
    this.setFlag(1, 0x20, value)
  }

  /** Task attribute: 0 untagged, 1 simple, 2 ordered, 3 head of queue, 4 ACA. */
  get attribute(): number {
    return this.u8(1) & 0x07
  }
  set attribute(value: number) {
    this.setU8(1, (this.u8(1) & 0xf8) | (value & 0x07))
  }

  /** Where the sixteen bytes of the CDB field lie in `buffer`. */
  get cdbPosition(): number {
    return this.base + scsiCommandAt.cdb
  }
}
