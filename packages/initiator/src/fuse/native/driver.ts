/**
 * The portable driver, on fuse-native, which is libfuse 2. It keeps one write of each file in flight,
 * and moves at most 128 KiB in a request: see docs/performance.md.
 */
import type { Attributes, default as Fuse, Operations } from 'fuse-native'
import { modeOf, SECTOR_BYTES, sizeOf } from '../attributes.ts'
import { Errno } from '../errno.ts'
import type { FuseDriver, MountOptions } from '../fuse-driver.ts'
import type { MountedFile } from '../mounted-file.ts'
import { findFusermount, MountpointError } from '../mountpoint.ts'
import { Directory, type Entry, type Tree } from '../tree.ts'

const PREFERRED_BYTES = 128 * 1024

export const mountNative: FuseDriver = async (tree, options) => {
  // libfuse 2 mounts with it, also for root: it is what unmounts when this process dies.
  await findFusermount()
  const Driver = await loadFuseNative()
  const fuse = new Driver(options.directory, operations(tree, options), {
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

function operations(tree: Tree, options: MountOptions): Operations {
  const mounted = new Date()
  const open = new OpenFiles()
  const attributesOf = (entry: Entry): Attributes => {
    const size = sizeOf(entry)
    return {
      mode: modeOf(entry, options),
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      size,
      ino: entry.inode,
      nlink: 1,
      blksize: PREFERRED_BYTES,
      blocks: size / SECTOR_BYTES,
      mtime: mounted,
      atime: mounted,
      ctime: mounted,
    }
  }
  return {
    getattr: (path, answer) => {
      const entry = tree.find(path)
      if (entry === undefined) answer(Errno.NoEntry)
      else answer(0, attributesOf(entry))
    },
    readdir: (path, answer) => {
      const directory = tree.find(path)?.content
      if (!(directory instanceof Directory)) answer(Errno.NoEntry)
      else answer(0, ['.', '..', ...[...directory.listing()].map(([name]) => name)])
    },
    open: (path, _, answer) => {
      const file = tree.find(path)?.content
      if (file === undefined || file instanceof Directory) answer(Errno.NoEntry)
      else answer(0, open.add(file))
    },
    read: (_, descriptor, buffer, length, offset, answer) =>
      open.at(descriptor).read(offset, buffer, 0, length, answer),
    write: (_, descriptor, buffer, length, offset, answer) =>
      open.at(descriptor).write(offset, buffer, 0, length, answer),
    fsync: (_, _dataOnly, descriptor, answer) => open.at(descriptor).flush(answer),
    release: (_, descriptor, answer) => {
      open.remove(descriptor)
      answer(0)
    },
    ...asADisk,
    ...refused,
  }
}

/** Files by their descriptors, the lowest free one each, as a process has them. */
class OpenFiles {
  readonly #files: (MountedFile | undefined)[] = []

  add(file: MountedFile): number {
    const free = this.#files.indexOf(undefined)
    const descriptor = free === -1 ? this.#files.length : free
    this.#files[descriptor] = file
    return descriptor
  }

  at(descriptor: number): MountedFile {
    const file = this.#files[descriptor]
    if (file === undefined) throw new Error(`descriptor ${descriptor} is not open`)
    return file
  }

  remove(descriptor: number): void {
    this.#files[descriptor] = undefined
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
