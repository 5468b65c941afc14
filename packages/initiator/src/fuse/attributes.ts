/** What stat(2) says of a mount's files and directories, whichever driver answers. */
import { Directory, type Entry } from './tree.ts'

/** What st_blocks counts in. */
export const SECTOR_BYTES = 512

const DIRECTORY = 0o040000
const REGULAR = 0o100000

/** A file is its owner's alone, or everybody's where other users were let in. */
export function modeOf(
  { content }: Entry,
  { allowOther }: { readonly allowOther: boolean },
): number {
  if (content instanceof Directory) return DIRECTORY | 0o755
  const permissions = allowOther ? 0o666 : 0o600
  return REGULAR | (content.readOnly ? permissions & 0o444 : permissions)
}

export function sizeOf({ content }: Entry): number {
  return content instanceof Directory ? 0 : content.sizeBytes
}
