/** CRC32C, the digest of headers and data (RFC 7143 section 13.1). */

/** 0x11edc6f41, bit-reversed. */
const POLYNOMIAL = 0x82f63b78

/** Table k holds the CRC of each byte followed by k zero bytes, so that 16 bytes are folded at a time. */
const [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13, t14, t15] = makeTables()

type Tables<N extends number, T extends Int32Array[] = []> = T['length'] extends N
  ? T
  : Tables<N, [...T, Int32Array]>

function makeTables(): Tables<16> {
  const first = new Int32Array(256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    first[byte] = crc
  }
  const tables = [first]
  while (tables.length < 16) {
    const shorter = tables.at(-1) as Int32Array
    tables.push(shorter.map((crc) => (crc >>> 8) ^ (first[crc & 0xff] as number)))
  }
  return tables as Tables<16>
}

/**
 * The CRC32C of bytes `start` to `end` of `buffer`, as an unsigned number; `seed` is the CRC of the
 * bytes before them. On the wire it is written least significant byte first.
 */
export function crc32c(buffer: Uint8Array, start: number, end: number, seed = 0): number {
  let crc = ~seed
  let at = start
  for (const last = end - 15; at < last; at += 16) {
    crc ^=
      (buffer[at] as number) |
      ((buffer[at + 1] as number) << 8) |
      ((buffer[at + 2] as number) << 16) |
      ((buffer[at + 3] as number) << 24)
    crc =
      (t15[crc & 0xff] as number) ^
      (t14[(crc >>> 8) & 0xff] as number) ^
      (t13[(crc >>> 16) & 0xff] as number) ^
      (t12[crc >>> 24] as number) ^
      (t11[buffer[at + 4] as number] as number) ^
      (t10[buffer[at + 5] as number] as number) ^
      (t9[buffer[at + 6] as number] as number) ^
      (t8[buffer[at + 7] as number] as number) ^
      (t7[buffer[at + 8] as number] as number) ^
      (t6[buffer[at + 9] as number] as number) ^
      (t5[buffer[at + 10] as number] as number) ^
      (t4[buffer[at + 11] as number] as number) ^
      (t3[buffer[at + 12] as number] as number) ^
      (t2[buffer[at + 13] as number] as number) ^
      (t1[buffer[at + 14] as number] as number) ^
      (t0[buffer[at + 15] as number] as number)
  }
  for (; at < end; at++) {
    crc = (crc >>> 8) ^ (t0[(crc ^ (buffer[at] as number)) & 0xff] as number)
  }
  return ~crc >>> 0
}
