/** Why a block device could not do something, with the code that a disk would have given. */

/**
 * EIO: it failed. EROFS: write protected. ENOSPC: the storage behind is full. EBADE: another host has
 * reserved it. EOPNOTSUPP: it has no command for that.
 */
export type BlockErrorCode = 'EIO' | 'EROFS' | 'ENOSPC' | 'EBADE' | 'EOPNOTSUPP'

export class BlockError extends Error {
  override readonly name = 'BlockError'
  readonly code: BlockErrorCode

  constructor(code: BlockErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
