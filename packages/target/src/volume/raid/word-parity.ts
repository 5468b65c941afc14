/** Parity without WebAssembly: 32-bit words where memory is aligned to them, bytes where not. */
import { multiply, REDUCTION } from './galois.ts'
import {
  assertChunks,
  assertFactor,
  assertTarget,
  assertTargets,
  clearLost,
  type ParityMath,
} from './parity-math.ts'
import { ParityRow } from './parity-row.ts'

const WORD_BYTES = 4
/** Bit 0 of each byte of a word, and all bits but those. */
const LOWEST_BITS = 0x01010101
const HIGHER_BITS = 0xfefefefe
// The chunks of `#pair`.
const INTO = 0
const FROM = 1

/** The loops are the same for both: a byte is a word of which three quarters are 0. */
type Units = Uint8Array | Uint32Array

export class WordParity implements ParityMath {
  readonly kind = 'words'
  /** Views of whole memories, so that none is made per operation. */
  readonly #words = new WeakMap<ArrayBufferLike, Uint32Array>()
  /** The two ranges of an operation that has no row. */
  readonly #pair = new ParityRow(1, 1)
  // The chunks at work, and where they begin, in words or bytes. What was at work before stays referred to.
  readonly #units: Units[] = []
  readonly #starts: number[] = []

  allocate(sizeBytes: number): Buffer {
    return Buffer.allocUnsafeSlow(sizeBytes)
  }

