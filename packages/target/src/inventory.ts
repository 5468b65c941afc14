/**
 * What the server has: disks, arrays, partitions; and every change to them, in an order of durable
 * steps that a crash may cut anywhere (docs/platterd.md lists what is then found). It knows
 * no SCSI and no iSCSI: partitions are handed to a `PartitionServer`.
 */
import type { ArrayInfo, Disk, Partition } from './admin/model.ts'
import { type NewArray, type PartitionKey, TargetError } from './admin/target-facade.ts'
import { ArraySet, asTargetError, type UnavailableArray } from './array-set.ts'
import { DiskSet, type KnownDisk, type OpenDisk } from './disk-set.ts'
import type { OnStep } from './durable-file.ts'
import type { Log } from './log.ts'
import type { State, StateStore } from './state.ts'
import { blockFormats } from './volume/block-format.ts'
import type { DiskArray } from './volume/disk-array.ts'
import { createDiskFile } from './volume/disk-file.ts'
import type { PartitionEntry } from './volume/partition-table.ts'
import type { PartitionVolume } from './volume/partition-volume.ts'
import { type AtomicWriter, type Volume, VolumeError } from './volume/volume.ts'

/** A partition that is open, and can be served. */
export interface ServedPartition {
  readonly id: string
  readonly name: string
  /** Its blocks are the logical ones. */
  readonly volume: Volume & AtomicWriter
  readonly physicalBlockSizeBytes: number
  readonly chunkSizeBytes: number
  /** A chunk of every disk of its array. */
  readonly stripeSizeBytes: number
}

/** Serves partitions to the hosts that have grants of them. */
export interface PartitionServer {
  show(partition: ServedPartition): void
  /** Its volume has a new size. */
  grown(id: string): void
  /** Resolves when no host's command is at its volume any more. */
  hide(id: string): Promise<void>
  /** The partition, hidden before, has been deleted. */
  forget(id: string): void
}

/** One partition, and the array that it is of. */
export interface FoundPartition {
  readonly array: DiskArray
  readonly partition: PartitionEntry
}

export interface InventoryOptions {
  readonly state: StateStore
  readonly server: PartitionServer
  readonly openDisk: OpenDisk
  readonly log: Log
  readonly onStep: OnStep
}

export class Inventory {
  readonly #state: StateStore
  readonly #server: PartitionServer
  readonly #log: Log
  readonly #onStep: OnStep
  readonly #disks: DiskSet
  readonly #arrays = new ArraySet()
  /** Of the partitions that are served, by partition id. */
  readonly #volumes = new Map<string, PartitionVolume>()

  constructor({ state, server, openDisk, log, onStep }: InventoryOptions) {
    this.#state = state
    this.#server = server
    this.#log = log
    this.#onStep = onStep
    this.#disks = new DiskSet(openDisk)
  }

  /** Opens the disks, assembles their arrays, and has their partitions served. */
  async open(): Promise<void> {
    await this.#disks.openAll(this.#state.current.disks)
    await this.#assemble()
    for (const problem of this.problems()) this.#log.warn(problem)
  }

  /** Closes everything. Nobody may use the volumes any more. */
  async close(): Promise<void> {
    await this.#arrays.close()
    await this.#disks.closeAll()
  }

  /** What a person should look at. */
  problems(): string[] {
    const disks = this.listDisks().filter(({ reason }) => reason !== null)
    return [
      ...disks.map(({ path, reason }) => `disk ${path} is not available: ${reason}`),
      ...this.#arrays
        .unavailable()
        .map(({ name, reason }) => `array ${name} is not available: ${reason}`),
      ...this.#arrays
        .available()
        .flatMap(({ name, problem }) => (problem === null ? [] : [`array ${name}: ${problem}`])),
    ]
  }

  listDisks(): Disk[] {
    return this.#disks.all().map((disk) => this.#describeDisk(disk))
  }

