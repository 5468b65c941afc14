/** CRC32C, the digest of headers and data (RFC 7143 section 13.1; polynomial of RFC 3385). */

const POLYNOMIAL = 0x82f63b78
const SLICES = 8

/** Table k holds the CRC of each byte followed by k zero bytes: eight bytes are folded at a time. */
const tables: readonly Int32Array[] = makeTables()

function makeTables(): Int32Array[] {
  const made = Array.from({ length: SLICES }, () => new Int32Array(256))
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    for (const table of made) {
      table[byte] = crc
      crc = (crc >>> 8) ^ (made[0]?.[crc & 0xff] as number)
    }
  }
  return made
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/**
 * The CRC32C of bytes `start` to `end` of `buffer`, as an unsigned number; `seed` is the CRC of the
 * bytes before them. On the wire it is written least significant byte first.
 */
export function crc32c(buffer: Uint8Array, start: number, end: number, seed = 0): number {
  let crc = ~seed
  let at = start
  const last = end - 7
  for (; at < last; at += 8) {
    crc ^=
      (buffer[at] as number) |
      ((buffer[at + 1] as number) << 8) |
      ((buffer[at + 2] as number) << 16) |
      ((buffer[at + 3] as number) << 24)
    crc =
      (t7[crc & 0xff] as number) ^
      (t6[(crc >>> 8) & 0xff] as number) ^
      (t5[(crc >>> 16) & 0xff] as number) ^
      (t4[crc >>> 24] as number) ^
      (t3[buffer[at + 4] as number] as number) ^
      (t2[buffer[at + 5] as number] as number) ^
      (t1[buffer[at + 6] as number] as number) ^
      (t0[buffer[at + 7] as number] as number)
  }
  for (; at < end; at++) {
    crc = (crc >>> 8) ^ (t0[(crc ^ (buffer[at] as number)) & 0xff] as number)
  }
  return ~crc >>> 0
}
