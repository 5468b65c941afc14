// CRC32C (Castagnoli), a byte at a time: the polynomial 0x1edc6f41, its bits reversed.

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] as number)
  return ~crc >>> 0
}

/** The checksum of bytes that hold it themselves, at `at`, where it is computed as zeros. */
export function checksumHolds(bytes: Buffer, at: number): boolean {
  const copy = Buffer.from(bytes)
  copy.writeUInt32BE(0, at)
  return crc32c(copy) === bytes.readUInt32BE(at)
}
