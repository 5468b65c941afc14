/** Error numbers as FUSE answers carry them: negative, as Linux has them. */
import { constants } from 'node:os'

export const Errno = {
  NotPermitted: -constants.errno.EPERM,
  NoEntry: -constants.errno.ENOENT,
  InputOutput: -constants.errno.EIO,
  NoSpace: -constants.errno.ENOSPC,
  ReadOnly: -constants.errno.EROFS,
  NotSupported: -constants.errno.EOPNOTSUPP,
  /** What Linux answers for a disk that another host has reserved. */
  ReservationConflict: -52,
} as const

const byCode = new Map<unknown, number>([
  ['EROFS', Errno.ReadOnly],
  ['ENOSPC', Errno.NoSpace],
  ['EBADE', Errno.ReservationConflict],
  ['EOPNOTSUPP', Errno.NotSupported],
])

/** The number for what a BlockDevice has answered; EIO for whatever has no number of its own. */
export function errnoOf(error: Error): number {
  return byCode.get((error as Error & { code?: unknown }).code) ?? Errno.InputOutput
}
