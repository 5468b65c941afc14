/**
 * A byte stream into PDUs, in any split: header first, then the data segment in the pieces in which
 * it comes, without copying where that can be (RFC 7143 sections 11.2 and 11.2.4).
 */
import { BHS_LENGTH, headerLength } from './bhs.ts'
import { crc32c } from './digest.ts'
import { ProtocolError } from './errors.ts'

/** Length of a digest, in bytes. */
export const DIGEST_LENGTH = 4

/** What the one byte of TotalAHSLength can say, in bytes. */
const AHS_LENGTH_MAX = 255 * 4

/** Is told of each PDU as it comes in. Buffers are the framer's or its caller's: valid during the call. */
export interface FramerHandler {
  /** Header and AHS are at `buffer[base …]`, verified; nothing of the data segment has been passed on. */
  onHeader(buffer: Buffer, base: number): void
  /** A piece of the data segment; `offset` is its place in the segment. */
  onData(buffer: Buffer, position: number, length: number, offset: number): void
  /** The PDU is complete. */
  onEnd(): void
  /** Instead of `onData` and `onEnd`: the data segment failed its digest. */
  onDataDigestError(): void
}

const Stage = { Header: 0, Data: 1, GatherData: 2, Padding: 3, Dead: 4 } as const
type Stage = (typeof Stage)[keyof typeof Stage]

export class Framer {
  readonly #handler: FramerHandler
  /** What the two sides have agreed on. A change, made in `onEnd`, takes effect with the next PDU. */
  headerDigest = false
  dataDigest = false
  /** The longest data segment taken in, in bytes; a longer one is a breach. */
  dataSegmentLengthMax: number
  /** The longest additional header segments taken in, in bytes, at most 1020. */
  ahsLengthMax = AHS_LENGTH_MAX
  /** Set by the handler to stop `push` right after the callback that set it. */
  paused = false

  #stage: Stage = Stage.Header
  /** Header, AHS and digest when they are cut by the end of a chunk. */
  readonly #scratch = Buffer.allocUnsafeSlow(BHS_LENGTH + AHS_LENGTH_MAX + DIGEST_LENGTH)
  #scratchLength = 0
  /** Data segment, padding and digest when a data digest is to be checked first. */
  #segment = Buffer.alloc(0)
  #dataLength = 0
  #dataOffset = 0
  #skip = 0

  constructor(handler: FramerHandler, dataSegmentLengthMax: number) {
    this.#handler = handler
    this.dataSegmentLengthMax = dataSegmentLengthMax
  }

