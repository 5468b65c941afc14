/** Parity as its definition says it, byte by byte, and rows in memory of every kind to try it on. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import type { ParityMath } from '../../../src/volume/raid/parity-math.ts'
import { ParityRow } from '../../../src/volume/raid/parity-row.ts'

/** Long multiplication of polynomials, then division by 0x11d. */
export function modelProduct(a: number, b: number): number {
  let product = 0
  for (let bit = 0; bit < 8; bit++) if (b & (1 << bit)) product ^= a << bit
  for (let bit = 14; bit >= 8; bit--) if (product & (1 << bit)) product ^= 0x11d << (bit - 8)
  return product
}

/** P, then Q if there are two parities, of data chunks. */
export function modelParities(data: readonly Buffer[], parityCount: 1 | 2): Buffer[] {
  const length = data[0]!.length
  const p = Buffer.alloc(length)
  const q = Buffer.alloc(length)
  let factor = 1
  for (const chunk of data) {
    const products = Array.from({ length: 256 }, (_, byte) => modelProduct(factor, byte))
    for (let at = 0; at < length; at++) {
      p[at] = p[at]! ^ chunk[at]!
      q[at] = q[at]! ^ products[chunk[at]!]!
    }
    factor = modelProduct(factor, 2)
  }
  return parityCount === 1 ? [p] : [p, q]
}

/** Bytes that look random, the same ones for the same seed. */
export function bytesOf(seed: number, length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update(String(seed)).digest()
}

/** Where a chunk is put: in memory of the ParityMath or elsewhere, so many bytes from alignment. */
export interface Placement {
  readonly isAllocated: boolean
  readonly shift: number
}

export const placements: fc.Arbitrary<Placement> = fc.record({
  isAllocated: fc.boolean(),
  // Half of them aligned, as most of them are.
  shift: fc.oneof(fc.constantFrom(0, 4, 8), fc.nat({ max: 17 })),
})

const MARGIN = 64
const MARK = 0xa5

/** Copies of chunks where `placements` say, each in a buffer with margins that must stay as they are. */
export class PlacedRow {
  readonly row: ParityRow
  readonly #length: number

  constructor(
    math: ParityMath,
    chunks: readonly Buffer[],
    parityCount: 1 | 2,
    placements: readonly Placement[],
  ) {
    this.row = new ParityRow(chunks.length - parityCount, parityCount)
    this.#length = chunks[0]!.length
    for (const [index, chunk] of chunks.entries()) {
      const { isAllocated, shift } = placements[index % placements.length]!
      const sizeBytes = this.#length + 2 * MARGIN
      const buffer = isAllocated ? math.allocate(sizeBytes) : Buffer.allocUnsafeSlow(sizeBytes)
      buffer.fill(MARK)
      chunk.copy(buffer, shift)
      // Half of the shift comes with the position, the rest with a Buffer that is a part of memory.
      const cut = shift >> 1
      this.row.place(index, buffer.subarray(cut), shift - cut)
    }
  }

  chunk(index: number): Buffer {
    const position = this.row.positions[index]!
    return this.row.buffers[index]!.subarray(position, position + this.#length)
  }

  chunks(): Buffer[] {
    return this.row.buffers.map((_, index) => this.chunk(index))
  }

  /** Makes a chunk something else than it was. */
  lose(index: number): void {
    this.chunk(index).fill(0xdb)
  }

  /** Whether nothing beside the chunks was written. */
  marginsAreLeft(): boolean {
    return this.row.buffers.every((buffer, index) => {
      const position = this.row.positions[index]!
      const before = buffer.subarray(0, position)
      const after = buffer.subarray(position + this.#length)
      return before.every((byte) => byte === MARK) && after.every((byte) => byte === MARK)
    })
  }
}

/** A row: how many data chunks and parities, which bytes, how long, and where. */
export const rows = fc.record({
  dataCount: fc.integer({ min: 1, max: 8 }),
  seed: fc.nat(),
  length: fc.integer({ min: 1, max: 6 }).map((blocks) => blocks * 512),
  placements: fc.array(placements, { minLength: 1, maxLength: 10 }),
})

export function randomData(seed: number, dataCount: number, length: number): Buffer[] {
  const bytes = bytesOf(seed, dataCount * length)
  return Array.from({ length: dataCount }, (_, k) => bytes.subarray(k * length, (k + 1) * length))
}

export function sameChunks(got: readonly Buffer[], wanted: readonly Buffer[]): boolean {
  return got.length === wanted.length && got.every((chunk, index) => chunk.equals(wanted[index]!))
}
