/** The answer to READDIR: entries one after another, each padded to a multiple of eight bytes. */
import { directoryEntryLayout } from './fuse-layout.ts'

const ALIGNMENT = 8
/** d_type is the type part of the mode. */
const TYPE_SHIFT = 12

export interface DirectoryEntry {
  readonly inode: number
  readonly mode: number
  readonly name: string
  /** Where the directory goes on after it; larger than that of the entry before. */
  readonly offset: number
}

/**
 * Writes as many entries to `into` as fit, of those that come after the one with offset `after`.
 * @returns the bytes written; 0 when there are no more entries.
 */
export function encodeDirectory(
  entries: Iterable<DirectoryEntry>,
  after: number,
  into: Buffer,
): number {
  let length = 0
  for (const { inode, mode, name, offset } of entries) {
    if (offset <= after) continue
    const nameLength = Buffer.byteLength(name)
    const span = directoryEntryLayout.span + nameLength
    const padded = Math.ceil(span / ALIGNMENT) * ALIGNMENT
    if (length + padded > into.length) break
    const entry = { inode, nextOffset: offset, nameLength, type: mode >> TYPE_SHIFT }
    directoryEntryLayout.encode(entry, into, length)
    into.write(name, length + directoryEntryLayout.span)
    into.fill(0, length + span, length + padded)
    length += padded
  }
  return length
}
