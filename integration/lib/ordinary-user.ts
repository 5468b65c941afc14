/**
 * A user of the machine who is nobody in particular: with a directory of its own, a copy of `platter` that it can
 * read wherever this repository lies, and a /dev/fuse that is open to everybody, as udev has it.
 */
import { statSync } from 'node:fs'
import { chown, copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../scripts/prerequisites.mjs'
import { temporaryDirectory } from './cleanup.ts'
import { BackgroundProcess, type Outcome, run, runOk } from './command.ts'

const user = 'nobody'
/** Before a program: who runs it. Not root, and no way to become it but by programs that are setuid. */
const asUser = ['setpriv', `--reuid=${user}`, '--regid=nogroup', '--clear-groups']
const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** In mounts of its own, puts a device that everybody may open over /dev/fuse, and stays. */
const openFuse = `
  mount -t tmpfs tmpfs "$0"
  mknod -m 666 "$0/fuse" c 10 229
  mount --bind "$0/fuse" /dev/fuse
  echo ready
  exec sleep infinity
`

export class OrdinaryUser {
  readonly home: string
  readonly #software: string
  readonly #mounts: BackgroundProcess | undefined

  private constructor(home: string, software: string, mounts: BackgroundProcess | undefined) {
    this.home = home
    this.#software = software
    this.#mounts = mounts
  }

  static async create(): Promise<OrdinaryUser> {
    const home = temporaryDirectory()
    const id = Number(await runOk('id', ['--user', user]))
    await chown(home, id, -1)
    const everybodyMay = (statSync('/dev/fuse').mode & 0o006) === 0o006
    const mounts = everybodyMay ? undefined : await withOpenFuse()
    return new OrdinaryUser(home, await copySoftware(), mounts)
  }

  /** Runs a program to its end; answers with what it said, or an error if it fails. */
  runOk(program: string, ...parameters: string[]): Promise<string> {
    return runOk(...this.#as(program, parameters))
  }

  /** Runs `platter` to its end. */
  platter(...parameters: string[]): Promise<Outcome> {
    return run(...this.#as(...this.#platter(parameters)))
  }

  /** Runs `platter mount`, and waits until it is there. */
  async mount(portal: string, directory: string, ...options: string[]): Promise<BackgroundProcess> {
    const parameters = ['mount', ...options, portal, directory]
    const mount = new BackgroundProcess(...this.#as(...this.#platter(parameters)))
    await mount.untilReady(() => this.isMounted(directory))
    return mount
  }

  async isMounted(directory: string): Promise<boolean> {
    return (await run(...this.#as('mountpoint', ['--quiet', directory]))).status === 0
  }

  #platter(parameters: readonly string[]): [string, string[]] {
    const script = join(
      this.#software,
      'node_modules',
      '@platter',
      'initiator',
      'bin',
      'platter.js',
    )
    return [join(this.#software, 'node'), [script, ...parameters]]
  }

  #as(program: string, parameters: readonly string[]): [string, string[]] {
    const enter = this.#mounts ? ['nsenter', `--mount=/proc/${this.#mounts.pid}/ns/mnt`] : []
    // Nothing of what tap gives to the programs of its tests.
    const environment = ['env', '--ignore-environment', `HOME=${this.home}`, path]
    const [first = '', ...rest] = [...enter, ...asUser, ...environment, program, ...parameters]
    return [first, rest]
  }
}

async function withOpenFuse(): Promise<BackgroundProcess> {
  const shell = ['sh', '-ec', openFuse, temporaryDirectory()]
  const holder = new BackgroundProcess('unshare', ['--mount', '--propagation', 'private', ...shell])
  await holder.untilReady(async () => holder.log.includes('ready'))
  return holder
}

/** What `platter` needs, node itself included, where everybody can read it. */
async function copySoftware(): Promise<string> {
  const software = temporaryDirectory()
  const list = ['ls', '--omit=dev', '--all', '--parseable', '--workspace', '@platter/initiator']
  const paths = (await runOk('npm', list, { cwd: root })).trim().split('\n')
  const packages = paths
    .map((path) => path.slice(root.length))
    .filter((path) => path.startsWith('node_modules/'))
  const how = ['--recursive', '--dereference', '--parents', '--target-directory', software]
  await runOk('cp', [...how, ...packages], { cwd: root })
  await copyFile(process.execPath, join(software, 'node'))
  await runOk('chmod', ['--recursive', 'a+rX', software])
  return software
}
