/** The arrays that the server's disks make up: those that can be used, and those that cannot. */
import { type NewArray, TargetError } from './admin/target-facade.ts'
import { createArray } from './volume/array.ts'
import { ArrayError } from './volume/array-error.ts'
import { assembleArrays, type FailedArray, type UnlabelledDisk } from './volume/assembly.ts'
import type { DiskArray } from './volume/disk-array.ts'
import type { ArrayHooks } from './volume/disk-array-options.ts'
import { eraseLabels } from './volume/label-slots.ts'
import type { Volume } from './volume/volume.ts'

/** An array that cannot be used as it is, and why. */
export interface UnavailableArray {
  readonly id: string
  readonly name: string
  readonly level: DiskArray['level']
  readonly chunkSizeBytes: number
  /** The disks at hand, in member order. */
  readonly disks: readonly Volume[]
  readonly partitions: readonly { readonly id: string }[]
  readonly hasChecksums: boolean
  readonly members: DiskArray['members']
  readonly reason: string
}

export class ArraySet {
  readonly #hooks: ArrayHooks
  readonly #available: DiskArray[] = []
  #unavailable: UnavailableArray[] = []
  #unlabelled: readonly UnlabelledDisk[] = []

  constructor(hooks: ArrayHooks) {
    this.#hooks = hooks
  }

  /**
   * Looks at the disks that no available array uses. Returns the arrays that have become available;
   * everything else about these disks is told by the other methods.
   */
  async assemble(disks: readonly Volume[]): Promise<DiskArray[]> {
    // One that an array has given up could not be read, and would be waited for.
    const loose = disks.filter(
      (disk) => !this.#available.some((array) => uses(array, disk) || array.upkeep.isHanging(disk)),
    )
    const { arrays, failed, unlabelled } = await assembleArrays(loose, this.#hooks, this.#available)
    this.#unavailable = failed.map(fromFailed)
    this.#unlabelled = unlabelled
    const added: DiskArray[] = []
    for (const array of arrays) {
      if (this.#available.some(({ name }) => name === array.name)) {
        this.#unavailable.push(fromNamesake(array))
      } else {
        this.#available.push(array)
        added.push(array)
      }
    }
    return added
  }

  available(): readonly DiskArray[] {
    return this.#available
  }

  unavailable(): readonly UnavailableArray[] {
    return this.#unavailable
  }

  /** The array of that name that can be used. Throws TargetError. */
  get(name: string): DiskArray {
    const array = this.#available.find((one) => one.name === name)
    if (array !== undefined) return array
    const { reason } = this.#getUnavailable(name)
    throw new TargetError('unavailable', `array ${name} is not available: ${reason}`)
  }

  /** The array whose member the disk is, usable or not. */
  using(disk: Volume): DiskArray | UnavailableArray | undefined {
    return (
      this.#available.find((array) => uses(array, disk)) ??
      this.#unavailable.find(({ disks }) => disks.includes(disk))
    )
  }

  /** The array whose member the disk was. */
  leftBy(disk: Volume): DiskArray | undefined {
    return this.#available.find(({ upkeep }) => upkeep.outside.includes(disk))
  }

  /** Whether the disk can become part of an array, and nobody's data are lost by that. */
  isFree(disk: Volume): boolean {
    if (this.using(disk) !== undefined || this.leftBy(disk) !== undefined) return false
    return this.faultOf(disk) === null
  }

  /** Why the disk can be part of no array; null when it can be, or is. */
  faultOf(disk: Volume): string | null {
    const found = this.#unlabelled.find((one) => one.disk === disk)
    return found === undefined || isFree(found) ? null : found.reason
  }

  /** Makes an array of these disks. Rejects with TargetError. */
  async create(
    { name, level, chunkSizeBytes, checksums }: NewArray,
    disks: readonly Volume[],
  ): Promise<DiskArray> {
    if ([...this.#available, ...this.#unavailable].some((array) => array.name === name)) {
      throw new TargetError('already-exists', `there is an array ${name} already`)
    }
    for (const { disk, kind } of this.#unlabelled) {
      // Whether a disk is left over shows from all of them together; createArray looks at each alone.
      if (kind === 'leftover' && disks.includes(disk)) await asTargetError(eraseLabels(disk))
    }
    const wanted = { name, level, chunkSizeBytes, checksums, disks, hooks: this.#hooks }
    const array = await asTargetError(createArray(wanted))
    this.#available.push(array)
    return array
  }

  /**
   * Makes an array's disks blank. One that cannot be used can be deleted if it has no partitions:
   * that is what making or deleting one leaves when it is cut short. Rejects with TargetError.
   */
  async delete(name: string): Promise<void> {
    const index = this.#available.findIndex((one) => one.name === name)
    if (index >= 0) {
      await asTargetError(this.#available[index]!.destroy())
      this.#available.splice(index, 1)
      return
    }
    const { disks, partitions, reason } = this.#getUnavailable(name)
    if (partitions.length > 0) {
      throw new TargetError(
        'in-use',
        `array ${name} has partitions (${partitions.length}), and is not available: ${reason}`,
      )
    }
    for (const disk of disks) await asTargetError(eraseLabels(disk))
  }

  /** Closes all arrays; their disks stay open. */
  async close(): Promise<void> {
    for (const array of this.#available.splice(0)) await array.close()
  }

  #getUnavailable(name: string): UnavailableArray {
    const found = this.#unavailable.find((one) => one.name === name)
    if (found === undefined) throw new TargetError('not-found', `there is no array ${name}`)
    return found
  }
}

/** Waits for a change of the volume layer, and puts its refusal in the admin API's terms. */
export async function asTargetError<T>(change: Promise<T>): Promise<T> {
  try {
    return await change
  } catch (error) {
    const code = error instanceof ArrayError ? error.code : 'storage-failed'
    throw new TargetError(code, (error as Error).message, { cause: error })
  }
}

function uses(array: DiskArray, disk: Volume): boolean {
  return array.disks.includes(disk)
}

function isFree({ kind }: UnlabelledDisk): boolean {
  return kind === 'blank' || kind === 'leftover'
}

function fromFailed({ description, disks, reason }: FailedArray): UnavailableArray {
  return {
    id: description.arrayId,
    name: description.arrayName,
    level: description.level,
    chunkSizeBytes: description.chunkSizeBytes,
    disks: disks.filter((disk) => disk !== null),
    partitions: description.partitions,
    hasChecksums: description.areas.checksums.length > 0,
    members: description.members.map(({ state }, number) => ({ disk: disks[number]!, state })),
    reason,
  }
}

function fromNamesake(array: DiskArray): UnavailableArray {
  const { id, name, level, chunkSizeBytes, disks, partitions, hasChecksums, members } = array
  const reason = `there is another array ${name}, which is in use; this one has the id ${id}`
  return { id, name, level, chunkSizeBytes, disks, partitions, hasChecksums, members, reason }
}
