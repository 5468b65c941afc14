/**
 * The portable driver, on fuse-native, which is libfuse 2. It keeps one write of each file in flight,
 * and moves at most 128 KiB in a request: see docs/performance.md.
 */
import type { Attributes, default as Fuse, Operations } from 'fuse-native'
import { fileMode, ROOT_INODE, rootMode, SECTOR_BYTES } from '../attributes.ts'
import { Errno } from '../errno.ts'
import type { BlockDirectory, FuseDriver, MountOptions } from '../fuse-driver.ts'
import { findFusermount, MountpointError } from '../mountpoint.ts'

const PREFERRED_BYTES = 128 * 1024

export const mountNative: FuseDriver = async (files, options) => {
  // libfuse 2 mounts with it, also for root: it is what unmounts when this process dies.
  await findFusermount()
  const Driver = await loadFuseNative()
  const fuse = new Driver(options.directory, operations(files, options), {
    timeout: false,
    autoUnmount: true,
    defaultPermissions: true,
    allowOther: options.allowOther,
    fsname: options.source.replaceAll(',', '_'),
    subtype: 'platter',
  })
  await new Promise<void>((resolve, reject) => {
    fuse.mount((error) => (error === null ? resolve() : reject(explain(error, options))))
  })
}

function explain(error: Error, { directory }: MountOptions): MountpointError {
  const hint = 'is /dev/fuse there, and may you use it?'
  return new MountpointError(
    'unusable',
    `${directory} cannot be mounted: ${error.message}; ${hint}`,
  )
}

/** fuse-native with an option that it does not know: without big_writes a write is 4 KiB. */
async function loadFuseNative(): Promise<typeof Fuse> {
  try {
    const { default: FuseNative } = await import('fuse-native')
    return class extends FuseNative {
      protected override _fuseOptions(): string {
        return `${super._fuseOptions()},big_writes`
      }
    }
  } catch (error) {
    const { message } = error as Error
    const remedy = /libfuse\.so/.test(message) ? '; on Debian: apt-get install libfuse2' : ''
    throw new MountpointError('unusable', `fuse-native cannot be loaded: ${message}${remedy}`)
  }
}

function operations(files: BlockDirectory, options: MountOptions): Operations {
  const mounted = new Date()
  /** Files by their path, as libfuse names them, and by their descriptor. */
  const byPath = new Map([...files.values()].map((file) => [`/${file.name}`, file]))
  const byDescriptor = [...files.values()]

  const attributes = (mode: number, inode: number, size: number): Attributes => ({
    mode,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    size,
    ino: inode,
    nlink: 1,
    blksize: PREFERRED_BYTES,
    blocks: size / SECTOR_BYTES,
    mtime: mounted,
    atime: mounted,
    ctime: mounted,
  })
  const attributesOf = (path: string): Attributes | undefined => {
    if (path === '/') return attributes(rootMode, ROOT_INODE, 0)
    const file = byPath.get(path)
    if (file === undefined) return undefined
    return attributes(fileMode(file, options), file.inode, file.sizeBytes)
  }

  return {
    getattr: (path, answer) => {
      const found = attributesOf(path)
      if (found === undefined) answer(Errno.NoEntry)
      else answer(0, found)
    },
    readdir: (_, answer) => answer(0, ['.', '..', ...files.keys()]),
    open: (path, _, answer) => {
      const file = byPath.get(path)
      if (file === undefined) answer(Errno.NoEntry)
      else answer(0, byDescriptor.indexOf(file))
    },
    read: (_, descriptor, buffer, length, offset, answer) =>
      byDescriptor[descriptor]?.read(offset, buffer, 0, length, answer),
    write: (_, descriptor, buffer, length, offset, answer) =>
      byDescriptor[descriptor]?.write(offset, buffer, 0, length, answer),
    fsync: (_, _dataOnly, descriptor, answer) => byDescriptor[descriptor]?.flush(answer),
    ...asADisk,
    ...refused,
  }
}

/** What programs do to files that means nothing to a disk: it is accepted, and changes nothing. */
const asADisk: Operations = {
  truncate: (_, _size, answer) => answer(0),
  ftruncate: (_, _descriptor, _size, answer) => answer(0),
  utimens: (_, _atime, _mtime, answer) => answer(0),
}

/** The files are the target's partitions: nothing here makes, moves or removes one. */
const refused: Operations = {
  create: (_, _mode, answer) => answer(Errno.NotPermitted),
  unlink: (_, answer) => answer(Errno.NotPermitted),
  rename: (_, _to, answer) => answer(Errno.NotPermitted),
  mkdir: (_, _mode, answer) => answer(Errno.NotPermitted),
  chmod: (_, _mode, answer) => answer(Errno.NotPermitted),
  chown: (_, _uid, _gid, answer) => answer(Errno.NotPermitted),
}
