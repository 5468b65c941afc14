/**
 * What the server has: disks, arrays, partitions; and every change to them, in an order of durable
 * steps that a crash may cut anywhere (docs/platterd.md lists what is then found). It knows
 * no SCSI and no iSCSI: partitions are handed to a `PartitionServer`.
 */
import type { ArrayInfo, Disk, Partition } from './admin/model.ts'
import {
  type MemberKey,
  type NewArray,
  type PartitionKey,
  TargetError,
} from './admin/target-facade.ts'
import { describeAvailable, describeLack, describeUnavailable } from './array-info.ts'
import { ArraySet, asTargetError, type UnavailableArray } from './array-set.ts'
import { describeDisk } from './disk-info.ts'
import { DiskSet, type OpenDisk } from './disk-set.ts'
import { DiskWatch } from './disk-watch.ts'
import type { OnStep } from './durable-file.ts'
import type { Log } from './log.ts'
import type { PartitionServer } from './partition-server.ts'
import { Spares } from './spares.ts'
import type { State, StateStore } from './state.ts'
import { blockFormats } from './volume/block-format.ts'
import type { DiskArray } from './volume/disk-array.ts'
import { createDiskFile } from './volume/disk-file.ts'
import type { PartitionEntry } from './volume/partition-table.ts'
import type { PartitionVolume } from './volume/partition-volume.ts'
import { VolumeError } from './volume/volume.ts'

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
  /** Runs a change that nobody asked for in its turn among those that somebody did; at once if not given. */
  readonly inTurn?: <T>(change: () => Promise<T>) => Promise<T>
  /** How long a disk may take to answer if its array can do without it; 30 s if not given. */
  readonly diskTimeoutMs?: number | undefined
  /** How often it is looked whether the paths of the disks lead to them still; every 2 s if not given. */
  readonly diskWatchMs?: number | undefined
}

export class Inventory {
  readonly #state: StateStore
  readonly #server: PartitionServer
  readonly #log: Log
  readonly #onStep: OnStep
  readonly #disks: DiskSet
  readonly #arrays: ArraySet
  readonly #spares: Spares
  readonly #watch: DiskWatch
  /** Of the partitions that are served, by partition id. */
  readonly #volumes = new Map<string, PartitionVolume>()

  constructor(options: InventoryOptions) {
    const { state, server, openDisk, log, onStep, inTurn = (change) => change() } = options
    this.#state = state
    this.#server = server
    this.#log = log
    this.#onStep = onStep
    this.#disks = new DiskSet(openDisk)
    this.#arrays = new ArraySet({
      answerTimeoutMs: options.diskTimeoutMs,
      onEvent: (array, { message, isLoss }) => {
        if (isLoss) log.error(message, { array: array.name })
        else log.info(message, { array: array.name })
        if (isLoss) void inTurn(() => this.#spares.takeOver()).catch(() => {})
      },
    })
    const parts = { disks: this.#disks, arrays: this.#arrays, log }
    this.#spares = new Spares({ state, ...parts })
    this.#watch = new DiskWatch({ ...parts, inTurn, intervalMs: options.diskWatchMs })
  }

  /** Opens the disks, assembles their arrays, and has their partitions served. */
  async open(): Promise<void> {
    await this.#disks.openAll(this.#state.current.disks)
    await this.#assemble()
    await this.#spares.takeOver()
    for (const problem of this.problems()) this.#log.warn(problem)
    this.#watch.start()
  }

