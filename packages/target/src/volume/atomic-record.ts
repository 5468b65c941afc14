/**
 * What the journal of an array holds of an atomic write: its record, cut into parts that each fit into a
 * segment of the journal. Bytes in, values out; docs/volume-format.md has the layout.
 */
import { createHash } from 'node:crypto'
import { JOURNAL_SEGMENT_BYTES } from './journal-segments.ts'
import { readUuid, UUID_BYTES, writeUuid } from './uuid.ts'

/** A page, so that neither header nor data are ever written in part of one. */
export const PART_HEADER_BYTES = 4096
export const PART_DATA_MAX_BYTES = JOURNAL_SEGMENT_BYTES - PART_HEADER_BYTES
const MAGIC = Buffer.from('PLATTERJ')
const RECORD_VERSION = 1
const DIGEST_BYTES = 32

const at = {
  version: 8,
  partNumber: 12,
  partCount: 16,
  length: 20,
  offset: 24,
  arrayId: 32,
  partitionId: 32 + UUID_BYTES,
  recordId: 32 + 2 * UUID_BYTES,
  digest: 32 + 3 * UUID_BYTES,
} as const

export interface RecordPart {
  readonly arrayId: string
  readonly partitionId: string
  /** The same in all parts of a record, and in no other record. */
  readonly recordId: string
  /** From 0. */
  readonly partNumber: number
  readonly partCount: number
  /** Where its data belong in the partition, in bytes. */
  readonly offset: number
  readonly length: number
}

/** A part as found in a segment; `data` aliases the segment's bytes. */
export interface FoundPart extends RecordPart {
  readonly data: Buffer
}

/** The header of a part whose data are `from[position …]`. */
export function encodePartHeader(part: RecordPart, from: Buffer, position: number): Buffer {
  const header = Buffer.alloc(PART_HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32BE(RECORD_VERSION, at.version)
  header.writeUInt32BE(part.partNumber, at.partNumber)
  header.writeUInt32BE(part.partCount, at.partCount)
  header.writeUInt32BE(part.length, at.length)
  header.writeBigUInt64BE(BigInt(part.offset), at.offset)
  writeUuid(header, part.arrayId, at.arrayId)
  writeUuid(header, part.partitionId, at.partitionId)
  writeUuid(header, part.recordId, at.recordId)
  digestOf(header, from.subarray(position, position + part.length)).copy(header, at.digest)
  return header
}

/**
 * The part at the beginning of a segment's bytes; null if there is none that is whole. Throws an Error if
 * there is one of a later version, which may mean more than this software knows.
 */
export function decodePart(segment: Buffer): FoundPart | null {
  if (segment.compare(MAGIC, 0, MAGIC.length, 0, MAGIC.length) !== 0) return null
  const length = segment.readUInt32BE(at.length)
  if (length > segment.length - PART_HEADER_BYTES) return null
  const header = Buffer.from(segment.subarray(0, PART_HEADER_BYTES))
  const data = segment.subarray(PART_HEADER_BYTES, PART_HEADER_BYTES + length)
  header.fill(0, at.digest, at.digest + DIGEST_BYTES)
  if (
    segment.compare(digestOf(header, data), 0, DIGEST_BYTES, at.digest, at.digest + DIGEST_BYTES)
  ) {
    return null
  }
  const version = header.readUInt32BE(at.version)
  if (version > RECORD_VERSION) {
    throw new Error(`its journal has version ${version}, this software knows ${RECORD_VERSION}`)
  }
  return {
    arrayId: readUuid(header, at.arrayId),
    partitionId: readUuid(header, at.partitionId),
    recordId: readUuid(header, at.recordId),
    partNumber: header.readUInt32BE(at.partNumber),
    partCount: header.readUInt32BE(at.partCount),
    offset: Number(header.readBigUInt64BE(at.offset)),
    length,
    data,
  }
}

/** The parts, in order, of the one record that is whole; undefined if there is none. */
export function findRecord(parts: readonly FoundPart[]): FoundPart[] | undefined {
  const byRecord = new Map<string, FoundPart[]>()
  for (const part of parts) {
    byRecord.set(part.recordId, [...(byRecord.get(part.recordId) ?? []), part])
  }
  const whole = [...byRecord.values()].find((record) => record.length === record[0]?.partCount)
  return whole?.sort((a, b) => a.partNumber - b.partNumber)
}

/** Of a header whose digest field is zeros, and its data. */
function digestOf(header: Buffer, data: Buffer): Buffer {
  return createHash('sha256').update(header).update(data).digest()
}
