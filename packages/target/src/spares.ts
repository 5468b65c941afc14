/** Disks that take the place of those that arrays lose, whichever array it is. */
import type { ArraySet } from './array-set.ts'
import type { DiskSet } from './disk-set.ts'
import type { Log } from './log.ts'
import type { StateStore } from './state.ts'
import type { Volume } from './volume/volume.ts'

export interface SparesOptions {
  readonly state: StateStore
  readonly disks: DiskSet
  readonly arrays: ArraySet
  readonly log: Log
}

export class Spares {
  readonly #options: SparesOptions

  constructor(options: SparesOptions) {
    this.#options = options
  }

  has(path: string): boolean {
    return this.#paths().includes(path)
  }

  async appoint(path: string): Promise<void> {
    if (!this.has(path)) await this.#write([...this.#paths(), path])
  }

  async withdraw(path: string): Promise<void> {
    if (this.has(path)) await this.#write(this.#paths().filter((spare) => spare !== path))
  }

  /** Gives arrays that lack members the smallest spares that do. What cannot be done is logged. */
  async takeOver(): Promise<void> {
    const { arrays, log } = this.#options
    for (const array of arrays.available()) {
      for (const { state } of array.members) {
        if (state !== 'absent') continue
        const spare = this.#smallest(array.memberSizeBytes)
        if (spare === undefined) continue
        try {
          await this.withdraw(spare.name)
          await array.upkeep.replace(spare)
        } catch (error) {
          log.error(`spare ${spare.name} could not be used: ${(error as Error).message}`, {
            array: array.name,
          })
        }
      }
    }
  }

  #smallest(sizeBytes: number): Volume | undefined {
    const { disks, arrays } = this.#options
    return disks
      .all()
      .filter(({ path, reason }) => this.has(path) && reason === null)
      .flatMap(({ volume }) => (volume === null ? [] : [volume]))
      .filter((volume) => volume.sizeBytes >= sizeBytes && arrays.isFree(volume))
      .sort((a, b) => a.sizeBytes - b.sizeBytes)[0]
  }

  #paths(): readonly string[] {
    return this.#options.state.current.spares ?? []
  }

  async #write(spares: string[]): Promise<void> {
    const { state } = this.#options
    await state.replace({ ...state.current, spares })
  }
}
