// Reads the row journal of RAID 5 and 6: what is to be written in place before anything is read.

import { checksumHolds } from './crc32c.ts'
import { type Label, number64 } from './label.ts'

const BLOCK = 4096

/** Bytes that belong at `offset` of the data of a member. */
export interface JournaledBytes {
  readonly member: number
  readonly offset: number
  readonly bytes: Buffer
}

interface Anchor {
  readonly epoch: string
  readonly generation: number
  readonly sequenceNumber: number
  readonly position: number
  readonly ringSize: number
}

/** What the records that count say, in the order in which it is to be written. */
export function journaledBytes(label: Label, disks: readonly Buffer[]): JournaledBytes[] {
  const { offset, size } = label.rowJournal
  if (size === 0) return []
  const areas = disks.map((disk) => disk.subarray(offset, offset + size))
  const anchor = newestAnchor(label, areas)
  if (anchor === undefined) return []
  const rings = areas.map((area) => area.subarray(2 * BLOCK, 2 * BLOCK + anchor.ringSize))
  const found: JournaledBytes[] = []
  let { position, sequenceNumber } = anchor
  for (;;) {
    const next = recordAt(label, rings, anchor.epoch, sequenceNumber, position)
    if (next === undefined) return found
    found.push(...extentsOf(next.record))
    position = next.end
    sequenceNumber++
  }
}

function newestAnchor(label: Label, areas: readonly Buffer[]): Anchor | undefined {
  let best: Anchor | undefined
  for (const area of areas) {
    for (const slot of [0, 1]) {
      const anchor = decodeAnchor(label, area.subarray(slot * BLOCK, (slot + 1) * BLOCK))
      if (anchor === undefined || anchor.generation % 2 !== slot) continue
      if (best === undefined || anchor.generation > best.generation) best = anchor
    }
  }
  return best
}

function decodeAnchor(label: Label, block: Buffer): Anchor | undefined {
  if (block.toString('latin1', 0, 8) !== 'PLATTERA' || !checksumHolds(block, 12)) return undefined
  if (block.toString('hex', 16, 32) !== label.arrayId) return undefined
  const version = block.readUInt32BE(8)
  if (version !== 1) throw new Error(`Row journal version ${version} is not known`)
  return {
    epoch: block.toString('hex', 32, 48),
    generation: number64(block, 48),
    sequenceNumber: number64(block, 56),
    position: number64(block, 64),
    ringSize: number64(block, 72),
  }
}

/** The record of a sequence number, which begins at `position` or else at the start of the ring. */
function recordAt(
  label: Label,
  rings: readonly Buffer[],
  epoch: string,
  sequenceNumber: number,
  position: number,
): { readonly record: Buffer; readonly end: number } | undefined {
  for (const start of [position, 0]) {
    for (const ring of rings) {
      const record = decodeRecord(label, ring.subarray(start))
      if (record === undefined) continue
      if (record.toString('hex', 32, 48) !== epoch) continue
      if (number64(record, 48) === sequenceNumber) return { record, end: start + record.length }
    }
  }
  return undefined
}

function decodeRecord(label: Label, ring: Buffer): Buffer | undefined {
  if (ring.length < BLOCK || ring.toString('latin1', 0, 8) !== 'PLATTERW') return undefined
  const size = ring.readUInt32BE(64)
  if (size < BLOCK || size % BLOCK !== 0 || size > ring.length) return undefined
  const record = ring.subarray(0, size)
  if (!checksumHolds(record, 12)) return undefined
  return record.toString('hex', 16, 32) === label.arrayId ? record : undefined
}

function extentsOf(record: Buffer): JournaledBytes[] {
  const base = number64(record, 56)
  let at = BLOCK
  return Array.from({ length: record.readUInt32BE(68) }, (_, n) => {
    const length = record.readUInt32BE(80 + 12 * n)
    const bytes = record.subarray(at, at + length)
    at += length
    return {
      member: record.readUInt16BE(72 + 12 * n),
      offset: base + record.readUInt32BE(76 + 12 * n),
      bytes,
    }
  })
}
