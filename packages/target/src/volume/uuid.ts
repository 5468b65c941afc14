/** UUIDs as they stand on disks: 16 bytes. */

export const UUID_BYTES = 16

export function writeUuid(bytes: Buffer, uuid: string, position: number): void {
  bytes.write(uuid.replaceAll('-', ''), position, 'hex')
}

/** In lower case with hyphens. */
export function readUuid(bytes: Buffer, position: number): string {
  const digits = bytes.toString('hex', position, position + UUID_BYTES)
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
