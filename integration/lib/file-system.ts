/**
 * Disk file systems on a file that stands for a disk, as a user would put them there: a loop device,
 * mkfs, mount, and a real tree of files. Needs root.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { onCleanUp, temporaryDirectory, unmountNow } from './cleanup.ts'
import { run, runOk } from './command.ts'

export const fileSystems = ['ext4', 'xfs'] as const
export type FileSystem = (typeof fileSystems)[number]

const makers = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-f'],
} as const

/** Read-only checks that say nothing and exit with 0 only if the file system is clean. */
const checkers = {
  ext4: ['fsck.ext4', '-f', '-n'],
  xfs: ['xfs_repair', '-n'],
} as const

export interface FileSystemOptions {
  /** Whether the loop device reads and writes the file past the page cache. */
  readonly directIo?: boolean
  readonly readOnly?: boolean
}

/** Makes a file system on the file, has it used, and checks it. */
export function makeFileSystem<T>(
  kind: FileSystem,
  file: string,
  use: (directory: string) => Promise<T>,
  options: FileSystemOptions = {},
): Promise<T> {
  return onLoopDevice(file, options, async (device) => {
    const [maker, ...parameters] = makers[kind]
    await runOk(maker, [...parameters, device])
    const result = await useMounted(device, [], use)
    await checkFileSystem(kind, device)
    return result
  })
}

/** Checks the file system on the file, and has it used as it is. */
export function reuseFileSystem<T>(
  kind: FileSystem,
  file: string,
  use: (directory: string) => Promise<T>,
  options: FileSystemOptions = {},
): Promise<T> {
  return onLoopDevice(file, options, async (device) => {
    await checkFileSystem(kind, device)
    return useMounted(device, options.readOnly ? ['--options', 'ro'] : [], use)
  })
}

async function onLoopDevice<T>(
  file: string,
  options: FileSystemOptions,
  step: (device: string) => Promise<T>,
): Promise<T> {
  const device = await attachLoop(file, options)
  const result = await step(device)
  await detachLoop(device)
  return result
}

async function useMounted<T>(
  device: string,
  options: readonly string[],
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = await mountDevice(device, options)
  const result = await use(directory)
  await runOk('umount', [directory])
  return result
}

/** Makes a file system on the file and copies a tree into it; answers with the tree's checksum there. */
export function fillFileSystem(
  kind: FileSystem,
  file: string,
  tree: string,
  options?: FileSystemOptions,
): Promise<string> {
  const fill = async (directory: string) => {
    const copy = join(directory, 'tree')
    mkdirSync(copy)
    await runOk('cp', ['--archive', `${tree}/.`, copy])
    return treeChecksum(copy)
  }
  return makeFileSystem(kind, file, fill, options)
}

/** Checks the file system on the file, mounts it read-only and answers with the tree's checksum. */
export function readFileSystem(
  kind: FileSystem,
  file: string,
  options: FileSystemOptions = {},
): Promise<string> {
  const read = (directory: string) => treeChecksum(join(directory, 'tree'))
  return reuseFileSystem(kind, file, read, { ...options, readOnly: true })
}

/** One checksum over names, contents, owners, modes and times of all below a directory. */
export async function treeChecksum(directory: string): Promise<string> {
  const script = 'set -o pipefail; tar --sort=name --numeric-owner -C "$0" -cf - . | sha256sum'
  return (await runOk('bash', ['-c', script, directory])).slice(0, 64)
}

async function checkFileSystem(kind: FileSystem, device: string): Promise<void> {
  const [checker, ...options] = checkers[kind]
  await runOk(checker, [...options, device])
}

async function attachLoop(file: string, { directIo = false }: FileSystemOptions): Promise<string> {
  const how = directIo ? ['--direct-io=on'] : []
  const device = (await runOk('losetup', ['--find', '--show', ...how, file])).trim()
  onCleanUp(() => detachNow(device, file))
  // Where the file does not take direct I/O, losetup goes on without.
  const asked = ['--noheadings', '--raw', '--output', 'DIO', device]
  const isDirect = (await runOk('losetup', asked)).trim() === '1'
  if (directIo && !isDirect) throw new Error(`${device} does not use direct I/O on ${file}`)
  return device
}

async function detachLoop(device: string): Promise<void> {
  await runOk('losetup', ['--detach', device])
  // Detaching is lazy while a scan of udev's holds the device: the disk below must be free now.
  for (let attempt = 0; attempt < 100; attempt++) {
    const { stdout } = await run('losetup', ['--noheadings', '--output', 'BACK-FILE', device])
    if (stdout.trim() === '') return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${device} is still attached 5 s after losetup --detach`)
}

/** The loop device may be somebody else's by the time of the clean-up: it must still have our file. */
function detachNow(device: string, file: string): void {
  const options = ['--noheadings', '--output', 'BACK-FILE', device]
  const { stdout } = spawnSync('losetup', options, { encoding: 'utf8' })
  if (stdout.startsWith(file)) spawnSync('losetup', ['--detach', device])
}

async function mountDevice(device: string, options: readonly string[]): Promise<string> {
  const directory = temporaryDirectory()
  onCleanUp(() => unmountNow(directory))
  await runOk('mount', [...options, device, directory])
  return directory
}
