/** `platter mount` as its users run it: partitions of a target as files of a directory. */
import { readFileSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { onCleanUp, temporaryDirectory, unmountNow } from './cleanup.ts'
import { BackgroundProcess, runOk } from './command.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { platterScript } from './target-process.ts'

export class FuseMount {
  readonly directory: string
  readonly process: BackgroundProcess

  private constructor(directory: string, process_: BackgroundProcess) {
    this.directory = directory
    this.process = process_
  }

  /** Mounts what the target at `portal` (`HOST:PORT`) shows, and waits until it is there. */
  static mount(portal: string, ...options: readonly string[]): Promise<FuseMount> {
    return FuseMount.mountFrom(undefined, portal, ...options)
  }

  /** As `mount`, with the target in the reach of this network. */
  static async mountFrom(
    network: NetworkNamespace | undefined,
    portal: string,
    ...options: readonly string[]
  ): Promise<FuseMount> {
    const directory = temporaryDirectory()
    onCleanUp(() => unmountNow(directory))
    const parameters = [platterScript(), 'mount', ...options, portal, directory]
    const here: [string, string[]] = [process.execPath, parameters]
    const program = new BackgroundProcess(...(network?.inside(...here) ?? here))
    const mount = new FuseMount(directory, program)
    await mount.process.untilReady(async () => isMounted(directory))
    return mount
  }

  file(name: string): string {
    return join(this.directory, name)
  }

  /** `platter unmount`, and waits until the process behind the mount has ended by itself. */
  async unmount(): Promise<void> {
    await runOk(process.execPath, [platterScript(), 'unmount', this.directory])
    await this.process.untilEnded()
  }
}

export function isMounted(directory: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8').includes(` ${directory} `)
}

/** The files of a mount in the order of their names, with their sizes. */
export async function partitionFiles(directory: string): Promise<{ name: string; size: number }[]> {
  const names = (await readdir(directory)).sort()
  return Promise.all(
    names.map(async (name) => ({ name, size: (await stat(join(directory, name))).size })),
  )
}
