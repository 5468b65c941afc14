/**
 * One server of a mount: its partitions as files of a directory, from its first login on. Files come and
 * go as the server says; one that cannot be reached at first is tried again.
 */
import type { BlockDevice } from './block/block-device.ts'
import { BlockFile } from './fuse/block-file.ts'
import type { Directory, Tree } from './fuse/tree.ts'
import type { ConnectedTarget } from './host.ts'
import type { PathStatus } from './net/path.ts'
import type { MultiMode } from './net/target-transport.ts'

/** Between two attempts to reach a server, in ms. */
const PAUSE_MS = 5000

export interface MountedServerOptions {
  /** In the mount, and what people call it. */
  readonly name: string
  readonly tree: Tree
  /** Where its files go, perhaps beside those of others. */
  readonly directory: Directory
  /** Its files can only be read, even if its partitions could be written to. */
  readonly readOnly: boolean
  connect(): Promise<ConnectedTarget>
  /** Told of what happens, for people. */
  say(text: string): void
}

export interface ServerStatus {
  readonly name: string
  /** Null until it has been logged in to; then its partitions are files, whether its paths work or not. */
  readonly targetName: string | null
  readonly mode: MultiMode | null
  readonly connections: number
  /** Why it cannot be reached, while it has not been; see `paths` for all later trouble. */
  readonly error: string | null
  readonly paths: readonly PathStatus[]
  readonly partitions: readonly PartitionStatus[]
}

export interface PartitionStatus {
  /** Of its file. */
  readonly name: string
  readonly sizeBytes: number
  readonly readOnly: boolean
}

export class MountedServer {
  readonly #options: MountedServerOptions
  readonly #files = new Map<BlockDevice, string>()
  #target: ConnectedTarget | null = null
  #error: Error | null = null
  #retry: NodeJS.Timeout | null = null
  #closed = false

  constructor(options: MountedServerOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  /** Logs in. Rejects as `connect` does; it may be called again then. */
  async reach(): Promise<void> {
    try {
      const target = await this.#options.connect()
      this.#error = null
      this.#target = target
      if (this.#closed) await target.close()
    } catch (error) {
      this.#error = error as Error
      throw error
    }
  }

  /** Shows what there is, from now on; once it has been reached. Until then it goes on trying to. */
  show(): void {
    if (this.#closed) return
    if (this.#target === null) this.#retry = setTimeout(() => void this.#reachAndShow(), PAUSE_MS)
    else this.#showFilesOf(this.#target)
  }

  async #reachAndShow(): Promise<void> {
    await this.reach().then(
      () => this.#options.say('reached'),
      () => {},
    )
    this.show()
  }

  status(): ServerStatus {
    const target = this.#target
    return {
      name: this.name,
      targetName: target?.targetName ?? null,
      mode: target?.mode ?? null,
      connections: target?.connections ?? 0,
      error: this.#error?.message ?? null,
      paths: target?.paths() ?? [],
      partitions: [...this.#files].map(([device, name]) => ({
        name,
        sizeBytes: device.sizeBytes,
        readOnly: device.readOnly || this.#options.readOnly,
      })),
    }
  }

  /** Makes durable what was written, and logs out. Rejects when it could not. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#retry !== null) clearTimeout(this.#retry)
    await this.#target?.close()
  }

  #showFilesOf(target: ConnectedTarget): void {
    const changes = target.changes()
    for (const device of target.devices) this.#add(device)
    void this.#follow(changes)
  }

  async #follow(changes: ReturnType<ConnectedTarget['changes']>): Promise<void> {
    for await (const { kind, device } of changes) {
      if (kind === 'removed') this.#remove(device)
      else if (kind === 'added') this.#options.say(`${this.#add(device)} has come`)
      else this.#options.say(`${this.#files.get(device)} has ${device.sizeBytes} bytes now`)
    }
  }

  /** @returns the name of its file. */
  #add(device: BlockDevice): string {
    const { tree, directory, readOnly } = this.#options
    const name = this.#freeName(device)
    tree.add(directory, name, new BlockFile(device, { readOnly }))
    this.#files.set(device, name)
    return name
  }

  /** Another server may have a partition of the same name in the same directory. */
  #freeName({ name }: BlockDevice): string {
    const { directory, name: server } = this.#options
    let free = name
    for (let count = 1; directory.entries.has(free); count++) {
      free = count === 1 ? `${name}.${server}` : `${name}.${server}.${count}`
    }
    return free
  }

  #remove(device: BlockDevice): void {
    const { tree, directory, say } = this.#options
    const name = this.#files.get(device)
    if (name === undefined) return
    this.#files.delete(device)
    tree.remove(directory, name)
    say(`${name} is gone`)
  }
}
