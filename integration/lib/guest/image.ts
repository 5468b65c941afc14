/**
 * The virtual machine that serves as a real Linux host: Debian's kernel and the programs of some of
 * its packages as an initramfs, with overlay/ laid over it. Nothing of the packages is configured:
 * unpacked they are enough for programs that run as root, and the same files every time.
 */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { temporaryDirectory } from '../cleanup.ts'
import { runOk } from '../command.ts'
import { type Archive, downloadArchives, resolveArchives, updateLists } from './debian-archive.ts'
import { findCached, makeCached } from './image-cache.ts'

/** What QEMU boots. */
export interface GuestImage {
  readonly kernel: string
  readonly initramfs: string
}

/** Packages whose programs the guest has; apt adds what they depend on. */
const packages = [
  ...['linux-image-cloud-amd64', 'kmod', 'udev', 'mount', 'iproute2', 'hostname'],
  ...['coreutils', 'util-linux', 'dash', 'grep', 'sed', 'findutils', 'diffutils'],
  ...['open-iscsi', 'e2fsprogs', 'fio', 'sg3-utils', 'lsscsi'],
]

/** What these depend on only to be installed, or for scripts that the guest does not run. */
const needless =
  /^(?:perl|libperl|lib.*-perl|python3|libpython3|dpkg|debconf|adduser|passwd|usrmerge|linux-base|initramfs-tools|klibc|libklibc)/
const needlessFiles = ['doc', 'info', 'locale', 'lintian', 'man'].map((it) => `./usr/share/${it}`)

/** Links into /usr; packages still have files under both names. */
const mergedFolders = ['bin', 'sbin', 'lib', 'lib64']
const mountPoints = ['dev', 'mnt', 'proc', 'run', 'sys', 'tmp']

/** The files of the guest that are ours. This file may run from where it was compiled to. */
const overlay = fileURLToPath(
  new URL('lib/guest/overlay', import.meta.resolve('@platter/integration/package.json')),
)

/**
 * The image of the packages' current versions, from the user's cache or built into it. Needs root,
 * and a Debian with sources of amd64 packages.
 */
export async function guestImage(): Promise<GuestImage> {
  const directory = (await knownImage()) ?? (await currentImage())
  return { kernel: join(directory, 'vmlinuz'), initramfs: join(directory, 'initramfs') }
}

/** The image by the lists of packages that apt has, which may be none. */
async function knownImage(): Promise<string | undefined> {
  const archives = await wantedArchives().catch(() => undefined)
  return archives && findCached(keyOf(archives))
}

async function currentImage(): Promise<string> {
  await updateLists()
  const archives = await wantedArchives()
  const key = keyOf(archives)
  return findCached(key) ?? (await makeCached(key, (directory) => build(archives, directory)))
}

async function wantedArchives(): Promise<Archive[]> {
  return (await resolveArchives(packages)).filter((it) => !needless.test(it.name))
}

function keyOf(archives: readonly Archive[]): string {
  const hash = createHash('sha256')
  for (const { name, version } of archives) hash.update(`${name} ${version}\n`)
  for (const file of ourFiles()) hash.update(readFileSync(file))
  return hash.digest('hex').slice(0, 16)
}

/** Everything that an image depends on but for the packages. */
function ourFiles(): string[] {
  const entries = readdirSync(overlay, { recursive: true, withFileTypes: true })
  const files = entries.filter((it) => it.isFile()).map((it) => join(it.parentPath, it.name))
  return [...files.sort(), fileURLToPath(import.meta.url)]
}

async function build(archives: readonly Archive[], directory: string): Promise<void> {
  const downloads = temporaryDirectory()
  const tree = join(directory, 'tree')
  makeFolders(tree)
  for (const file of await downloadArchives(archives, downloads)) await unpack(file, tree)
  rmSync(downloads, { recursive: true })
  const boot = join(tree, 'boot')
  const kernel = readdirSync(boot).find((name) => name.startsWith('vmlinuz-'))
  if (kernel === undefined) throw new Error(`no kernel among ${readdirSync(boot).join(', ')}`)
  copyFileSync(join(boot, kernel), join(directory, 'vmlinuz'))
  rmSync(boot, { recursive: true })
  cpSync(overlay, tree, { recursive: true })
  await keepModules(tree, kernel.slice('vmlinuz-'.length))
  await pack(tree, join(directory, 'initramfs'))
  rmSync(tree, { recursive: true })
}

function makeFolders(tree: string): void {
  for (const folder of mergedFolders) {
    mkdirSync(join(tree, 'usr', folder), { recursive: true })
    symlinkSync(`usr/${folder}`, join(tree, folder))
  }
  for (const folder of mountPoints) mkdirSync(join(tree, folder))
}

async function unpack(archive: string, tree: string): Promise<void> {
  const without = needlessFiles.map((path) => `--exclude=${path}`)
  const script = 'dpkg-deb --fsys-tarfile "$0" | tar --extract --keep-directory-symlink "$@"'
  await runOk('bash', ['-o', 'pipefail', '-c', script, archive, '--directory', tree, ...without])
}

/** Removes the kernel modules that neither etc/modules names nor one named there needs. */
async function keepModules(tree: string, release: string): Promise<void> {
  const wanted = readFileSync(join(tree, 'etc', 'modules'), 'utf8')
    .trim()
    .split('\n')
  const folder = join(tree, 'lib', 'modules', release)
  await runOk('chroot', [tree, 'depmod', release])
  const kept = new Set<string>()
  for (const line of readFileSync(join(folder, 'modules.dep'), 'utf8').trim().split('\n')) {
    const [module = '', ...needed] = line.replace(':', '').split(' ')
    const name = module.replace(/^.*\//, '').replace('.ko', '').replaceAll('-', '_')
    if (wanted.includes(name)) for (const path of [module, ...needed]) kept.add(path)
  }
  for (const path of readdirSync(join(folder, 'kernel'), { recursive: true, encoding: 'utf8' })) {
    const module = join('kernel', path)
    if (module.endsWith('.ko') && !kept.has(module)) rmSync(join(folder, module))
  }
}

/** Not compressed: to unpack it takes the emulated processor longer than to read it. */
async function pack(tree: string, file: string): Promise<void> {
  const script = [
    'find . -exec touch --no-dereference --date=@0 {} +',
    'find . -print0 | LC_ALL=C sort --zero-terminated' +
      ' | cpio --quiet --null --create --format=newc --reproducible --owner=0:0 > "$0.unfinished"',
    'mv "$0.unfinished" "$0"',
  ].join(' && ')
  await runOk('bash', ['-o', 'pipefail', '-c', script, file], { cwd: tree })
}
