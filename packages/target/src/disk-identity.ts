/** Which file or device a path leads to, and whether it still does. */
import { type BigIntStats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'

/** What a path led to. */
export interface DiskIdentity {
  readonly isDevice: boolean
  /** Of a device its number; of a file those of its file system and of its inode. */
  readonly numbers: readonly bigint[]
}

/** What the path leads to now; null if that cannot be told. */
export function identifyDisk(path: string): DiskIdentity | null {
  try {
    return identityOf(statSync(path, { bigint: true }))
  } catch {
    return null
  }
}

/**
 * Why the path does not lead to a disk any more that has this many bytes; null if it does, or if that cannot
 * be told: then reads and writes will tell.
 */
export async function findDiskLoss(
  path: string,
  { isDevice, numbers }: DiskIdentity,
  sizeBytes: number,
): Promise<string | null> {
  let found: BigIntStats
  try {
    found = await stat(path, { bigint: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ENOTDIR') return null
    return `its ${isDevice ? 'device' : 'file'} is gone`
  }
  const now = identityOf(found)
  const isSame = now.isDevice === isDevice && now.numbers.every((n, i) => n === numbers[i])
  if (!isSame) return `another ${now.isDevice ? 'device' : 'file'} has its place`
  if (!isDevice && found.size < sizeBytes) return 'its file has shrunk'
  return null
}

function identityOf(found: BigIntStats): DiskIdentity {
  const isDevice = found.isBlockDevice()
  return { isDevice, numbers: isDevice ? [found.rdev] : [found.dev, found.ino] }
}
