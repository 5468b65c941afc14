/** The disks that the server owns: opened, and held so that no other server takes them. */
import { TargetError } from './admin/target-facade.ts'
import type { Volume } from './volume/volume.ts'

/** A known disk: its volume while it is open, or why it is not. */
export interface KnownDisk {
  readonly path: string
  readonly volume: Volume | null
  readonly reason: string | null
}

export type OpenDisk = (path: string) => Promise<Volume>

export class DiskSet {
  readonly #openDisk: OpenDisk
  readonly #disks = new Map<string, KnownDisk>()

  constructor(openDisk: OpenDisk) {
    this.#openDisk = openDisk
  }

  /** Opens each path; those that cannot be opened are known with the reason. */
  async openAll(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      try {
        this.#set(path, await this.#openDisk(path), null)
      } catch (error) {
        this.#set(path, null, (error as Error).message)
      }
    }
  }

  /** Opens one more disk, or one that could not be opened before. Rejects with TargetError. */
  async open(path: string): Promise<Volume> {
    if (this.#disks.get(path)?.volume) {
      throw new TargetError('already-exists', `${path} is already a disk of this server`)
    }
    try {
      const volume = await this.#openDisk(path)
      this.#set(path, volume, null)
      return volume
    } catch (error) {
      throw new TargetError('unavailable', (error as Error).message, { cause: error })
    }
  }

  /** Closes a disk and forgets it. */
  async close(path: string): Promise<void> {
    const disk = this.get(path)
    this.#disks.delete(path)
    await disk.volume?.close()
  }

  async closeAll(): Promise<void> {
    for (const path of [...this.#disks.keys()]) await this.close(path)
  }

  /** Throws TargetError when there is no such disk. */
  get(path: string): KnownDisk {
    const disk = this.#disks.get(path)
    if (disk === undefined) {
      throw new TargetError(
        'not-found',
        `${path} is not a disk of this server; add it with: disk add`,
      )
    }
    return disk
  }

  /** In the order in which they became known. */
  all(): KnownDisk[] {
    return [...this.#disks.values()]
  }

  #set(path: string, volume: Volume | null, reason: string | null): void {
    this.#disks.set(path, { path, volume, reason })
  }
}
