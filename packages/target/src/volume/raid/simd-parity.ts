/**
 * Parity by WebAssembly SIMD, some ten times as fast as words in JavaScript where the data are in the
 * module's memory. What is elsewhere is copied there, and the outcome back, which is still several times
 * as fast; Buffer.copy makes a view for each piece then. Else nothing is made.
 */
import { multiply } from './galois.ts'
import {
  assertChunks,
  assertFactor,
  assertTarget,
  assertTargets,
  clearLost,
  LENGTH_UNIT,
  type ParityMath,
} from './parity-math.ts'
import { DATA_COUNT_MAX, ParityRow } from './parity-row.ts'
import { MEMORY_MODULE, MEMORY_NAME, type ParityKernels, parityModule } from './wasm-module.ts'
import { WASM_PAGE_BYTES, type WasmModule, webAssembly } from './web-assembly.ts'

// The memory from its start: the products of each factor, the addresses of a row's chunks, room for what
// has to be copied, and what is allocated.
const PRODUCTS_BYTES = 32
const ADDRESSES_START = 256 * PRODUCTS_BYTES
const ADDRESSES_MAX = DATA_COUNT_MAX + 2
const SCRATCH_START = 16 * 1024
/** Small enough for the cache of a core, large enough for 512 bytes of each chunk of the longest row. */
const SCRATCH_BYTES = 256 * 1024
const ALLOCATED_START = SCRATCH_START + SCRATCH_BYTES
const ALIGNMENT = 64

/** What stands for the address of a chunk that is not in the memory. */
const ELSEWHERE = -1
// The chunks of `#pair`.
const INTO = 0
const FROM = 1

/** The same for all, from when it is first asked for. */
let compiled: WasmModule | null = null

export class SimdParity implements ParityMath {
  readonly kind = 'simd'
  readonly #kernels: ParityKernels
  readonly #memory: ArrayBuffer
  readonly #bytes: Buffer
  /** Of the chunks that are summed up, for the module to read. */
  readonly #chunkAddresses: Uint32Array
  /** The two ranges of an operation that has no row. */
  readonly #pair = new ParityRow(1, 1)
  /** Where in the memory each chunk of the row at work begins, or ELSEWHERE. */
  readonly #homes: number[] = []
  /** How much of each chunk is computed at once: all, unless a chunk has to be copied. */
  #pieceBytesMax = 0
  #allocatedEnd = ALLOCATED_START

  /** Null where there is no WebAssembly SIMD, or the memory cannot be had: 4 GiB are the most. */
  static open(memorySizeBytes: number): SimdParity | null {
    if (webAssembly === null) return null
    const pages = Math.ceil((ALLOCATED_START + memorySizeBytes) / WASM_PAGE_BYTES)
    try {
      compiled ??= new webAssembly.Module(parityModule())
      // It never grows, for that would take the memory away from under its Buffers.
      const memory = new webAssembly.Memory({ initial: pages, maximum: pages })
      const imports = { [MEMORY_MODULE]: { [MEMORY_NAME]: memory } }
      const { exports } = new webAssembly.Instance(compiled, imports)
      return new SimdParity(exports as ParityKernels, memory.buffer)
    } catch {
      return null
    }
  }

  private constructor(kernels: ParityKernels, memory: ArrayBuffer) {
    this.#kernels = kernels
    this.#memory = memory
    this.#bytes = Buffer.from(memory)
    this.#chunkAddresses = new Uint32Array(memory, ADDRESSES_START, ADDRESSES_MAX)
    for (let factor = 0; factor < 256; factor++) {
      const start = factor * PRODUCTS_BYTES
      for (let half = 0; half < 16; half++) {
        this.#bytes[start + half] = multiply(factor, half)
        this.#bytes[start + 16 + half] = multiply(factor, half << 4)
      }
    }
  }

