/** What lseek(2) tells of files, which Node lacks, through koffi. */
import { createRequire } from 'node:module'

const SEEK_END = 2
const SEEK_DATA = 3
const ENXIO = 6

export interface FileHoles {
  /** The first byte from `offset` on that is not in a hole; `offset` itself where that cannot be told. */
  dataFrom(fd: number, offset: number, sizeBytes: number): number
  /** The length of a block device, of which stat(2) says 0; throws where it cannot be told. */
  deviceBytes(fd: number): number
}

let loaded: FileHoles | undefined

export function loadFileHoles(): FileHoles {
  loaded ??= load()
  return loaded
}

function load(): FileHoles {
  const lseek = loadCall()
  return {
    dataFrom(fd, offset, sizeBytes) {
      const found = lseek?.(fd, offset, SEEK_DATA) ?? offset
      if (found >= 0) return found
      // There is no data any more; any other errno is of a file system that does not tell.
      return found === -ENXIO ? sizeBytes : offset
    },
    deviceBytes(fd) {
      const found = lseek?.(fd, 0, SEEK_END) ?? -1
      if (found < 0) throw new Error('the length of the device cannot be told')
      return found
    },
  }
}

/** An offset, or a negative errno; undefined without koffi, or where constants may be others. */
function loadCall(): ((fd: number, offset: number, whence: number) => number) | undefined {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) return undefined
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    const lseek = koffi.load(null).func('int64_t lseek(int fd, int64_t offset, int whence)')
    return (fd, offset, whence) => {
      const found = Number(lseek(fd, offset, whence))
      return found < 0 ? -koffi.errno() : found
    }
  } catch {
    return undefined
  }
}
