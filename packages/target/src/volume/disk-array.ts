/**
 * An assembled array: its disks striped, its partition table, and changes of it, each of which is on
 * every disk's label before it counts. Making and finding arrays is array.ts.
 */
import { randomUUID } from 'node:crypto'
import { ArrayError, type ArrayErrorCode } from './array-error.ts'
import { AtomicJournal } from './atomic-journal.ts'
import { type BlockFormat, blockFormats, DEFAULT_BLOCK_FORMAT } from './block-format.ts'
import type { ByteExtent } from './extent.ts'
import {
  type ArrayDescription,
  type ArrayLevel,
  LABEL_SLOT_BYTES,
  labelLength,
  rowSpace,
} from './label.ts'
import { eraseLabels, writeLabel } from './label-slots.ts'
import {
  allocateRows,
  freeExtents,
  joinExtents,
  nameProblem,
  type PartitionEntry,
  type RowExtent,
  rowsOf,
  sizeProblem,
} from './partition-table.ts'
import { PartitionVolume } from './partition-volume.ts'
import { settled } from './settled.ts'
import { StripedVolume } from './striped-volume.ts'
import type { Volume } from './volume.ts'

export interface NewPartition {
  readonly name: string
  /** A multiple of the physical block size. */
  readonly sizeBytes: number
  /** DEFAULT_BLOCK_FORMAT if not given. */
  readonly blockFormat?: BlockFormat | undefined
  /** UUID, for callers that must know it beforehand; a random one if not given. */
  readonly id?: string
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Disks under one RAID level, divided into partitions. The disks stay the caller's: `close` does not
 * close them. Changes run one after another, in the order in which they were asked for.
 */
export class DiskArray {
  /** The members, in member order. */
  readonly disks: readonly Volume[]
  readonly #volume: Volume
  readonly #journal: AtomicJournal
  readonly #open = new Map<string, PartitionVolume>()
  #description: ArrayDescription
  #changes: Promise<unknown> = Promise.resolve()
  /** Why no more changes are taken: what the labels hold is not known, or the array is gone. */
  #sealed: string | null = null

