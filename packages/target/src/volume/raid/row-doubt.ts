/**
 * Rows that a crash has left in doubt: checksums are written after the data, so that blocks which do not fit
 * theirs may be the newest there are, or may have been changed by their disk. One that fits when it is made
 * of the rest of the row is of the latter kind.
 */
import { CHECKED_BLOCK_BYTES } from './checksum-page.ts'
import type { ParityArray } from './parity-array.ts'
import { ended, type RowIo } from './row-io.ts'
import { planRecovery, recoverData } from './row-recovery.ts'

/**
 * Makes the columns at hand, which are locked and whole blocks, such that all data can be had: rewritten as
 * they were, or believed as they are. Rejects with VolumeError.
 */
export async function settleDoubt(array: ParityArray, io: RowIo): Promise<void> {
  const { rowNumber, start, end } = io
  if (await isReadable(io)) return
  for (let at = start; at < end; at += CHECKED_BLOCK_BYTES) {
    io.seek(rowNumber, at, at + CHECKED_BLOCK_BYTES)
    await settleBlocks(array, io)
  }
  io.seek(rowNumber, start, end)
}

/** Whether all chunks of members in sync can be read as they are. */
async function isReadable(io: RowIo): Promise<boolean> {
  const { rowNumber, start, end } = io
  await readAll(io)
  const { readFailed } = io
  io.seek(rowNumber, start, end)
  return !readFailed
}

/** The columns at hand are one block of each chunk. */
async function settleBlocks(array: ParityArray, io: RowIo): Promise<void> {
  await readAll(io)
  if (!io.readFailed) return
  let isRecovered = planRecovery(io)
  const unfit = unreadable(io, 0, io.dataCount)
  if (!isRecovered) {
    // Parity that does not fit may be the newest there is as well.
    for (const index of unreadable(io, io.dataCount, io.chunkCount)) await adopt(io, index)
    io.seek(io.rowNumber, io.start, io.end)
    await readAll(io)
    isRecovered = planRecovery(io)
  }
  if (isRecovered) recoverData(array.math, io)
  for (const index of unfit) {
    if (!io.isInSync(index)) continue
    if (isRecovered && (await fits(io, index))) io.writeMemory(index)
    else await adopt(io, index)
  }
  await ended(io)
  if (io.error !== null) throw io.error
}

async function readAll(io: RowIo): Promise<void> {
  for (let index = 0; index < io.chunkCount; index++) if (io.isReadable(index)) io.read(index)
  await ended(io)
}

/** Which of these chunks are of members in sync, and could not be read. */
function unreadable(io: RowIo, from: number, end: number): number[] {
  const found: number[] = []
  for (let index = from; index < end; index++) {
    if (io.isInSync(index) && !io.isReadable(index)) found.push(index)
  }
  return found
}

async function fits(io: RowIo, index: number): Promise<boolean> {
  const checks = io.memberOf(index).volume?.checks
  if (checks === undefined) return false
  return checks.fits(io.memberOffset(io.start), io.memory[index]!, 0, io.length)
}

async function adopt(io: RowIo, index: number): Promise<void> {
  const checks = io.memberOf(index).volume?.checks
  await checks?.adopt(io.memberOffset(io.start), io.length)
}
