/** The basic header segment, common to all PDUs (RFC 7143 section 11.2.1). */
import type { Layout, Structure } from 'buffer-layout'

/** The Initiator or Target Transfer Tag that stands for none. */
export const RESERVED_TAG = 0xffffffff

/** Length of the basic header segment, in bytes. */
export const BHS_LENGTH = 48

/** Length of the header at `buffer[base …]` with its additional segments, without a digest, in bytes. */
export function headerLength(buffer: Buffer, base: number): number {
  return BHS_LENGTH + 4 * (buffer[base + 4] as number)
}

type FieldName<F extends readonly Layout[]> = Extract<F[number]['property'], string>

/**
 * Where each field of a PDU's layout lies, in bytes from the beginning of its header.
 * @throws Error when the layout is not that of a whole basic header segment.
 */
export function bhsOffsets<const F extends readonly Layout[]>(
  layout: Structure<F>,
): { readonly [K in FieldName<F>]: number } {
  if (layout.span !== BHS_LENGTH) {
    throw new Error(`a PDU layout spans ${layout.span} bytes, wanted ${BHS_LENGTH}`)
  }
  const offsets: Record<string, number> = {}
  let offset = 0
  for (const field of layout.fields) {
    if (field.property !== undefined) offsets[field.property] = offset
    offset += field.span
  }
  return offsets as { readonly [K in FieldName<F>]: number }
}

/**
 * A header looked at in place: getters read, setters write, at `buffer[base …]`, which stays its
 * owner's. One view serves any number of PDUs, one after another.
 */
export abstract class BasicHeader {
  buffer: Buffer = NO_BUFFER
  base = 0
  /** The bytes that `init` begins the header with: opcode, and bits that are always set. */
  protected abstract readonly firstByte: number
  protected readonly secondByte: number = 0

  /** Looks at the header at `buffer[base …]`. */
  at(buffer: Buffer, base: number): this {
    this.buffer = buffer
    this.base = base
    return this
  }

  /** Zeroes the 48 bytes at `buffer[base …]`, sets the opcode and fixed bits, and looks at them. */
  init(buffer: Buffer, base: number): this {
    this.buffer = buffer
    this.base = base
    for (let i = base; i < base + BHS_LENGTH; i++) buffer[i] = 0
    buffer[base] = this.firstByte
    buffer[base + 1] = this.secondByte
    return this
  }

  get opcode(): number {
    return (this.buffer[this.base] as number) & 0x3f
  }
  set opcode(value: number) {
    this.buffer[this.base] = ((this.buffer[this.base] as number) & 0xc0) | (value & 0x3f)
  }

  /** The I bit: deliver at once, out of CmdSN order. */
  get immediate(): boolean {
    return this.flag(0, 0x40)
  }
  set immediate(value: boolean) {
    this.setFlag(0, 0x40, value)
  }

  /** Length of the additional header segments, in words of four bytes. */
  get totalAHSLength(): number {
    return this.buffer[this.base + 4] as number
  }
  set totalAHSLength(value: number) {
    this.buffer[this.base + 4] = value
  }

  /** Length of the data segment in bytes, without padding and digest. */
  get dataSegmentLength(): number {
    return this.buffer.readUIntBE(this.base + 5, 3)
  }
  set dataSegmentLength(value: number) {
    this.buffer.writeUIntBE(value, this.base + 5, 3)
  }

  /** Where the eight bytes of the LUN field lie in `buffer`. */
  get lunPosition(): number {
    return this.base + 8
  }
  /** Copies a LUN of eight bytes into the header. */
  copyLun(from: Buffer, position: number): void {
    for (let i = 0; i < 8; i++) this.buffer[this.base + 8 + i] = from[position + i] as number
  }

  get initiatorTaskTag(): number {
    return this.u32(16)
  }
  set initiatorTaskTag(value: number) {
    this.setU32(16, value)
  }

  protected u8(at: number): number {
    return this.buffer[this.base + at] as number
  }
  protected setU8(at: number, value: number): void {
    this.buffer[this.base + at] = value
  }
  protected u16(at: number): number {
    return this.buffer.readUInt16BE(this.base + at)
  }
  protected setU16(at: number, value: number): void {
    this.buffer.writeUInt16BE(value, this.base + at)
  }
  protected u24(at: number): number {
    return this.buffer.readUIntBE(this.base + at, 3)
  }
  protected setU24(at: number, value: number): void {
    this.buffer.writeUIntBE(value, this.base + at, 3)
  }
  protected u32(at: number): number {
    return this.buffer.readUInt32BE(this.base + at)
  }
  protected setU32(at: number, value: number): void {
    this.buffer.writeUInt32BE(value, this.base + at)
  }
  protected flag(at: number, mask: number): boolean {
    return ((this.buffer[this.base + at] as number) & mask) !== 0
  }
  protected setFlag(at: number, mask: number, value: boolean): void {
    const byte = this.buffer[this.base + at] as number
    this.buffer[this.base + at] = value ? byte | mask : byte & ~mask
  }
}

const NO_BUFFER = Buffer.alloc(BHS_LENGTH)