  xor(into: Buffer, position: number, from: Buffer, fromPosition: number, length: number): void {
    const count = this.#openPair(into, position, from, fromPosition, length)
    const intoUnits = this.#units[INTO]!
    const fromUnits = this.#units[FROM]!
    addUnits(intoUnits, this.#starts[INTO]!, fromUnits, this.#starts[FROM]!, count)
  }

  multiplyAdd(
    into: Buffer,
    position: number,
    from: Buffer,
    fromPosition: number,
    length: number,
    factor: number,
  ): void {
    assertFactor(factor)
    const count = this.#openPair(into, position, from, fromPosition, length)
    const intoUnits = this.#units[INTO]!
    const fromUnits = this.#units[FROM]!
    addProducts(intoUnits, this.#starts[INTO]!, fromUnits, this.#starts[FROM]!, count, factor)
  }

  xorOthers(row: ParityRow, target: number, length: number): void {
    assertTarget(row, target, row.pIndex)
    const count = this.#open(row, row.dataCount + 1, length)
    sumOthers(this.#units, this.#starts, row.dataCount + 1, target, count)
  }

  computePQ(row: ParityRow, pTarget: number, qTarget: number, length: number): void {
    assertTargets(row, pTarget, qTarget)
    const count = this.#open(row, row.dataCount + 2, length)
    clearLost(row, pTarget, length)
    clearLost(row, qTarget, length)
    sumPowers(this.#units, this.#starts, row.dataCount, pTarget, qTarget, count)
  }

  #openPair(
    into: Buffer,
    position: number,
    from: Buffer,
    fromPosition: number,
    length: number,
  ): number {
    this.#pair.place(INTO, into, position)
    this.#pair.place(FROM, from, fromPosition)
    return this.#open(this.#pair, 2, length)
  }

  /** Takes up the first `chunkCount` chunks of a row. Returns how many units `length` bytes are. */
  #open(row: ParityRow, chunkCount: number, length: number): number {
    assertChunks(row, chunkCount, length)
    const { buffers, positions } = row
    let unaligned = 0
    for (let index = 0; index < chunkCount; index++) {
      unaligned |= (buffers[index]!.byteOffset + positions[index]!) & (WORD_BYTES - 1)
    }
    for (let index = 0; index < chunkCount; index++) {
      const buffer = buffers[index]!
      const position = positions[index]!
      this.#units[index] = unaligned === 0 ? this.#wordsOf(buffer) : buffer
      this.#starts[index] = unaligned === 0 ? (buffer.byteOffset + position) / WORD_BYTES : position
    }
    return unaligned === 0 ? length / WORD_BYTES : length
  }

  #wordsOf(buffer: Buffer): Uint32Array {
    const memory = buffer.buffer
    let words = this.#words.get(memory)
    if (words === undefined) {
      words = new Uint32Array(memory, 0, Math.floor(memory.byteLength / WORD_BYTES))
      this.#words.set(memory, words)
    }
    return words
  }
}

function addUnits(into: Units, start: number, from: Units, fromStart: number, count: number): void {
  for (let done = 0; done < count; done++) {
    into[start + done] = into[start + done]! ^ from[fromStart + done]!
  }
}

/** A product is the sum of those with each bit: the bit of all bytes of a word times `factor * 2^bit`. */
function addProducts(
  into: Units,
  start: number,
  from: Units,
  fromStart: number,
  count: number,
  factor: number,
): void {
  const times2 = multiply(factor, 0x02)
  const times4 = multiply(factor, 0x04)
  const times8 = multiply(factor, 0x08)
  const times16 = multiply(factor, 0x10)
  const times32 = multiply(factor, 0x20)
  const times64 = multiply(factor, 0x40)
  const times128 = multiply(factor, 0x80)
  for (let done = 0; done < count; done++) {
    const value = from[fromStart + done]!
    into[start + done] =
      into[start + done]! ^
      Math.imul(value & LOWEST_BITS, factor) ^
      Math.imul((value >>> 1) & LOWEST_BITS, times2) ^
      Math.imul((value >>> 2) & LOWEST_BITS, times4) ^
      Math.imul((value >>> 3) & LOWEST_BITS, times8) ^
      Math.imul((value >>> 4) & LOWEST_BITS, times16) ^
      Math.imul((value >>> 5) & LOWEST_BITS, times32) ^
      Math.imul((value >>> 6) & LOWEST_BITS, times64) ^
      Math.imul((value >>> 7) & LOWEST_BITS, times128)
  }
}

/** XOR of chunks `0 … chunkCount` but `target`, into that; four units of each at a time. */
function sumOthers(
  units: readonly Units[],
  starts: readonly number[],
  chunkCount: number,
  target: number,
  count: number,
): void {
  for (let done = 0; done < count; done += 4) {
    let a = 0
    let b = 0
    let c = 0
    let d = 0
    for (let index = 0; index < chunkCount; index++) {
      if (index === target) continue
      const from = units[index]!
      const at = starts[index]! + done
      a ^= from[at]!
      b ^= from[at + 1]!
      c ^= from[at + 2]!
      d ^= from[at + 3]!
    }
    store(units[target]!, starts[target]! + done, a, b, c, d)
  }
}

/**
 * P and Q of the data chunks by Horner's scheme: from the last to the first, Q is doubled and the chunk
 * added. Four units are read of all chunks before they are written, for a target may be one of them.
 */
function sumPowers(
  units: readonly Units[],
  starts: readonly number[],
  dataCount: number,
  pTarget: number,
  qTarget: number,
  count: number,
): void {
  for (let done = 0; done < count; done += 4) {
    let pa = 0
    let pb = 0
    let pc = 0
    let pd = 0
    let qa = 0
    let qb = 0
    let qc = 0
    let qd = 0
    for (let index = dataCount - 1; index >= 0; index--) {
      const from = units[index]!
      const at = starts[index]! + done
      const a = from[at]!
      const b = from[at + 1]!
      const c = from[at + 2]!
      const d = from[at + 3]!
      pa ^= a
      pb ^= b
      pc ^= c
      pd ^= d
      qa = twice(qa) ^ a
      qb = twice(qb) ^ b
      qc = twice(qc) ^ c
      qd = twice(qd) ^ d
    }
    store(units[pTarget]!, starts[pTarget]! + done, pa, pb, pc, pd)
    store(units[qTarget]!, starts[qTarget]! + done, qa, qb, qc, qd)
  }
}

function store(into: Units, at: number, a: number, b: number, c: number, d: number): void {
  into[at] = a
  into[at + 1] = b
  into[at + 2] = c
  into[at + 3] = d
}

/** Each byte of a word times 2. */
function twice(word: number): number {
  const overflown = (word >>> 7) & LOWEST_BITS
  return ((word << 1) & HIGHER_BITS) ^ Math.imul(overflown, REDUCTION)
}
