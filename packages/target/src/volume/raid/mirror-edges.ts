/**
 * Blocks with checksums of which a write covers a part: the rest of them must be right, on every member in
 * sync, before it begins. On a member where it is not, the part could not be read afterwards either; and if a
 * crash cut the write short, no member might have a block that is known to be right.
 */
import { CHECKED_BLOCK_BYTES } from './checksum-page.ts'
import type { Mirror } from './mirror.ts'
import { mend, noFindings } from './mirror-copies.ts'

const scratch = Buffer.allocUnsafeSlow(CHECKED_BLOCK_BYTES)

/** Whether these blocks are right, as far as that can be told without waiting. They are locked. */
export function edgesAreRight(mirror: Mirror, offset: number, length: number): boolean {
  if (!mirror.hasChecks) return true
  return isRightAt(mirror, offset) && isRightAt(mirror, offset + length)
}

/** Makes these blocks right. They are locked. Rejects with VolumeError if one cannot be had of any member. */
export async function mendEdges(mirror: Mirror, offset: number, length: number): Promise<void> {
  const ends = [offset, offset + length].filter((end) => end % CHECKED_BLOCK_BYTES !== 0)
  for (const block of new Set(ends.map(blockAt))) {
    const scope = mirror.isDoubtful(block, CHECKED_BLOCK_BYTES) ? 'all' : 'in-sync'
    const slice = { offset: block, length: CHECKED_BLOCK_BYTES, scope } as const
    await mend(mirror, slice, [], noFindings())
  }
}

/** `end` is where a range begins or ends: in a block, or between two. */
function isRightAt(mirror: Mirror, end: number): boolean {
  if (end % CHECKED_BLOCK_BYTES === 0) return true
  const block = blockAt(end)
  if (mirror.isDoubtful(block, CHECKED_BLOCK_BYTES)) return false
  for (const { state, volume } of mirror.members) {
    if (state !== 'in-sync' || volume === null) continue
    if (!volume.readNow(block, scratch, 0, CHECKED_BLOCK_BYTES)) return false
  }
  return true
}

function blockAt(offset: number): number {
  return offset - (offset % CHECKED_BLOCK_BYTES)
}
