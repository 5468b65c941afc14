// Reads the journal of atomic writes: the one write, if any, that is to be done again.

import { createHash } from 'node:crypto'
import { dataChunksPerRow, type Label, number64 } from './label.ts'

const KIB = 1024
const HEADER_LENGTH = 4096
const SEGMENT_LENGTH = 448 * KIB
const SEGMENTS = [64 * KIB, 576 * KIB] as const

/** A part of an atomic write: bytes that belong at `offset` of a partition. */
export interface AtomicPart {
  readonly partitionId: string
  readonly offset: number
  readonly bytes: Buffer
}

interface Part extends AtomicPart {
  readonly number: number
  readonly count: number
  readonly recordId: string
}

/**
 * The parts of the record that counts. Where there is redundancy every disk holds all of it, and
 * the first with a whole record is taken; otherwise all disks hold one together.
 */
export function atomicWrite(label: Label, disks: readonly Buffer[]): readonly AtomicPart[] {
  const redundant = dataChunksPerRow(label.level, label.members.length) < label.members.length
  for (const some of redundant ? disks.map((disk) => [disk]) : [disks]) {
    const parts = some.flatMap((disk) => partsOn(label, disk))
    for (const { recordId, count } of parts) {
      const record = parts.filter((each) => each.recordId === recordId)
      const numbers = new Set(record.map((each) => each.number))
      if (numbers.size === count) return record.sort((a, b) => a.number - b.number)
    }
  }
  return []
}

function partsOn(label: Label, disk: Buffer): Part[] {
  return SEGMENTS.map((at) => decodePart(label, disk.subarray(at, at + SEGMENT_LENGTH))).filter(
    (part) => part !== undefined,
  )
}

function decodePart(label: Label, segment: Buffer): Part | undefined {
  if (segment.toString('latin1', 0, 8) !== 'PLATTERJ') return undefined
  const length = segment.readUInt32BE(20)
  if (length > SEGMENT_LENGTH - HEADER_LENGTH) return undefined
  const bytes = segment.subarray(HEADER_LENGTH, HEADER_LENGTH + length)
  const header = Buffer.from(segment.subarray(0, HEADER_LENGTH))
  header.fill(0, 80, 112)
  const digest = createHash('sha256').update(header).update(bytes).digest()
  if (!digest.equals(segment.subarray(80, 112))) return undefined
  if (segment.toString('hex', 32, 48) !== label.arrayId) return undefined
  const version = segment.readUInt32BE(8)
  if (version > 1) throw new Error(`Atomic journal version ${version} is not known`)
  return {
    number: segment.readUInt32BE(12),
    count: segment.readUInt32BE(16),
    offset: number64(segment, 24),
    partitionId: segment.toString('hex', 48, 64),
    recordId: segment.toString('hex', 64, 80),
    bytes,
  }
}
