/**
 * Makes a block short without changing its CRC32C, by WebAssembly SIMD and XOR alone.
 *
 * A CRC is a remainder modulo a polynomial, so that adding a multiple of the polynomial changes nothing. Of
 * some multiples few terms are not 0, and all of them are whole bytes apart: a byte may then be taken away
 * from where it is, and added at a few fixed distances after it. What is left at last is the end of the
 * block, which holds the sum of all that was before it.
 */
import {
  assemble,
  branchIf,
  type Code,
  i32Add,
  i32Const,
  i32LessUnsigned,
  localGet,
  localSet,
  loop,
  v128Load,
  v128Store,
  v128Xor,
  type WasmFunction,
} from './wasm-assembler.ts'
import { WASM_PAGE_BYTES, webAssembly } from './web-assembly.ts'

/** What is made short, and what is left of it. */
export const FOLD_BLOCK_BYTES = 4096
export const FOLDED_BYTES = 128

/**
 * The distances in bytes, of multiples found by trying all. There is none with fewer than five distances in
 * 4 KiB, nor with fewer than seven among those that are shorter than 209. The least distance is to be large,
 * since what was stored a moment ago is slow to load at another alignment.
 */
export const LONG_DISTANCES: readonly number[] = [154, 177, 183, 258, 290]
export const SHORT_DISTANCES: readonly number[] = [47, 51, 55, 85, 90, 100, 104]

const VECTOR_BYTES = 16
const lanes = [0, 1, 2, 3] as const
const STEP_BYTES = lanes.length * VECTOR_BYTES

/** Bytes in the memory. There are zeros before each, as many as the longest distance from it. */
interface Span {
  readonly start: number
  readonly length: number
}

const block: Span = { start: 1024, length: FOLD_BLOCK_BYTES }
const shorter: Span = { start: 6144, length: 320 }
const shortest: Span = { start: 7168, length: FOLDED_BYTES }

interface FoldKernels {
  fold(): void
}

export class CrcFold {
  /** Holds the block from FOLD_START on; once it is folded, what is left from FOLDED_START on. */
  readonly bytes: Buffer
  /** Folds the block. */
  readonly fold: () => void

  /** Null where there is no WebAssembly SIMD. */
  static open(): CrcFold | null {
    if (webAssembly === null) return null
    try {
      const memory = new webAssembly.Memory({ initial: 1, maximum: 1 })
      const module = new webAssembly.Module(assemble('crc', 'memory', [fold()]))
      const { exports } = new webAssembly.Instance(module, { crc: { memory } })
      return new CrcFold(Buffer.from(memory.buffer, 0, WASM_PAGE_BYTES), exports as FoldKernels)
    } catch {
      return null
    }
  }

  private constructor(bytes: Buffer, kernels: FoldKernels) {
    this.bytes = bytes
    this.fold = kernels.fold
  }
}

export const FOLD_START = block.start
export const FOLDED_START = shortest.start

function fold(): WasmFunction {
  const body = [
    ...foldInto(block, shorter, LONG_DISTANCES),
    ...foldInto(shorter, shortest, SHORT_DISTANCES),
  ]
  return { name: 'fold', parameterCount: 0, i32Count: 1, v128Count: 1, body }
}

/** Takes away all but the end of `from`, and moves that, with all that was added to it, `into`. */
function foldInto(from: Span, into: Span, distances: readonly number[]): Code[] {
  const [at, zero] = [0, 1] as const
  const reach = Math.max(...distances)
  const taken = from.length - into.length
  // Offsets in an instruction are not negative: `at` is the farthest byte that is added.
  const first = from.start - reach
  const here = reach
  const there = into.start - (first + taken)
  const sum = (lane: number) => {
    const load = (distance: number) => v128Load(localGet(at), here - distance + lane * VECTOR_BYTES)
    return [0, ...distances].map(load).reduce((a, b) => v128Xor(a, b))
  }
  const replace = lanes.map((lane) => {
    return v128Store(localGet(at), sum(lane), here + lane * VECTOR_BYTES)
  })
  // What is moved is not to be added to what follows it: zeros take its place.
  const move = lanes.flatMap((lane) => [
    v128Store(localGet(at), sum(lane), there + lane * VECTOR_BYTES),
    v128Store(localGet(at), localGet(zero), here + lane * VECTOR_BYTES),
  ])
  return [
    localSet(at, i32Const(first)),
    eachStep(at, first + taken, ...replace),
    eachStep(at, first + from.length, ...move),
  ]
}

/** The body for each 64 bytes, until `at` is `end`. */
function eachStep(at: number, end: number, ...body: Code[]): Code {
  return loop(
    ...body,
    localSet(at, i32Add(localGet(at), i32Const(STEP_BYTES))),
    branchIf(0, i32LessUnsigned(localGet(at), i32Const(end))),
  )
}
