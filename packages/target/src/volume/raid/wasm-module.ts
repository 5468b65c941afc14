/**
 * The WebAssembly module of parity: four functions over its memory, 64 bytes at a time. Addresses and
 * lengths are in bytes; lengths are multiples of 64 and more than 0; addresses need no alignment.
 */
import { REDUCTION } from './galois.ts'
import {
  assemble,
  branchIf,
  type Code,
  i8x16Add,
  i8x16LessSigned,
  i8x16Splat,
  i8x16Swizzle,
  i32Add,
  i32Const,
  i32LessUnsigned,
  i32Load,
  i32Multiply,
  i32Subtract,
  i32x4ShiftRightUnsigned,
  localGet,
  localSet,
  loop,
  v128And,
  v128Load,
  v128Store,
  v128Xor,
  type WasmFunction,
} from './wasm-assembler.ts'

/** What the module imports its memory as: `parity.memory`. */
export const MEMORY_MODULE = 'parity'
export const MEMORY_NAME = 'memory'

/** What the module exports. */
export interface ParityKernels {
  /** `into ^= from`. */
  xor(into: number, from: number, length: number): void
  /** `into ^= factor * from`; at `products` are those of the factor with 0 … 15, then with 0, 16 … 240. */
  multiplyAdd(into: number, from: number, length: number, products: number): void
  /** `into` becomes the XOR of `count` chunks, whose addresses, an i32 each, are at `chunks`. */
  sum(into: number, chunks: number, count: number, length: number): void
  /** P and Q of `count` data chunks. They may be written over one of the chunks each. */
  sumPowers(p: number, q: number, chunks: number, count: number, length: number): void
}

/** Vectors of 16 bytes in a step of the loops: enough work for each turn, few enough for registers. */
const lanes = [0, 1, 2, 3] as const
const VECTOR_BYTES = 16
const STEP_BYTES = lanes.length * VECTOR_BYTES
const ADDRESS_BYTES = 4

/** The bytes of the module. */
export function parityModule(): Uint8Array<ArrayBuffer> {
  return assemble(MEMORY_MODULE, MEMORY_NAME, [xor(), multiplyAdd(), sum(), sumPowers()])
}

function xor(): WasmFunction {
  const [into, from, length, done] = [0, 1, 2, 3] as const
  const step = lanes.map((lane) => {
    const at = lane * VECTOR_BYTES
    const target = i32Add(localGet(into), localGet(done))
    const source = i32Add(localGet(from), localGet(done))
    return v128Store(target, v128Xor(v128Load(target, at), v128Load(source, at)), at)
  })
  const body = [eachStep(done, length, ...step)]
  return { name: 'xor', parameterCount: 3, i32Count: 1, v128Count: 0, body }
}

function multiplyAdd(): WasmFunction {
  const [into, from, length, products, done] = [0, 1, 2, 3, 4] as const
  const [low, high, lowBits, value] = [5, 6, 7, 8] as const
  const step = lanes.flatMap((lane) => {
    const at = lane * VECTOR_BYTES
    const target = i32Add(localGet(into), localGet(done))
    const source = i32Add(localGet(from), localGet(done))
    // A product is the sum of those of the two halves of a byte, which are looked up 16 at once. What
    // the shift brings in from the next byte is masked away.
    const lowHalves = v128And(localGet(value), localGet(lowBits))
    const shifted = i32x4ShiftRightUnsigned(localGet(value), i32Const(4))
    const highHalves = v128And(shifted, localGet(lowBits))
    const product = v128Xor(
      i8x16Swizzle(localGet(low), lowHalves),
      i8x16Swizzle(localGet(high), highHalves),
    )
    return [
      localSet(value, v128Load(source, at)),
      v128Store(target, v128Xor(v128Load(target, at), product), at),
    ]
  })
  const body = [
    localSet(low, v128Load(localGet(products))),
    localSet(high, v128Load(localGet(products), VECTOR_BYTES)),
    localSet(lowBits, i8x16Splat(i32Const(0x0f))),
    eachStep(done, length, ...step),
  ]
  return { name: 'multiplyAdd', parameterCount: 4, i32Count: 1, v128Count: 4, body }
}