  async createDisk(path: string, sizeBytes: number): Promise<Disk> {
    if (sizeBytes % 512 !== 0) {
      throw new TargetError('invalid-request', `size ${sizeBytes} is not a multiple of 512 bytes`)
    }
    try {
      await createDiskFile(path, sizeBytes)
    } catch (error) {
      const cause = error instanceof VolumeError ? (error.cause as NodeJS.ErrnoException) : null
      const code = cause?.code === 'EEXIST' ? 'already-exists' : 'storage-failed'
      const reason = cause?.message ?? (error as Error).message
      throw new TargetError(code, `cannot make ${path}: ${reason}`, { cause: error })
    }
    this.#onStep('disk file made')
    return this.addDisk(path)
  }

  async addDisk(path: string): Promise<Disk> {
    await this.#disks.open(path)
    const { disks } = this.#state.current
    if (!disks.includes(path)) {
      try {
        await this.#write({ disks: [...disks, path] })
      } catch (error) {
        await this.#disks.close(path)
        throw error
      }
    }
    await this.#assemble()
    return this.#describeDisk(this.#disks.get(path))
  }

  async removeDisk(path: string): Promise<void> {
    const { volume } = this.#disks.get(path)
    const array = volume && this.#arrays.using(volume)
    if (array && this.#isAvailable(array)) {
      throw new TargetError('in-use', `${path} is in use by array ${array.name}`)
    }
    await this.#write({ disks: this.#state.current.disks.filter((disk) => disk !== path) })
    await this.#disks.close(path)
    await this.#assemble()
  }

