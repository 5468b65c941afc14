/** CRC32C (Castagnoli), the checksum of labels and of data: reflected polynomial 0x82f63b78. */
import {
  CrcFold,
  FOLD_BLOCK_BYTES,
  FOLD_START,
  FOLDED_BYTES,
  FOLDED_START,
} from './raid/crc-fold.ts'

/** Row k holds the remainder of each byte followed by k zero bytes, so that 8 bytes are taken at a time. */
const tables = new Int32Array(8 * 256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  tables[byte] = crc
}
for (let at = 256; at < tables.length; at++) {
  const shorter = tables[at - 256]!
  tables[at] = (shorter >>> 8) ^ tables[shorter & 0xff]!
}

/** Opened for the first block; null where there is no WebAssembly SIMD. */
let fold: CrcFold | null | undefined

/**
 * Checksum of `bytes[start … end)`, unsigned. Blocks of 4 KiB are the fastest, several GB/s; what is shorter,
 * or where there is no WebAssembly SIMD, goes by tables.
 */
export function crc32c(bytes: Buffer, start: number, end: number): number {
  let crc = -1
  let at = start
  for (; end - at >= FOLD_BLOCK_BYTES; at += FOLD_BLOCK_BYTES) {
    if (fold === undefined) fold = CrcFold.open()
    if (fold === null) break
    crc = addBlock(fold, crc, bytes, at)
  }
  return ~addBytes(crc, bytes, at, end) >>> 0
}

/** As `crc32c`, by tables alone. */
export function crc32cByTables(bytes: Buffer, start: number, end: number): number {
  return ~addBytes(-1, bytes, start, end) >>> 0
}

function addBlock(
  { bytes: memory, fold }: CrcFold,
  crc: number,
  bytes: Buffer,
  at: number,
): number {
  bytes.copy(memory, FOLD_START, at, at + FOLD_BLOCK_BYTES)
  // The remainder so far counts as if it were added to the next bytes.
  for (let byte = 0; byte < 4; byte++) {
    memory[FOLD_START + byte] = memory[FOLD_START + byte]! ^ (crc >>> (8 * byte))
  }
  fold()
  return addBytes(0, memory, FOLDED_START, FOLDED_START + FOLDED_BYTES)
}

function addBytes(before: number, bytes: Buffer, start: number, end: number): number {
  let crc = before
  let at = start
  for (; at + 8 <= end; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc =
      tables[0x700 | (crc & 0xff)]! ^
      tables[0x600 | ((crc >>> 8) & 0xff)]! ^
      tables[0x500 | ((crc >>> 16) & 0xff)]! ^
      tables[0x400 | (crc >>> 24)]! ^
      tables[0x300 | bytes[at + 4]!]! ^
      tables[0x200 | bytes[at + 5]!]! ^
      tables[0x100 | bytes[at + 6]!]! ^
      tables[bytes[at + 7]!]!
  }
  for (; at < end; at++) crc = tables[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8)
  return crc
}