  allocate(sizeBytes: number): Buffer {
    const start = this.#allocatedEnd
    if (start + sizeBytes > this.#memory.byteLength) return Buffer.allocUnsafeSlow(sizeBytes)
    this.#allocatedEnd = start + Math.ceil(sizeBytes / ALIGNMENT) * ALIGNMENT
    return Buffer.from(this.#memory, start, sizeBytes)
  }

  xor(into: Buffer, position: number, from: Buffer, fromPosition: number, length: number): void {
    const pair = this.#openPair(into, position, from, fromPosition, length)
    for (let done = 0; done < length; done += this.#pieceBytesMax) {
      const piece = Math.min(this.#pieceBytesMax, length - done)
      const source = this.#bringIn(pair, FROM, done, piece)
      this.#kernels.xor(this.#bringIn(pair, INTO, done, piece), source, piece)
      this.#takeOut(pair, INTO, done, piece)
    }
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
    const pair = this.#openPair(into, position, from, fromPosition, length)
    const products = factor * PRODUCTS_BYTES
    for (let done = 0; done < length; done += this.#pieceBytesMax) {
      const piece = Math.min(this.#pieceBytesMax, length - done)
      const source = this.#bringIn(pair, FROM, done, piece)
      this.#kernels.multiplyAdd(this.#bringIn(pair, INTO, done, piece), source, piece, products)
      this.#takeOut(pair, INTO, done, piece)
    }
  }

  xorOthers(row: ParityRow, target: number, length: number): void {
    assertTarget(row, target, row.pIndex)
    this.#open(row, row.dataCount + 1, length)
    for (let done = 0; done < length; done += this.#pieceBytesMax) {
      const piece = Math.min(this.#pieceBytesMax, length - done)
      let count = 0
      for (let index = 0; index <= row.dataCount; index++) {
        if (index === target) continue
        this.#chunkAddresses[count++] = this.#bringIn(row, index, done, piece)
      }
      this.#kernels.sum(this.#addressOf(target, done), ADDRESSES_START, count, piece)
      this.#takeOut(row, target, done, piece)
    }
  }

  computePQ(row: ParityRow, pTarget: number, qTarget: number, length: number): void {
    assertTargets(row, pTarget, qTarget)
    this.#open(row, row.dataCount + 2, length)
    clearLost(row, pTarget, length)
    clearLost(row, qTarget, length)
    for (let done = 0; done < length; done += this.#pieceBytesMax) {
      const piece = Math.min(this.#pieceBytesMax, length - done)
      for (let index = 0; index < row.dataCount; index++) {
        this.#chunkAddresses[index] = this.#bringIn(row, index, done, piece)
      }
      const p = this.#addressOf(pTarget, done)
      const q = this.#addressOf(qTarget, done)
      this.#kernels.sumPowers(p, q, ADDRESSES_START, row.dataCount, piece)
      this.#takeOut(row, pTarget, done, piece)
      this.#takeOut(row, qTarget, done, piece)
    }
  }

  #openPair(
    into: Buffer,
    position: number,
    from: Buffer,
    fromPosition: number,
    length: number,
  ): ParityRow {
    this.#pair.place(INTO, into, position)
    this.#pair.place(FROM, from, fromPosition)
    this.#open(this.#pair, 2, length)
    return this.#pair
  }

  /** Finds out where the first `chunkCount` chunks of the row are, and how much to compute at once. */
  #open(row: ParityRow, chunkCount: number, length: number): void {
    assertChunks(row, chunkCount, length)
    this.#pieceBytesMax = length
    for (let index = 0; index < chunkCount; index++) {
      const buffer = row.buffers[index]!
      const isHere = buffer.buffer === this.#memory
      this.#homes[index] = isHere ? buffer.byteOffset + row.positions[index]! : ELSEWHERE
      if (isHere) continue
      const share = Math.floor(SCRATCH_BYTES / chunkCount / LENGTH_UNIT) * LENGTH_UNIT
      this.#pieceBytesMax = Math.min(length, share)
    }
  }

  /** Where in the memory byte `done` of a chunk is, or is to be copied. */
  #addressOf(index: number, done: number): number {
    const home = this.#homes[index]!
    return home === ELSEWHERE ? SCRATCH_START + index * this.#pieceBytesMax : home + done
  }

  /** Copies a piece of a chunk that is elsewhere. Returns where in the memory it is. */
  #bringIn(row: ParityRow, index: number, done: number, piece: number): number {
    const address = this.#addressOf(index, done)
    if (this.#homes[index] === ELSEWHERE) {
      const start = row.positions[index]! + done
      row.buffers[index]!.copy(this.#bytes, address, start, start + piece)
    }
    return address
  }

  /** Copies a piece of a chunk that is elsewhere back there. */
  #takeOut(row: ParityRow, index: number, done: number, piece: number): void {
    if (this.#homes[index] !== ELSEWHERE) return
    const address = this.#addressOf(index, done)
    this.#bytes.copy(row.buffers[index]!, row.positions[index]! + done, address, address + piece)
  }
}
