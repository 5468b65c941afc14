/** Parity of RAID 5 and 6: whom to ask for it, and how lost chunks come back. */
import { inverse, multiply, powerOfTwo } from './galois.ts'
import type { ParityMath } from './parity-math.ts'
import type { ParityRow } from './parity-row.ts'
import { SimdParity } from './simd-parity.ts'
import { WordParity } from './word-parity.ts'

/**
 * The fastest there is here. `memorySizeBytes`: how much memory `allocate` is to have; it takes address
 * space at once, and memory when it is used.
 */
export function openParity(memorySizeBytes: number): ParityMath {
  return SimdParity.open(memorySizeBytes) ?? new WordParity()
}

/**
 * Chunk `lost` of the row again, written where it is placed: data or P from the other data and P, Q from
 * the data, with P written too.
 */
export function recoverOne(math: ParityMath, row: ParityRow, lost: number, length: number): void {
  if (lost === row.qIndex) math.computePQ(row, row.pIndex, row.qIndex, length)
  else math.xorOthers(row, lost, length)
}

/** Two different chunks of a row of two parities again, each written where it is placed. */
export function recoverTwo(
  math: ParityMath,
  row: ParityRow,
  lost: number,
  alsoLost: number,
  length: number,
): void {
  const { pIndex, qIndex } = row
  const first = Math.min(lost, alsoLost)
  const second = Math.max(lost, alsoLost)
  if (row.parityCount !== 2 || first === second || first < 0 || second > qIndex) {
    const chunks = row.buffers.length
    throw new RangeError(
      `chunks ${lost} and ${alsoLost} of a row of ${chunks} with ${row.parityCount} parities cannot be recovered`,
    )
  }
  if (second === qIndex) {
    if (first !== pIndex) math.xorOthers(row, first, length)
    math.computePQ(row, pIndex, qIndex, length)
  } else if (second === pIndex) {
    recoverDataAndP(math, row, first, length)
  } else {
    recoverTwoData(math, row, first, second, length)
  }
}

function recoverDataAndP(math: ParityMath, row: ParityRow, lost: number, length: number): void {
  math.computePQ(row, row.pIndex, lost, length)
  // What Q lacks is the lost chunk's share, 2^lost times it; what P lacks is the chunk.
  add(math, row, lost, row.qIndex, length)
  scale(math, row, lost, powerOfTwo(-lost), length)
  add(math, row, row.pIndex, lost, length)
}

function recoverTwoData(
  math: ParityMath,
  row: ParityRow,
  first: number,
  second: number,
  length: number,
): void {
  // With Da at `first` and Db at `second`: what P lacks, Da + Db, gathers at `second`, and what Q lacks,
  // 2^a Da + 2^b Db, at `first`.
  math.computePQ(row, second, first, length)
  add(math, row, second, row.pIndex, length)
  add(math, row, first, row.qIndex, length)
  // Da = (what Q lacks + 2^b * what P lacks) / (2^a + 2^b). The divisor is not 0, as a and b differ.
  const factor = inverse(powerOfTwo(first) ^ powerOfTwo(second))
  scale(math, row, first, factor, length)
  addMultiple(math, row, first, second, multiply(factor, powerOfTwo(second)), length)
  add(math, row, second, first, length)
}

function add(math: ParityMath, row: ParityRow, into: number, from: number, length: number): void {
  const { buffers, positions } = row
  math.xor(buffers[into]!, positions[into]!, buffers[from]!, positions[from]!, length)
}

function addMultiple(
  math: ParityMath,
  row: ParityRow,
  into: number,
  from: number,
  factor: number,
  length: number,
): void {
  const { buffers, positions } = row
  math.multiplyAdd(
    buffers[into]!,
    positions[into]!,
    buffers[from]!,
    positions[from]!,
    length,
    factor,
  )
}

/** Multiplies a chunk: `c + (factor + 1) c` is `factor * c`. */
function scale(
  math: ParityMath,
  row: ParityRow,
  index: number,
  factor: number,
  length: number,
): void {
  addMultiple(math, row, index, index, factor ^ 1, length)
}
