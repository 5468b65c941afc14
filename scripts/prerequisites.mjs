/**
 * What Platter needs of the machine beyond Node 20, and how it gets there: npm packages as
 * package-lock.json has them, and Debian packages, asked for by purpose. Runs before anything is
 * installed, so it uses nothing but Node itself.
 *
 *     node scripts/prerequisites.mjs mount clients     installs what these purposes need
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * A Debian package (with the names it goes by in different releases), and what shows it is there.
 * @typedef {{ packages: readonly string[], present: () => boolean }} Need
 */

/** @type {Record<string, readonly Need[]>} */
const purposes = {
  mount: [
    { packages: ['fuse3'], present: () => onPath('fusermount') || onPath('fusermount3') },
    { packages: ['libfuse2', 'libfuse2t64'], present: () => hasLibrary('libfuse.so.2') },
  ],
  filesystems: [
    { packages: ['mount'], present: () => onPath('losetup') && onPath('mount') },
    { packages: ['e2fsprogs'], present: () => onPath('mkfs.ext4') && onPath('fsck.ext4') },
    { packages: ['xfsprogs'], present: () => onPath('mkfs.xfs') && onPath('xfs_repair') },
  ],
  diskUsers: [
    { packages: ['fio'], present: () => onPath('fio') },
    { packages: ['sqlite3'], present: () => onPath('sqlite3') },
  ],
  clients: [
    { packages: ['libiscsi-bin'], present: () => onPath('iscsi-ls') && onPath('iscsi-test-cu') },
    { packages: ['qemu-utils'], present: () => onPath('qemu-img') && onPath('qemu-io') },
    { packages: ['qemu-block-extra'], present: () => hasLibrary('qemu/block-iscsi.so') },
  ],
  networks: [
    { packages: ['iproute2'], present: () => onPath('ip') },
    { packages: ['util-linux'], present: () => onPath('unshare') && onPath('nsenter') },
  ],
  tgt: [{ packages: ['tgt'], present: () => onPath('tgtd') && onPath('tgtadm') }],
  guest: [
    { packages: ['qemu-system-x86'], present: () => onPath('qemu-system-x86_64') },
    { packages: ['iproute2'], present: () => onPath('ip') },
    { packages: ['cpio'], present: () => onPath('cpio') },
  ],
  captures: [{ packages: ['tshark'], present: () => onPath('tshark') && onPath('dumpcap') }],
  bench: [
    { packages: ['tgt'], present: () => onPath('tgtd') && onPath('tgtadm') },
    { packages: ['gcc'], present: () => onPath('gcc') },
    { packages: ['libc6-dev'], present: () => existsSync('/usr/include/stdio.h') },
    { packages: ['libiscsi-dev'], present: () => existsSync('/usr/include/iscsi/iscsi.h') },
  ],
  benchMounts: [
    { packages: ['fuse3'], present: () => onPath('fusermount3') },
    { packages: ['libfuse2', 'libfuse2t64'], present: () => hasLibrary('libfuse.so.2') },
    { packages: ['fio'], present: () => onPath('fio') },
    { packages: ['qemu-system-common'], present: () => onPath('qemu-storage-daemon') },
    { packages: ['qemu-block-extra'], present: () => hasLibrary('qemu/block-iscsi.so') },
  ],
  benchNetworks: [
    { packages: ['iproute2'], present: () => onPath('ip') && onPath('tc') },
    { packages: ['util-linux'], present: () => onPath('nsenter') },
    { packages: ['fuse3'], present: () => onPath('fusermount3') },
    { packages: ['procps'], present: () => onPath('sysctl') },
    { packages: ['fio'], present: () => onPath('fio') },
    { packages: ['gcc'], present: () => onPath('gcc') },
    { packages: ['libc6-dev'], present: () => existsSync('/usr/include/stdio.h') },
  ],
}

/** Every purpose there is. */
export const everyPurpose = Object.keys(purposes)

/** Installs the npm packages if they are missing or not those of package-lock.json; exits 1 if it cannot. */
export function ensureNpmPackages() {
  if (npmPackagesCurrent()) return
  console.log('prerequisites: installing npm packages (npm ci)')
  const { status } = run('npm', ['ci', '--no-audit', '--no-fund'])
  if (status === 0) return
  console.error('prerequisites: npm ci failed; mend what it says above, then start again')
  process.exit(1)
}

