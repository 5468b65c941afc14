/** The answer to READDIR: entries one after another, each padded to a multiple of eight bytes. */
import { directoryEntryLayout } from './fuse-layout.ts'

const ALIGNMENT = 8
/** d_type is the type part of the mode. */
const TYPE_SHIFT = 12

export interface DirectoryEntry {
  readonly inode: number
  readonly mode: number
  readonly name: string
}

/**
 * Writes as many entries to `into` as fit, from that of index `first` on.
 * @returns the bytes written; 0 when there are no more entries.
 */
export function encodeDirectory(
  entries: readonly DirectoryEntry[],
  first: number,
  into: Buffer,
): number {
  let length = 0
  for (const [index, { inode, mode, name }] of entries.entries()) {
    if (index < first) continue
    const nameLength = Buffer.byteLength(name)
    const span = directoryEntryLayout.span + nameLength
    const padded = Math.ceil(span / ALIGNMENT) * ALIGNMENT
    if (length + padded > into.length) break
    const entry = { inode, nextOffset: index + 1, nameLength, type: mode >> TYPE_SHIFT }
    directoryEntryLayout.encode(entry, into, length)
    into.write(name, length + directoryEntryLayout.span)
    into.fill(0, length + span, length + padded)
    length += padded
  }
  return length
}
