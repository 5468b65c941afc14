/**
 * iSCSI PDUs put together byte by byte (RFC 7143 section 11), with any field set to anything: for tests
 * of what a correct peer would never send. Shares no code with packages/protocol, so that a mistake
 * there cannot hide itself here.
 */

export const bhsBytes = 48

/** What starts a PDU: the fields at fixed offsets that a test may want to set, all zero by default. */
export interface PduFields {
  readonly opcode: number
  readonly immediate?: boolean
  /** Byte 1. */
  readonly flags?: number
  /** Bytes 2 and 3, for a Login Request its version numbers. */
  readonly specific?: number
  readonly totalAhsLength?: number
  /** The length that is claimed; by default that of `data`. */
  readonly dataSegmentLength?: number
  /** A number below 256, or all eight bytes. */
  readonly lun?: number | Buffer
  /** Bytes 8 to 15 of a Login Request, where other PDUs have the LUN. */
  readonly isidAndTsih?: Buffer
  readonly initiatorTaskTag?: number
  /** Bytes from 20 on, as 32-bit words. */
  readonly words?: readonly number[]
  /** Bytes 32 to 47 of a SCSI Command. */
  readonly cdb?: Buffer
  readonly data?: Buffer
}

export interface Digests {
  readonly header: boolean
  readonly data: boolean
}

/** The bytes of one PDU: header, data segment with its padding, and digests where they are in use. */
export function encodePdu(fields: PduFields, digests: Digests): Buffer {
  const data = fields.data ?? Buffer.alloc(0)
  const bhs = Buffer.alloc(bhsBytes)
  bhs[0] = fields.opcode | (fields.immediate ? 0x40 : 0)
  bhs[1] = fields.flags ?? 0
  bhs.writeUInt16BE(fields.specific ?? 0, 2)
  bhs[4] = fields.totalAhsLength ?? 0
  bhs.writeUIntBE(fields.dataSegmentLength ?? data.length, 5, 3)
  if (Buffer.isBuffer(fields.lun)) fields.lun.copy(bhs, 8)
  else bhs[9] = fields.lun ?? 0
  fields.isidAndTsih?.copy(bhs, 8)
  bhs.writeUInt32BE(fields.initiatorTaskTag ?? 0xffffffff, 16)
  for (const [index, word] of (fields.words ?? []).entries()) {
    bhs.writeUInt32BE(word >>> 0, 20 + 4 * index)
  }
  fields.cdb?.copy(bhs, 32)
  const parts: Buffer[] = [bhs]
  if (digests.header) parts.push(crc32c(bhs))
  if (data.length > 0) {
    const padded = Buffer.concat([data, Buffer.alloc(-data.length & 3)])
    parts.push(padded)
    if (digests.data) parts.push(crc32c(padded))
  }
  return Buffer.concat(parts)
}

/** CRC32C (RFC 3385) of the bytes, as it goes over the wire. */
export function crc32c(bytes: Buffer): Buffer {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  const digest = Buffer.alloc(4)
  digest.writeUInt32LE(~crc >>> 0)
  return digest
}

/** Makes the data digest of a PDU wrong, whose last bytes it is. */
export function damageDataDigest(pdu: Buffer): void {
  pdu.writeUInt8(pdu.readUInt8(pdu.length - 1) ^ 1, pdu.length - 1)
}

/** Text keys as they stand in a data segment. */
export function encodeKeys(keys: Readonly<Record<string, string>>): Buffer {
  const pairs = Object.entries(keys).map(([key, value]) => `${key}=${value}\0`)
  return Buffer.from(pairs.join(''))
}

export function decodeKeys(data: Buffer): Record<string, string> {
  const pairs = data
    .toString('utf8')
    .split('\0')
    .filter((pair) => pair !== '')
  return Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s).slice(0, 2)))
}

/** READ(16) or WRITE(16) of whole blocks. */
export function transferCdb(operation: 'read' | 'write', lba: number, blocks: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = operation === 'read' ? 0x88 : 0x8a
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb.writeUInt32BE(blocks, 10)
  return cdb
}

/** WRITE ATOMIC(16) of whole blocks. */
export function writeAtomicCdb(lba: number, blocks: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x9c
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb.writeUInt16BE(blocks, 12)
  return cdb
}

/** COMPARE AND WRITE of one block. */
export function compareAndWriteCdb(lba: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x89
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb[13] = 1
  return cdb
}

/** INQUIRY of a page of vital product data, of which 255 bytes may come. */
export function inquiryCdb(page: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb.set([0x12, 0x01, page, 0, 255])
  return cdb
}

/** SYNCHRONIZE CACHE(16) of the whole medium. */
export function synchronizeCacheCdb(): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x91
  return cdb
}
