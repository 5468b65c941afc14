/** The disks that the server owns: opened, and held so that no other server takes them. */
import { TargetError } from './admin/target-facade.ts'
import { type DiskIdentity, identifyDisk } from './disk-identity.ts'
import type { Volume } from './volume/volume.ts'

/** A known disk. Null is its volume while it is not open. */
export interface KnownDisk {
  readonly path: string
  readonly volume: Volume | null
  /** What the path led to when the disk was opened; null if that could not be told. */
  readonly identity: DiskIdentity | null
  /** Why it is not open, or nothing more is to begin with it though it is; null if all is well. */
  readonly reason: string | null
}

/** A disk that does not end what it was asked is not waited for any longer, and released when it has. */
const CLOSE_TIMEOUT_MS = 5000

export type OpenDisk = (path: string) => Promise<Volume>

export class DiskSet {
  readonly #openDisk: OpenDisk
  readonly #closeTimeoutMs: number
  readonly #disks = new Map<string, KnownDisk>()

  constructor(openDisk: OpenDisk, closeTimeoutMs = CLOSE_TIMEOUT_MS) {
    this.#openDisk = openDisk
    this.#closeTimeoutMs = closeTimeoutMs
  }

  /** Opens each path; those that cannot be opened are known with the reason. */
  async openAll(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      try {
        this.#setOpen(path, await this.#openDisk(path))
      } catch (error) {
        const reason = (error as Error).message
        this.#disks.set(path, { path, volume: null, identity: null, reason })
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
      this.#setOpen(path, volume)
      return volume
    } catch (error) {
      throw new TargetError('unavailable', (error as Error).message, { cause: error })
    }
  }

  /** Closes a disk and forgets it. */
  async close(path: string): Promise<void> {
    const disk = this.get(path)
    this.#disks.delete(path)
    if (disk.volume !== null) await closed(disk.volume, this.#closeTimeoutMs)
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#disks.keys()].map((path) => this.close(path)))
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

  /** The volume of a disk that is open, well or not. Throws TargetError. */
  openVolume(path: string): Volume {
    const { volume, reason } = this.get(path)
    if (volume === null) throw new TargetError('unavailable', `${path}: ${reason}`)
    return volume
  }

  /** The volume of a disk that something new may begin with. Throws TargetError. */
  usableVolume(path: string): Volume {
    const volume = this.openVolume(path)
    const { reason } = this.get(path)
    if (reason !== null) throw new TargetError('unavailable', `${path}: ${reason}`)
    return volume
  }

  /** Says of an open disk why nothing is to begin with it, or null that all is well. False if that is not its volume. */
  mark(path: string, volume: Volume, reason: string | null): boolean {
    const disk = this.#disks.get(path)
    if (disk?.volume !== volume) return false
    if (disk.reason !== reason) this.#disks.set(path, { ...disk, reason })
    return true
  }

  /** In the order in which they became known. */
  all(): KnownDisk[] {
    return [...this.#disks.values()]
  }

  #setOpen(path: string, volume: Volume): void {
    this.#disks.set(path, { path, volume, identity: identifyDisk(path), reason: null })
  }
}

async function closed(volume: Volume, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs)
  })
  await Promise.race([volume.close(), late]).finally(() => clearTimeout(timer))
}