/**
 * Sees to it that the Debian packages of these purposes are there. As root, on a system with
 * apt-get, it installs what is missing. Otherwise it says what to run, and answers false.
 * @param {readonly string[]} wanted names of purposes
 * @returns {boolean} whether all of them are there now
 */
export function ensureDebianPackages(wanted) {
  const absent = missingNeeds(wanted)
  if (absent.length === 0) return true
  const names = absent.map((need) => need.packages[0] ?? '')
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    console.error(`prerequisites: missing here: ${names.join(' ')}`)
    console.error('prerequisites: on Debian, run this as root, then start again:')
    console.error(`  apt-get update && apt-get install --no-install-recommends ${names.join(' ')}`)
    return false
  }
  console.log(`prerequisites: installing Debian packages: ${names.join(' ')}`)
  const failed = aptInstall(absent)
  const still = missingNeeds(wanted)
  if (still.length === 0) return true
  console.error(`prerequisites: still missing: ${still.map((need) => need.packages[0]).join(' ')}`)
  if (failed !== '') console.error(failed)
  return false
}

/**
 * The Debian packages that these purposes need and that are not here.
 * @param {readonly string[]} wanted names of purposes
 * @returns {string[]}
 */
export function missingPackages(wanted) {
  return missingNeeds(wanted).map((need) => need.packages[0] ?? '')
}

/** @param {readonly string[]} wanted */
function missingNeeds(wanted) {
  /** @type {Map<string, Need>} */
  const absent = new Map()
  for (const purpose of wanted) {
    const needs = purposes[purpose]
    if (needs === undefined) {
      throw new Error(`no purpose ${purpose}; there are ${everyPurpose.join(', ')}`)
    }
    for (const need of needs) {
      if (!need.present()) absent.set(need.packages[0] ?? '', need)
    }
  }
  return [...absent.values()]
}

/**
 * @param {readonly Need[]} needs
 * @returns {string} what apt-get said, if it failed
 */
function aptInstall(needs) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const wait = ['-o', 'DPkg::Lock::Timeout=300']
  const quiet = { env, input: '' }
  const update = spawnSync('apt-get', ['update', '-q', ...wait], quiet)
  if (update.status !== 0) return `apt-get update: ${update.stderr}`
  const names = needs.map((need) => need.packages.find(isInArchive) ?? need.packages[0] ?? '')
  const arguments_ = ['install', '-y', '-q', '--no-install-recommends', ...wait, ...names]
  const install = spawnSync('apt-get', arguments_, quiet)
  return install.status === 0 ? '' : `apt-get install: ${install.stderr}`
}

/** @param {string} name */
function isInArchive(name) {
  return spawnSync('apt-cache', ['show', name], { stdio: 'ignore' }).status === 0
}

/** npm keeps what it installed in node_modules/.package-lock.json: it must agree with ours. */
function npmPackagesCurrent() {
  const installed = lockedPackages(join(root, 'node_modules', '.package-lock.json'))
  const wanted = lockedPackages(join(root, 'package-lock.json'))
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') || entry.link === true) return true
    const there = installed[path]
    return there === undefined ? entry.optional === true : there.version === entry.version
  })
}

/**
 * @param {string} path
 * @returns {Record<string, { version?: string, link?: boolean, optional?: boolean }>}
 */
function lockedPackages(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : {}
}

/**
 * Whether a program can be run by its name.
 * @param {string} program
 */
export function onPath(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** @param {string} name a file in a library folder, plain or of this architecture */
function hasLibrary(name) {
  const folders = ['/lib', '/lib64', '/usr/lib', '/usr/lib64', '/usr/local/lib']
  const multiarch = folders.flatMap((folder) => {
    const names = existsSync(folder) ? readdirSync(folder) : []
    return names.filter((entry) => entry.includes('-linux-')).map((entry) => join(folder, entry))
  })
  return [...folders, ...multiarch].some((folder) => existsSync(join(folder, name)))
}

/**
 * Runs a program with our output and no input, from the root of the repository.
 * @param {string} program
 * @param {readonly string[]} arguments_
 * @param {string} [folder]
 */
export function run(program, arguments_, folder = root) {
  return spawnSync(program, arguments_, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  ensureNpmPackages()
  if (!ensureDebianPackages(process.argv.slice(2))) process.exit(1)
}
