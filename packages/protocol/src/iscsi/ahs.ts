/** Additional header segments, which a SCSI Command may carry (RFC 7143 section 11.2.2). */
import { BHS_LENGTH, headerLength } from './bhs.ts'
import { ProtocolError } from './errors.ts'
import { RejectReason } from './status.ts'

/** AHSType, in the low six bits of its byte. */
export const AhsType = { ExtendedCdb: 1, BidirectionalReadLength: 2 } as const
export type AhsType = (typeof AhsType)[keyof typeof AhsType]

/** AHSLength and AHSType, which AHSLength does not count. */
const AHS_HEADER_LENGTH = 3

/** Bytes of a CDB that the basic header holds. */
const BASIC_CDB_LENGTH = 16

/** What the additional header segments of one command after another say. */
export class AdditionalHeaderSegments {
  /** Where the CDB goes on after its first 16 bytes, in the buffer that was read. */
  extendedCdbPosition = 0
  /** How many bytes of it are there; 0 when the whole CDB is in the basic header. */
  extendedCdbLength = 0
  /** Bidirectional Read Expected Data Transfer Length, in bytes; null when it was not given. */
  bidirectionalReadLength: number | null = null

  /**
   * Reads the segments of the PDU at `buffer[base …]`, which lie right after its basic header, as
   * the framer passes them on.
   * @throws ProtocolError when they are not laid out as the RFC says, come twice, or are of unknown type.
   */
  read(buffer: Buffer, base: number): this {
    this.extendedCdbLength = 0
    this.bidirectionalReadLength = null
    const end = base + headerLength(buffer, base)
    for (let at = base + BHS_LENGTH; at < end; ) {
      const length = buffer.readUInt16BE(at)
      const segmentEnd = at + AHS_HEADER_LENGTH + length
      if (segmentEnd > end) {
        throw invalid(`AHSLength ${length} exceeds the ${end - at - AHS_HEADER_LENGTH} bytes left`)
      }
      this.#segment(buffer, at + AHS_HEADER_LENGTH, length)
      at = base + ((segmentEnd - base + 3) & ~3)
    }
    return this
  }

  /** AHS-Specific is at `buffer[at …]`: a reserved byte first, in both types. */
  #segment(buffer: Buffer, at: number, length: number): void {
    const type = (buffer[at - 1] as number) & 0x3f
    if (type === AhsType.ExtendedCdb) {
      if (length < 2) throw invalid(`AHSLength of an extended CDB is ${length}, wanted at least 2`)
      if (this.extendedCdbLength > 0) throw invalid('a second extended CDB')
      this.extendedCdbPosition = at + 1
      this.extendedCdbLength = length - 1
    } else if (type === AhsType.BidirectionalReadLength) {
      if (length !== 5) {
        throw invalid(`AHSLength of a bidirectional read length is ${length}, wanted 5`)
      }
      if (this.bidirectionalReadLength !== null) throw invalid('a second bidirectional read length')
      this.bidirectionalReadLength = buffer.readUInt32BE(at + 1)
    } else {
      throw invalid(`AHSType ${type} is unknown`)
    }
  }

  /** Length of the whole CDB: the 16 bytes of the basic header, and what is added to them. */
  get cdbLength(): number {
    return BASIC_CDB_LENGTH + this.extendedCdbLength
  }
}

function invalid(message: string): ProtocolError {
  return new ProtocolError('ahs', message, { kind: 'reject', reason: RejectReason.InvalidPduField })
}
