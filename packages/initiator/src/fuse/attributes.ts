/** What stat(2) says of a mount's files and directory, whichever driver answers. */
import type { BlockFile } from './block-file.ts'

export const ROOT_INODE = 1
/** What st_blocks counts in. */
export const SECTOR_BYTES = 512

const DIRECTORY = 0o040000
const REGULAR = 0o100000

export const rootMode = DIRECTORY | 0o755

/** A file is its owner's alone, or everybody's where other users were let in. */
export function fileMode(
  file: BlockFile,
  { allowOther }: { readonly allowOther: boolean },
): number {
  const permissions = allowOther ? 0o666 : 0o600
  return REGULAR | (file.readOnly ? permissions & 0o444 : permissions)
}
