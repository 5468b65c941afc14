/** Notices when a disk's file or device is deleted, replaced or cut short while the disk is in use. */
import type { ArraySet } from './array-set.ts'
import { findDiskLoss } from './disk-identity.ts'
import type { DiskSet, KnownDisk } from './disk-set.ts'
import type { Log } from './log.ts'
import { type Clock, systemClock, type Timer } from './volume/raid/clock.ts'
import type { Volume } from './volume/volume.ts'

const INTERVAL_MS = 2000

export interface DiskWatchOptions {
  readonly disks: DiskSet
  readonly arrays: ArraySet
  readonly log: Log
  /** Runs a change in its turn among all others. */
  readonly inTurn: <T>(change: () => Promise<T>) => Promise<T>
  /** How often it looks; every 2 s if not given. */
  readonly intervalMs?: number | undefined
  readonly clock?: Clock
}

/**
 * A file that was deleted is there as long as it is open, and gone for good when the server ends: better that
 * the array gives it up while it has others. If it cannot, it goes on with it; this is tried again each time.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions
  readonly #clock: Clock
  /** Disks that are being looked at: one whose file system hangs holds up no other. */
  readonly #underWay = new Set<Volume>()
  #timer: Timer | null = null
  #isStopped = false

  constructor(options: DiskWatchOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  start(): void {
    if (this.#isStopped) return
    const { intervalMs = INTERVAL_MS } = this.#options
    this.#timer = this.#clock.after(intervalMs, () => {
      for (const disk of this.#options.disks.all()) void this.#look(disk)
      this.start()
    })
  }

  /** What has been found goes on, nothing more will be. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  async #look({ path, volume, identity, reason: known }: KnownDisk): Promise<void> {
    if (volume === null || identity === null || this.#underWay.has(volume)) return
    this.#underWay.add(volume)
    try {
      const reason = await findDiskLoss(path, identity, volume.sizeBytes)
      const { disks, log } = this.#options
      if (this.#isStopped || !disks.mark(path, volume, reason)) return
      if (reason !== known) {
        if (reason === null) log.info(`disk ${path} is there again`)
        else log.warn(`disk ${path} is not available: ${reason}`)
      }
      if (reason !== null) await this.#takeOut(volume, reason, reason !== known)
    } finally {
      this.#underWay.delete(volume)
    }
  }

  /** Has the array whose member it is go on without it. */
  async #takeOut(volume: Volume, reason: string, isNew: boolean): Promise<void> {
    const { arrays, log, inTurn } = this.#options
    const using = () => arrays.available().find((array) => array.disks.includes(volume))
    if (using() === undefined) return
    try {
      await inTurn(async () => using()?.upkeep.fail(volume, reason))
    } catch (error) {
      if (isNew) log.warn((error as Error).message)
    }
  }
}
