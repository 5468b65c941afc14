/** What parity is computed with. There are two: SIMD by WebAssembly, and plain JavaScript. */
import type { ParityRow } from './parity-row.ts'

/** Every length is a multiple of it, in bytes. */
export const LENGTH_UNIT = 512

/**
 * Sums and products over ranges of bytes: `length` bytes, a multiple of 512, `position` bytes into a Buffer.
 * Any Buffer at any position will do; those of `allocate` are the fastest. Buffers stay the caller's. What
 * is wrong with a range is a RangeError, and then nothing was written.
 *
 * Writing new data over old is, with `old` being the old data and lost by it:
 *
 *     math.xor(old, …, new, …, length) // the difference
 *     math.xor(p, …, old, …, length)
 *     math.multiplyAdd(q, …, old, …, length, powerOfTwo(k)) // k: which data chunk of the row
 */
export interface ParityMath {
  readonly kind: 'simd' | 'words'

  /**
   * Memory that needs no copying to be computed with, aligned to 64 bytes and holding anything: for stripe
   * buffers. It is never taken back, so keep it for the next row. Once `memorySizeBytes` of `openParity`
   * are used up it is ordinary memory: as right, and slower.
   */
  allocate(sizeBytes: number): Buffer

  /** `into ^= from`. The ranges are the same or apart. */
  xor(into: Buffer, position: number, from: Buffer, fromPosition: number, length: number): void

  /** `into ^= factor * from`, with `factor` 0 … 255. The ranges are the same or apart. */
  multiplyAdd(
    into: Buffer,
    position: number,
    from: Buffer,
    fromPosition: number,
    length: number,
    factor: number,
  ): void

  /**
   * Chunk `target`, one of the data or P, becomes the XOR of the other data and P: P of the data, or lost
   * data again. Q is neither read nor written, and need not be placed.
   */
  xorOthers(row: ParityRow, target: number, length: number): void

  /**
   * P and Q of the data, in one pass, into chunks `pTarget` and `qTarget`: `pIndex` and `qIndex`, or else
   * lost data chunks, which then count as zeros.
   */
  computePQ(row: ParityRow, pTarget: number, qTarget: number, length: number): void
}

/** Refuses a length that is not whole blocks. */
export function assertLength(length: number): void {
  if (length < 0 || length % LENGTH_UNIT !== 0) {
    throw new RangeError(`parity of ${length} bytes, wanted a multiple of ${LENGTH_UNIT}`)
  }
}

/** Refuses a range that is not within its Buffer. */
export function assertChunk(buffer: Buffer, position: number, length: number): void {
  if (!Number.isInteger(position) || position < 0 || position + length > buffer.length) {
    throw new RangeError(`${length} bytes at ${position} of a buffer of ${buffer.length}`)
  }
}

/** Refuses a row of which the first `chunkCount` chunks are not all there, each with `length` bytes. */
export function assertChunks(row: ParityRow, chunkCount: number, length: number): void {
  assertLength(length)
  if (chunkCount > row.buffers.length) {
    throw new RangeError(`P and Q of a row of ${row.parityCount} parity, wanted 2`)
  }
  for (let index = 0; index < chunkCount; index++) {
    assertChunk(row.buffers[index]!, row.positions[index]!, length)
  }
}

/** Refuses what is neither a data chunk nor the parity that is at `parityIndex`. */
export function assertTarget(row: ParityRow, target: number, parityIndex: number): void {
  const isData = Number.isInteger(target) && target >= 0 && target < row.dataCount
  if (!isData && target !== parityIndex) {
    throw new RangeError(
      `parity into chunk ${target}, wanted ${parityIndex} or one of ${row.dataCount} data chunks`,
    )
  }
}

/** Refuses P and Q into chunks they cannot be computed into. */
export function assertTargets(row: ParityRow, pTarget: number, qTarget: number): void {
  assertTarget(row, pTarget, row.pIndex)
  assertTarget(row, qTarget, row.qIndex)
  if (pTarget === qTarget) throw new RangeError(`P and Q both into chunk ${pTarget}`)
}

/** Refuses what is no element of the field. */
export function assertFactor(factor: number): void {
  if ((factor & 0xff) !== factor) throw new RangeError(`factor ${factor}, wanted 0 to 255`)
}

/** Makes a lost data chunk zeros; leaves P and Q, which are only written, as they are. */
export function clearLost(row: ParityRow, target: number, length: number): void {
  if (target >= row.dataCount) return
  const start = row.positions[target]!
  row.buffers[target]!.fill(0, start, start + length)
}
