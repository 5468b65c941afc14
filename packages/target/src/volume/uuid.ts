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

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** What is wrong with an id; null if nothing. */
export function uuidProblem(id: string): string | null {
  return UUID.test(id) ? null : `id ${id} is not a UUID in lower case`
}