  /**
   * Takes in bytes `start` to `end` of `buffer`, and returns how many: fewer than given only when
   * the handler has set `paused`; the rest must be given again.
   * @throws ProtocolError after which the framer takes nothing more.
   */
  push(buffer: Buffer, start: number, end: number): number {
    if (this.#stage === Stage.Dead) throw dropped('bytes after a framing error')
    let at = start
    try {
      while (at < end && !this.paused) {
        if (this.#stage === Stage.Header) at = this.#header(buffer, at, end)
        else if (this.#stage === Stage.Data) at = this.#data(buffer, at, end)
        else if (this.#stage === Stage.GatherData) at = this.#gather(buffer, at, end)
        else at = this.#padding(at, end)
      }
    } catch (error) {
      this.#stage = Stage.Dead
      throw error
    }
    return at - start
  }

  #header(buffer: Buffer, at: number, end: number): number {
    if (this.#scratchLength === 0 && end - at >= BHS_LENGTH) {
      const length = this.#headerLength(buffer, at)
      if (end - at >= length) {
        return this.#headerComplete(buffer, at, at + length)
      }
    }
    const have = this.#scratchLength
    const wanted = have < BHS_LENGTH ? BHS_LENGTH : this.#headerLength(this.#scratch, 0)
    const copied = Math.min(wanted - have, end - at)
    buffer.copy(this.#scratch, have, at, at + copied)
    this.#scratchLength += copied
    const complete =
      this.#scratchLength >= BHS_LENGTH &&
      this.#scratchLength === this.#headerLength(this.#scratch, 0)
    if (!complete) return at + copied
    this.#scratchLength = 0
    return this.#headerComplete(this.#scratch, 0, at + copied)
  }

  /** Length of header, AHS and header digest, from the header's first bytes. */
  #headerLength(buffer: Buffer, base: number): number {
    const ahsLength = 4 * (buffer[base + 4] as number)
    if (ahsLength > this.ahsLengthMax) {
      throw dropped(`TotalAHSLength of ${ahsLength} bytes exceeds ${this.ahsLengthMax}`)
    }
    return BHS_LENGTH + ahsLength + (this.headerDigest ? DIGEST_LENGTH : 0)
  }

  /** `end` is where the header ends in the input. Returns how far that is taken in. */
  #headerComplete(buffer: Buffer, base: number, end: number): number {
    const length = headerLength(buffer, base)
    if (this.headerDigest) {
      const got = buffer.readUInt32LE(base + length)
      const wanted = crc32c(buffer, base, base + length)
      if (got !== wanted) {
        throw dropped(`header digest is ${hex(got)}, wanted ${hex(wanted)}`, 'digest')
      }
    }
    const dataLength =
      ((buffer[base + 5] as number) << 16) |
      ((buffer[base + 6] as number) << 8) |
      (buffer[base + 7] as number)
    if (dataLength > this.dataSegmentLengthMax) {
      throw dropped(
        `DataSegmentLength ${dataLength} exceeds MaxRecvDataSegmentLength ${this.dataSegmentLengthMax}`,
      )
    }
    this.#dataLength = dataLength
    this.#dataOffset = 0
    if (dataLength > 0) this.#stage = this.dataDigest ? Stage.GatherData : Stage.Data
    this.#handler.onHeader(buffer, base)
    return dataLength > 0 ? end : this.#end(end)
  }

  /** The PDU ends at `at`. Returns how far the input is taken in. */
  #end(at: number): number {
    if (this.paused) {
      // Its last byte is given back, so that whoever resumes has something to push, and gets `onEnd`.
      this.#skip = 1
      this.#stage = Stage.Padding
      return at - 1
    }
    this.#stage = Stage.Header
    this.#handler.onEnd()
    return at
  }

  #data(buffer: Buffer, at: number, end: number): number {
    const length = Math.min(this.#dataLength - this.#dataOffset, end - at)
    const offset = this.#dataOffset
    this.#dataOffset += length
    this.#handler.onData(buffer, at, length, offset)
    if (this.#dataOffset < this.#dataLength) return at + length
    this.#skip = -this.#dataLength & 3
    if (this.#skip === 0) return this.#end(at + length)
    this.#stage = Stage.Padding
    return at + length
  }

  #padding(at: number, end: number): number {
    const length = Math.min(this.#skip, end - at)
    this.#skip -= length
    return this.#skip === 0 ? this.#end(at + length) : at + length
  }

  #gather(buffer: Buffer, at: number, end: number): number {
    const padded = (this.#dataLength + 3) & ~3
    const wanted = padded + DIGEST_LENGTH
    if (this.#segment.length < wanted) {
      const most = ((this.dataSegmentLengthMax + 3) & ~3) + DIGEST_LENGTH
      this.#segment = Buffer.allocUnsafeSlow(Math.max(wanted, most))
    }
    const length = Math.min(wanted - this.#dataOffset, end - at)
    buffer.copy(this.#segment, this.#dataOffset, at, at + length)
    this.#dataOffset += length
    if (this.#dataOffset < wanted) return at + length
    if (crc32c(this.#segment, 0, padded) === this.#segment.readUInt32LE(padded)) {
      this.#handler.onData(this.#segment, 0, this.#dataLength, 0)
      return this.#end(at + length)
    }
    this.#stage = Stage.Header
    this.#handler.onDataDigestError()
    return at + length
  }
}

/** Length on the wire of a PDU with these bytes of AHS and data segment. */
export function pduLength(
  ahsLength: number,
  dataLength: number,
  headerDigest: boolean,
  dataDigest: boolean,
): number {
  const header = BHS_LENGTH + ahsLength + (headerDigest ? DIGEST_LENGTH : 0)
  if (dataLength === 0) return header
  return header + ((dataLength + 3) & ~3) + (dataDigest ? DIGEST_LENGTH : 0)
}

/** Where the data segment of a PDU laid out at `base` begins. */
export function dataPosition(base: number, ahsLength: number, headerDigest: boolean): number {
  return base + BHS_LENGTH + ahsLength + (headerDigest ? DIGEST_LENGTH : 0)
}

/**
 * Finishes a PDU laid out at `buffer[base …]`, header and data in place: zeroes its padding and fills
 * in the digests that are asked for. The header must be final; AHS is taken from its length field.
 */
export function sealPdu(
  buffer: Buffer,
  base: number,
  dataLength: number,
  headerDigest: boolean,
  dataDigest: boolean,
): void {
  const headerEnd = base + headerLength(buffer, base)
  if (headerDigest) buffer.writeUInt32LE(crc32c(buffer, base, headerEnd), headerEnd)
  if (dataLength === 0) return
  const data = headerEnd + (headerDigest ? DIGEST_LENGTH : 0)
  const end = data + ((dataLength + 3) & ~3)
  for (let at = data + dataLength; at < end; at++) buffer[at] = 0
  if (dataDigest) buffer.writeUInt32LE(crc32c(buffer, data, end), end)
}

function dropped(message: string, code: 'framing' | 'digest' = 'framing'): ProtocolError {
  return new ProtocolError(code, message, { kind: 'drop' })
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`
}
