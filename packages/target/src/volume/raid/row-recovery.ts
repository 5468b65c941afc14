/** Which chunks of a row bring back those that cannot be read, and how. */
import { recoverOne, recoverTwo } from './parity.ts'
import type { ParityMath } from './parity-math.ts'
import type { ParityRow } from './parity-row.ts'
import type { RowIo } from './row-io.ts'

/**
 * Plans how to have back the data chunks that cannot be read now: `io.lost` says which chunks are to be
 * computed, P among them if Q has to do its work. False if there is not enough parity. The plan holds
 * until a read fails, whatever becomes of the members meanwhile.
 */
export function planRecovery(io: RowIo): boolean {
  const { lost, row } = io
  lost.length = 0
  for (let index = 0; index < io.dataCount; index++) if (!io.isReadable(index)) lost.push(index)
  if (lost.length > countReadableParity(io)) return false
  if (lost.length === 1 && !io.isReadable(row.pIndex)) lost.push(row.pIndex)
  return true
}

/** How much of the row's parity can be read. */
export function countReadableParity(io: RowIo): number {
  let count = 0
  for (let index = io.dataCount; index < io.chunkCount; index++) if (io.isReadable(index)) count++
  return count
}

/** Starts to read what the plan takes: the other data chunks, and as much parity as is needed. */
export function readForRecovery(io: RowIo): void {
  const { lost, row, dataCount } = io
  for (let index = 0; index < dataCount; index++) if (!lost.includes(index)) io.read(index)
  if (lost.length > 0 && !lost.includes(row.pIndex)) io.read(row.pIndex)
  if (lost.length > 1) io.read(row.qIndex)
}

/** Computes the lost chunks, where they are placed in the row, once the others have been read. */
export function recoverData(math: ParityMath, { lost, row, length }: RowIo): void {
  const [first, second] = lost
  if (first === undefined) return
  if (second === undefined) recoverOne(math, row, first, length)
  else recoverTwo(math, row, first, second, length)
}

/** Computes all parity from the data, where they are placed in the row. */
export function computeParity(math: ParityMath, row: ParityRow, length: number): void {
  if (row.parityCount === 1) math.xorOthers(row, row.pIndex, length)
  else math.computePQ(row, row.pIndex, row.qIndex, length)
}