  /** For array.ts: `disks` in member order, all holding this description in their labels. */
  constructor(description: ArrayDescription, disks: readonly Volume[]) {
    this.#description = description
    this.disks = disks
    this.#volume = new StripedVolume({
      name: description.arrayName,
      members: disks,
      chunkSizeBytes: description.chunkSizeBytes,
      memberOffset: description.dataOffset,
      memberSizeBytes: description.dataSizeBytes,
    })
    this.#journal = new AtomicJournal({
      arrayId: description.arrayId,
      disks,
      partition: (id) => {
        const found = this.partitions.find((one) => one.id === id)
        return found && new PartitionVolume(this.#volumeOptions(found))
      },
    })
  }

  /**
   * For array.ts: finishes the atomic write that a crash has cut short, before anyone has a partition.
   * Rejects with Error if what the disks hold of it cannot be understood.
   */
  recover(): Promise<void> {
    return this.#journal.recover()
  }

  /** What a person should look at; null if nothing. */
  get problem(): string | null {
    const { unfinished } = this.#journal
    const partition = this.partitions.find(({ id }) => id === unfinished?.partitionId)
    if (unfinished === null || partition === undefined) return null
    const { offset, length, error } = unfinished
    return `an atomic write of bytes ${offset} to ${offset + length - 1} of partition ${partition.name} is not finished, they cannot be used until it is: ${error.message}`
  }

  /** UUID, as in the labels. */
  get id(): string {
    return this.#description.arrayId
  }

  get name(): string {
    return this.#description.arrayName
  }

  get level(): ArrayLevel {
    return this.#description.level
  }

  get chunkSizeBytes(): number {
    return this.#description.chunkSizeBytes
  }

  /** Counts the changes. */
  get generation(): number {
    return this.#description.generation
  }

  /** What partitions can have in all. */
  get sizeBytes(): number {
    return this.#volume.sizeBytes
  }

  /** What is not in a partition; they take whole rows (a chunk of every disk). */
  get freeBytes(): number {
    const { rowCount, rowSizeBytes } = rowSpace(this.#description)
    return rowsOf(freeExtents(this.partitions, rowCount)) * rowSizeBytes
  }

  get partitions(): readonly PartitionEntry[] {
    return this.#description.partitions
  }

  /** The partition of that name; throws ArrayError not-found. */
  partition(name: string): PartitionEntry {
    const found = this.partitions.find((one) => one.name === name)
    if (found === undefined) {
      throw new ArrayError('not-found', `array ${this.name} has no partition ${name}`)
    }
    return found
  }

  /** Makes a partition that reads as zeros. Rejects with ArrayError. */
  createPartition(partition: NewPartition): Promise<PartitionEntry> {
    const { name, sizeBytes, blockFormat = DEFAULT_BLOCK_FORMAT, id = randomUUID() } = partition
    return this.#change(async () => {
      refuseIf('invalid-request', nameProblem(name) ?? sizeProblem(sizeBytes, blockFormat))
      refuseIf('invalid-request', UUID.test(id) ? null : `id ${id} is not a UUID in lower case`)
      const taken = this.partitions.some((one) => one.id === id)
      refuseIf('already-exists', taken ? `array ${this.name} has a partition ${id} already` : null)
      this.#refuseTaken(name)
      const extents = this.#allocate(sizeBytes)
      const created = { id, name, sizeBytes, blockFormat, extents }
      await this.#commit([...this.partitions, created], extents)
      return created
    })
  }

  /** Makes a partition larger, in use or not; what is new reads as zeros. Rejects with ArrayError. */
  growPartition(name: string, sizeBytes: number): Promise<PartitionEntry> {
    return this.#change(async () => {
      const old = this.partition(name)
      refuseIf('invalid-request', sizeProblem(sizeBytes, old.blockFormat))
      if (sizeBytes < old.sizeBytes) {
        const message = `size ${sizeBytes} is less than the ${old.sizeBytes} bytes that partition ${name} has`
        throw new ArrayError('invalid-request', message)
      }
      const added = this.#allocate(sizeBytes, old.extents)
      const grown = { ...old, sizeBytes, extents: joinExtents(old.extents, added) }
      await this.#commit(this.#replaced(old, grown), added)
      this.#open.get(old.id)?.grow(this.#byteExtents(grown.extents), sizeBytes)
      return grown
    })
  }

  /** Gives a partition another name; it keeps its id and its bytes. Rejects with ArrayError. */
  renamePartition(name: string, newName: string): Promise<PartitionEntry> {
    return this.#change(async () => {
      const old = this.partition(name)
      refuseIf('invalid-request', nameProblem(newName))
      if (newName !== name) this.#refuseTaken(newName)
      const renamed = { ...old, name: newName }
      await this.#commit(this.#replaced(old, renamed), [])
      this.#open.get(old.id)?.rename(this.#volumeName(newName))
      return renamed
    })
  }

  /** Deletes a partition that is not open, and gives its room back. Rejects with ArrayError. */
  deletePartition(name: string): Promise<void> {
    return this.#change(async () => {
      const old = this.partition(name)
      if (this.#open.has(old.id)) {
        throw new ArrayError('in-use', `partition ${name} of array ${this.name} is in use`)
      }
      const partitions = this.partitions.filter((one) => one !== old)
      await this.#commit(partitions, [])
      // It is deleted even if this fails: its rows are discarded again before anyone else has them.
      await this.#discard(old.extents).catch(() => {})
    })
  }

  /** Opens a partition; one at a time, until that Volume is closed. Throws ArrayError. */
  openPartition(name: string): PartitionVolume {
    const partition = this.partition(name)
    const { id } = partition
    if (this.#sealed !== null) throw new ArrayError('storage-failed', this.#sealed)
    if (this.#open.has(id)) {
      throw new ArrayError('in-use', `partition ${name} of array ${this.name} is open already`)
    }
    const volume = new PartitionVolume({
      ...this.#volumeOptions(partition),
      journal: this.#journal,
      onClosed: () => this.#open.delete(id),
    })
    this.#open.set(id, volume)
    return volume
  }

  /** Makes its disks blank again. Refused while it has partitions. Rejects with ArrayError. */
  destroy(): Promise<void> {
    return this.#change(async () => {
      if (this.partitions.length > 0) {
        const message = `array ${this.name} has partitions (${this.partitions.length})`
        throw new ArrayError('in-use', message)
      }
      await this.#writeLabels({ ...this.#description, state: 'destroyed' })
      this.#sealed = `array ${this.name} has been destroyed`
      // From here on it is none, whatever is left of its labels.
      await this.#onEveryDisk((disk) => eraseLabels(disk))
    })
  }

  /** Closes its partitions, after changes under way. The disks stay open. */
  async close(): Promise<void> {
    await this.#changes
    this.#sealed ??= `array ${this.name} is closed`
    await Promise.all([...this.#open.values()].map((partition) => partition.close()))
  }

  #change<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(() => {
      if (this.#sealed !== null) throw new ArrayError('storage-failed', this.#sealed)
      return run()
    })
    this.#changes = result.catch(() => {})
    return result
  }

  /**
   * Makes `partitions` the table, after clearing rows that were free and now belong to one of them:
   * whatever was there is gone for good before anyone can read it.
   */
  async #commit(partitions: readonly PartitionEntry[], added: readonly RowExtent[]): Promise<void> {
    if (labelLength(partitions) > LABEL_SLOT_BYTES) {
      throw new ArrayError('no-space', `the partition table of array ${this.name} is full`)
    }
    try {
      await this.#discard(added)
    } catch (error) {
      const message = `new space of array ${this.name} could not be cleared: ${(error as Error).message}`
      throw new ArrayError('storage-failed', message, { cause: error })
    }
    await this.#writeLabels({ ...this.#description, partitions })
  }

  async #writeLabels(description: ArrayDescription): Promise<void> {
    const next = { ...description, generation: description.generation + 1 }
    // Until all labels agree again, a further change could leave two that differ under one number.
    this.#sealed = `a change of array ${this.name} did not reach all its disks; whether it counts shows when the array is next assembled`
    await this.#onEveryDisk((disk, memberNumber) => writeLabel(disk, { ...next, memberNumber }))
    this.#sealed = null
    this.#description = next
  }

  async #onEveryDisk(work: (disk: Volume, memberNumber: number) => Promise<void>): Promise<void> {
    const outcomes = await Promise.allSettled(this.disks.map(work))
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed === undefined) return
    const message = `${this.#sealed}: ${(failed.reason as Error).message}`
    throw new ArrayError('storage-failed', message, { cause: failed.reason })
  }

  async #discard(extents: readonly RowExtent[]): Promise<void> {
    if (extents.length === 0) return
    for (const { offset, length } of this.#byteExtents(extents)) {
      await settled((completion) => this.#volume.discard(offset, length, completion))
    }
    await settled((completion) => this.#volume.flush(completion))
  }

  /** Rows for `sizeBytes` beyond what `owned` holds already. */
  #allocate(sizeBytes: number, owned: readonly RowExtent[] = []): readonly RowExtent[] {
    const { rowCount, rowSizeBytes } = rowSpace(this.#description)
    const wanted = Math.ceil(sizeBytes / rowSizeBytes) - rowsOf(owned)
    if (wanted === 0) return []
    const last = owned.at(-1)
    const free = freeExtents(this.partitions, rowCount)
    const rows = allocateRows(free, wanted, last && last.startRow + last.rowCount)
    if (rows !== null) return rows
    const message = `array ${this.name} has ${this.freeBytes} bytes free, ${wanted * rowSizeBytes} are needed`
    throw new ArrayError('no-space', message)
  }

  #volumeOptions({ id, name, extents, sizeBytes, blockFormat }: PartitionEntry) {
    return {
      id,
      name: this.#volumeName(name),
      array: this.#volume,
      extents: this.#byteExtents(extents),
      sizeBytes,
      blockSizeBytes: blockFormats[blockFormat].logicalBlockSizeBytes,
    }
  }

  #byteExtents(extents: readonly RowExtent[]): ByteExtent[] {
    const { rowSizeBytes } = rowSpace(this.#description)
    return extents.map(({ startRow, rowCount }) => ({
      offset: startRow * rowSizeBytes,
      length: rowCount * rowSizeBytes,
    }))
  }

  #replaced(old: PartitionEntry, entry: PartitionEntry): PartitionEntry[] {
    return this.partitions.map((one) => (one === old ? entry : one))
  }

  #refuseTaken(name: string): void {
    if (!this.partitions.some((one) => one.name === name)) return
    throw new ArrayError('already-exists', `array ${this.name} has a partition ${name} already`)
  }

  #volumeName(partition: string): string {
    return `${this.name}/${partition}`
  }
}

function refuseIf(code: ArrayErrorCode, problem: string | null): void {
  if (problem !== null) throw new ArrayError(code, problem)
}
