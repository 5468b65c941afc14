/** The disks of an array as it uses them. */
import type { Volume } from '../volume.ts'
import { TimedVolume, type TimedVolumeOptions } from './timed-volume.ts'

/** Gives each disk a TimedVolume, one for all its areas, as long as the disk is a member. The disks stay the caller's. */
export class TimedDisks {
  readonly #options: TimedVolumeOptions | null
  readonly #timed = new WeakMap<Volume, TimedVolume>()

  /** Null: the array cannot go on without a disk, and so waits for it as long as it takes. */
  constructor(options: TimedVolumeOptions | null) {
    this.#options = options
  }

  /** What to use in place of the disk. A new one if what there was has been ended, and the disk has ended all of it. */
  of(disk: Volume): Volume {
    if (this.#options === null) return disk
    const known = this.#timed.get(disk)
    if (known !== undefined && !known.isOver) return known
    const timed = new TimedVolume(disk, this.#options)
    this.#timed.set(disk, timed)
    return timed
  }

  /** The disk is not used any more, for this reason; what it has been asked goes on. */
  end(disk: Volume, reason: string): void {
    this.#timed.get(disk)?.end(reason)
  }

  /** Whether the disk has left something unanswered, and not ended it since. */
  isHanging(disk: Volume): boolean {
    const known = this.#timed.get(disk)
    return known?.isDead === true && !known.isOver
  }

  /** Resolves when the disk is asked nothing any more: false if it has left something unanswered. */
  async settled(disk: Volume): Promise<boolean> {
    return (await this.#timed.get(disk)?.settled()) ?? true
  }
}