  /** Closes everything. Nobody may use the volumes any more. */
  async close(): Promise<void> {
    this.#watch.stop()
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
      ...this.#arrays.available().flatMap((array) => describeLack(array) ?? []),
    ]
  }

  listDisks(): Disk[] {
    return this.#disks.all().map(({ path }) => this.#describeDisk(path))
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
    return this.#describeDisk(path)
  }

  async removeDisk(path: string): Promise<void> {
    const { volume } = this.#disks.get(path)
    const array = volume && this.#arrays.using(volume)
    if (array && this.#isAvailable(array)) {
      throw new TargetError('in-use', `${path} is in use by array ${array.name}`)
    }
    const { disks, spares = [] } = this.#state.current
    await this.#write({
      disks: disks.filter((disk) => disk !== path),
      spares: spares.filter((disk) => disk !== path),
    })
    if (volume !== null) this.#arrays.leftBy(volume)?.upkeep.forget(volume)
    await this.#disks.close(path)
    await this.#assemble()
  }

  listArrays(): ArrayInfo[] {
    return [
      ...this.#arrays.available().map(describeAvailable),
      ...this.#arrays.unavailable().map(describeUnavailable),
    ]
  }

  async createArray(array: NewArray): Promise<ArrayInfo> {
    const volumes = array.disks.map((path) => this.#disks.usableVolume(path))
    for (const path of array.disks) await this.#spares.withdraw(path)
    try {
      await this.#arrays.create(array, volumes)
    } finally {
      // A disk whose array was never whole is not one of that array's any more.
      await this.#assemble()
    }
    return this.#describeArray(array.name)
  }

  async deleteArray(name: string): Promise<void> {
    try {
      await this.#arrays.delete(name)
    } finally {
      await this.#assemble()
    }
  }

  async failDisk({ array, disk }: MemberKey): Promise<ArrayInfo> {
    const { upkeep } = this.#arrays.get(array)
    await asTargetError(upkeep.fail(this.#disks.openVolume(disk)))
    await this.#spares.takeOver()
    return this.#describeArray(array)
  }

  async replaceDisk({ array: name, disk }: MemberKey, replaced?: string): Promise<ArrayInfo> {
    const array = this.#arrays.get(name)
    const volume = this.#disks.usableVolume(disk)
    if (!this.#arrays.isFree(volume)) {
      const { state, reason } = this.#describeDisk(disk)
      const why = reason === null ? `it is ${state}` : reason
      throw new TargetError('in-use', `${disk} is not free: ${why}`)
    }
    const old = replaced === undefined ? undefined : this.#disks.openVolume(replaced)
    await this.#spares.withdraw(disk)
    await asTargetError(array.upkeep.replace(volume, old))
    return this.#describeArray(name)
  }

  async reAddDisk({ array, disk }: MemberKey): Promise<ArrayInfo> {
    const { upkeep } = this.#arrays.get(array)
    await asTargetError(upkeep.reAdd(this.#disks.usableVolume(disk)))
    return this.#describeArray(array)
  }

  async startScrub(name: string): Promise<ArrayInfo> {
    const { upkeep } = this.#arrays.get(name)
    await asTargetError(Promise.resolve().then(() => upkeep.startScrub()))
    return this.#describeArray(name)
  }

  async stopScrub(name: string): Promise<ArrayInfo> {
    await asTargetError(this.#arrays.get(name).upkeep.stopScrub())
    return this.#describeArray(name)
  }

  async setSpare(path: string, spare: boolean): Promise<Disk> {
    if (spare) {
      const volume = this.#disks.usableVolume(path)
      if (!this.#arrays.isFree(volume)) {
        throw new TargetError('in-use', `${path} is not free, which a spare must be`)
      }
      await this.#spares.appoint(path)
      await this.#spares.takeOver()
    } else {
      this.#disks.get(path)
      await this.#spares.withdraw(path)
    }
    return this.#describeDisk(path)
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
      const { chunkSizeBytes, rowSizeBytes: stripeSizeBytes } = array
      const prefersWholeWrites = array.hasParity
      const layout = {
        physicalBlockSizeBytes,
        chunkSizeBytes,
        stripeSizeBytes,
        prefersWholeWrites,
      }
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

  #describeArray(name: string): ArrayInfo {
    return this.listArrays().find((array) => array.name === name)!
  }

  #describeDisk(path: string): Disk {
    return describeDisk(this.#disks.get(path), this.#arrays, this.#spares)
  }

  #describePartition(array: DiskArray, partition: PartitionEntry): Partition {
    const { id, name, sizeBytes, blockFormat } = partition
    const grants = this.#state.current.grants
      .filter((grant) => grant.partition === id)
      .map(({ host, lun, access, sharing }) => ({ host, lun, access, sharing }))
    return { array: array.name, name, id, sizeBytes, blockSize: blockFormat, grants }
  }
}