function sum(): WasmFunction {
  const [into, chunks, count, length, done, entry, at] = [0, 1, 2, 3, 4, 5, 6] as const
  const zero = 7
  const sums = lanes.map((lane) => zero + 1 + lane)
  const target = i32Add(localGet(into), localGet(done))
  const addChunk = lanes.map((lane) => {
    const data = v128Load(localGet(at), lane * VECTOR_BYTES)
    return localSet(sums[lane]!, v128Xor(localGet(sums[lane]!), data))
  })
  const body = [
    eachStep(
      done,
      length,
      ...sums.map((local) => localSet(local, localGet(zero))),
      eachChunk({ chunks, count, done, entry, at }, ...addChunk),
      ...lanes.map((lane) => v128Store(target, localGet(sums[lane]!), lane * VECTOR_BYTES)),
    ),
  ]
  return { name: 'sum', parameterCount: 4, i32Count: 3, v128Count: 1 + lanes.length, body }
}

/** By Horner's scheme: from the last chunk to the first, Q is doubled and the chunk added. */
function sumPowers(): WasmFunction {
  const [p, q, chunks, count, length, done, entry, at] = [0, 1, 2, 3, 4, 5, 6, 7] as const
  const [zero, reduction, data] = [8, 9, 10] as const
  const ps = lanes.map((lane) => data + 1 + lane)
  const qs = ps.map((local) => local + lanes.length)
  const addChunk = lanes.flatMap((lane) => {
    const [pLocal, qLocal] = [ps[lane]!, qs[lane]!]
    // A byte of which the highest bit is set is negative.
    const overflown = i8x16LessSigned(localGet(qLocal), localGet(zero))
    const doubled = i8x16Add(localGet(qLocal), localGet(qLocal))
    const reduced = v128Xor(doubled, v128And(overflown, localGet(reduction)))
    return [
      localSet(data, v128Load(localGet(at), lane * VECTOR_BYTES)),
      localSet(pLocal, v128Xor(localGet(pLocal), localGet(data))),
      localSet(qLocal, v128Xor(reduced, localGet(data))),
    ]
  })
  const store = (address: number, locals: readonly number[]) => {
    const target = i32Add(localGet(address), localGet(done))
    return lanes.map((lane) => v128Store(target, localGet(locals[lane]!), lane * VECTOR_BYTES))
  }
  const body = [
    localSet(reduction, i8x16Splat(i32Const(REDUCTION))),
    eachStep(
      done,
      length,
      ...[...ps, ...qs].map((local) => localSet(local, localGet(zero))),
      eachChunk({ chunks, count, done, entry, at }, ...addChunk),
      ...store(p, ps),
      ...store(q, qs),
    ),
  ]
  const v128Count = 3 + ps.length + qs.length
  return { name: 'sumPowers', parameterCount: 5, i32Count: 3, v128Count, body }
}

/** The body for each 64 bytes of `length`, with `done`, which starts as 0, saying how many are done. */
function eachStep(done: number, length: number, ...body: Code[]): Code {
  return loop(
    ...body,
    localSet(done, i32Add(localGet(done), i32Const(STEP_BYTES))),
    branchIf(0, i32LessUnsigned(localGet(done), localGet(length))),
  )
}

interface ChunkLocals {
  readonly chunks: number
  readonly count: number
  readonly done: number
  /** Where the address of the chunk is. */
  readonly entry: number
  /** Set for the body: where in memory byte `done` of the chunk is. */
  readonly at: number
}

/** The body for each chunk, from the last to the first. */
function eachChunk({ chunks, count, done, entry, at }: ChunkLocals, ...body: Code[]): Code {
  const sizeBytes = i32Multiply(localGet(count), i32Const(ADDRESS_BYTES))
  return [
    ...localSet(entry, i32Add(localGet(chunks), sizeBytes)),
    ...loop(
      localSet(entry, i32Subtract(localGet(entry), i32Const(ADDRESS_BYTES))),
      localSet(at, i32Add(i32Load(localGet(entry)), localGet(done))),
      ...body,
      branchIf(0, i32LessUnsigned(localGet(chunks), localGet(entry))),
    ),
  ]
}