  listArrays(): ArrayInfo[] {
    return [
      ...this.#arrays.available().map((array) => ({
        ...describeArray(array),
        state: 'available' as const,
        reason: null,
        sizeBytes: array.sizeBytes,
        freeBytes: array.freeBytes,
      })),
      ...this.#arrays.unavailable().map((array) => ({
        ...describeArray(array),
        state: 'unavailable' as const,
        reason: array.reason,
        sizeBytes: null,
        freeBytes: null,
      })),
    ]
  }

  async createArray(array: NewArray): Promise<ArrayInfo> {
    const volumes = array.disks.map((path) => {
      const { volume, reason } = this.#disks.get(path)
      if (volume === null) throw new TargetError('unavailable', `${path}: ${reason}`)
      return volume
    })
    try {
      await this.#arrays.create(array, volumes)
    } finally {
      // A disk whose array was never whole is not one of that array's any more.
      await this.#assemble()
    }
    return this.listArrays().find(({ name }) => name === array.name)!
  }

  async deleteArray(name: string): Promise<void> {
    try {
      await this.#arrays.delete(name)
    } finally {
      await this.#assemble()
    }
  }

  listPartitions(): Partition[] {
    return this.#arrays
      .available()
      .flatMap((array) => array.partitions.map((it) => this.#describePartition(array, it)))
  }

  async createPartition(
    { array: arrayName, name }: PartitionKey,
    sizeBytes: number,
    blockSize?: Partition['blockSize'],
  ): Promise<Partition> {
    const array = this.#arrays.get(arrayName)
    const partition = await asTargetError(
      array.createPartition({ name, sizeBytes, blockFormat: blockSize }),
    )
    this.#onStep('partition made')
    this.#show(array)
    return this.#describePartition(array, partition)
  }

  async growPartition(key: PartitionKey, sizeBytes: number): Promise<Partition> {
    const array = this.#arrays.get(key.array)
    const grown = await asTargetError(array.growPartition(key.name, sizeBytes))
    this.#server.grown(grown.id)
    return this.#describePartition(array, grown)
  }

  /** Hosts lose it first, and get it back when it cannot be deleted. */
  async deletePartition(key: PartitionKey): Promise<void> {
    const { array, partition } = this.findPartition(key)
    await this.#hide(partition)
    try {
      await asTargetError(array.deletePartition(key.name))
    } catch (error) {
      this.#showAgain(array)
      throw error
    }
    this.#server.forget(partition.id)
    this.#onStep('partition deleted')
    await this.#dropLeftGrants()
  }

  /** The partition of that name, if its array is available. Throws TargetError. */
  findPartition(key: PartitionKey): FoundPartition {
    const array = this.#arrays.get(key.array)
    const partition = array.partitions.find(({ name }) => name === key.name)
    if (partition !== undefined) return { array, partition }
    throw new TargetError('not-found', `array ${key.array} has no partition ${key.name}`)
  }

  /** The partition with this id, if its array is available. */
  partitionWithId(wanted: string): FoundPartition | undefined {
    for (const array of this.#arrays.available()) {
      const partition = array.partitions.find(({ id }) => id === wanted)
      if (partition !== undefined) return { array, partition }
    }
    return undefined
  }

  /** Assembles what the disks that are in no array yet belong to, and has its partitions served. */
  async #assemble(): Promise<void> {
    const volumes = this.#disks.all().flatMap(({ volume }) => (volume === null ? [] : [volume]))
    const added = await this.#arrays.assemble(volumes)
    await this.#dropLeftGrants()
    for (const array of added) this.#show(array)
  }

  /**
   * Drops the grants of partitions that their array no longer has. An array that is not available
   * keeps all of its own.
   */
  async #dropLeftGrants(): Promise<void> {
    const { grants } = this.#state.current
    const kept = grants.filter((grant) => {
      const array = this.#arrays.available().find(({ id }) => id === grant.array)
      return array === undefined || array.partitions.some(({ id }) => id === grant.partition)
    })
    if (kept.length < grants.length) await this.#write({ grants: kept })
  }

  #show(array: DiskArray): void {
    for (const { id, name, blockFormat } of array.partitions) {
      if (this.#volumes.has(id)) continue
      const volume = array.openPartition(name)
      this.#volumes.set(id, volume)
      const { physicalBlockSizeBytes } = blockFormats[blockFormat]
      const { chunkSizeBytes, disks } = array
      const stripeSizeBytes = chunkSizeBytes * disks.length
      const layout = { physicalBlockSizeBytes, chunkSizeBytes, stripeSizeBytes }
      this.#server.show({ id, name, volume, ...layout })
    }
  }

  /** Where a failed change has left the array in doubt, only the next start can tell what is there. */
  #showAgain(array: DiskArray): void {
    try {
      this.#show(array)
    } catch (error) {
      this.#log.error((error as Error).message, { array: array.name })
    }
  }

  async #hide({ id }: PartitionEntry): Promise<void> {
    await this.#server.hide(id)
    await this.#volumes.get(id)?.close()
    this.#volumes.delete(id)
  }

  async #write(change: Partial<State>): Promise<void> {
    try {
      await this.#state.replace({ ...this.#state.current, ...change })
    } catch (error) {
      const message = `cannot write ${this.#state.filePath}: ${(error as Error).message}`
      throw new TargetError('storage-failed', message, { cause: error })
    }
  }

  #isAvailable(array: DiskArray | UnavailableArray): boolean {
    return this.#arrays.available().some((one) => one === array)
  }

  #describeDisk({ path, volume, reason }: KnownDisk): Disk {
    if (volume === null) return { path, state: 'unavailable', sizeBytes: null, array: null, reason }
    const { sizeBytes } = volume
    const array = this.#arrays.using(volume)?.name ?? null
    if (array !== null) return { path, state: 'member', sizeBytes, array, reason: null }
    const fault = this.#arrays.faultOf(volume)
    const state = fault === null ? 'free' : 'unavailable'
    return { path, state, sizeBytes, array, reason: fault }
  }

  #describePartition(array: DiskArray, partition: PartitionEntry): Partition {
    const { id, name, sizeBytes, blockFormat } = partition
    const grants = this.#state.current.grants
      .filter((grant) => grant.partition === id)
      .map(({ host, lun, access, sharing }) => ({ host, lun, access, sharing }))
    return { array: array.name, name, id, sizeBytes, blockSize: blockFormat, grants }
  }
}

function describeArray({
  name,
  id,
  level,
  chunkSizeBytes,
  disks,
  partitions,
}: DiskArray | UnavailableArray) {
  return {
    name,
    id,
    level,
    chunkSizeBytes,
    disks: disks.map((disk) => disk.name),
    partitionCount: partitions.length,
  }
}
