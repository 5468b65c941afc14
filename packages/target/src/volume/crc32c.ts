/** CRC32C (Castagnoli), the checksum of labels: reflected polynomial 0x82f63b78. */

const table = new Uint32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  table[byte] = crc
}

/** Checksum of `bytes[start … end)`, unsigned; byte by byte, for kilobytes rather than megabytes. */
export function crc32c(bytes: Buffer, start: number, end: number): number {
  let crc = 0xffffffff
  for (let at = start; at < end; at++) crc = table[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}
