/**
 * An assembled array: its partitions, and changes of them, each of which is on every disk's label before it
 * counts. Making arrays is array.ts, finding them assembly.ts, the disks that come and go array-members.ts.
 */
import { randomUUID } from 'node:crypto'
import { type ArrayDescription, type ArrayLevel, rowSpace } from './array-description.ts'
import { ArrayError, refuseIf } from './array-error.ts'
import { ArrayMembers } from './array-members.ts'
import { ArrayStorage } from './array-storage.ts'
import { ArrayUpkeep } from './array-upkeep.ts'
import { AtomicJournal } from './atomic-journal.ts'
import { blockFormats, DEFAULT_BLOCK_FORMAT } from './block-format.ts'
import type { DiskArrayOptions, NewPartition } from './disk-array-options.ts'
import type { ByteExtent } from './extent.ts'
import { LABEL_SLOT_BYTES, labelLength } from './label.ts'
import { eraseAllLabels } from './label-slots.ts'
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
import type { MemberState } from './raid/member.ts'
import { settled } from './settled.ts'
import { uuidProblem } from './uuid.ts'
import type { Volume } from './volume.ts'

/**
 * Disks under one RAID level, divided into partitions. The disks stay the caller's: `close` does not
 * close them. Changes run one after another, in the order in which they were asked for.
 */
export class DiskArray {
  /** Its disks that come and go. */
  readonly upkeep: ArrayUpkeep
  readonly #members: ArrayMembers
  readonly #storage: ArrayStorage
  readonly #journal: AtomicJournal
  readonly #open = new Map<string, PartitionVolume>()
  readonly #activity = { operations: 0 }
  #changes: Promise<unknown> = Promise.resolve()

  private constructor(members: ArrayMembers, storage: ArrayStorage, options: DiskArrayOptions) {
    const { outside = [], hooks = {} } = options
    this.#members = members
    this.#storage = storage
    this.upkeep = new ArrayUpkeep({
      members,
      storage,
      outside,
      ranges: () => this.#memberRanges(),
      hostOperations: () => this.#activity.operations,
      onEvent: (message) => hooks.onEvent?.(this, { message, isLoss: false }),
      clock: hooks.clock,
    })
    this.#journal = new AtomicJournal({
      arrayId: this.id,
      disks: storage.journalDisks,
      partition: (id) => {
        const found = this.partitions.find((one) => one.id === id)
        return found && new PartitionVolume(this.#volumeOptions(found))
      },
    })
  }

  /**
   * For array.ts and assembly.ts: the array of these disks, whose labels hold this description, or the one
   * before it. Brings labels up to date, and finishes what a crash has cut short. Rejects with Error.
   */
  static async open(options: DiskArrayOptions): Promise<DiskArray> {
    const { description, disks, behind = [], hooks = {} } = options
    let onLost = (_number: number, _disk: Volume, _cause: Error) => {}
    const members = new ArrayMembers({
      description,
      disks,
      onLost: (number, disk, cause) => onLost(number, disk, cause),
      clock: hooks.clock,
      answerTimeoutMs: hooks.answerTimeoutMs,
    })
    const missing = disks.flatMap((disk, number) => {
      const isMissing = disk === null && description.members[number]!.state !== 'absent'
      return isMissing ? [number] : []
    })
    await members.complete(behind, missing)
    const storage = await ArrayStorage.open(members, hooks.clock)
    const array = new DiskArray(members, storage, options)
    onLost = (number, disk, { message }) => {
      array.upkeep.lost(disk)
      const text = `member ${number}, ${disk.name}, was taken out: ${message}`
      hooks.onEvent?.(array, { message: text, isLoss: true })
    }
    await array.#journal.recover()
    array.upkeep.start()
    return array
  }

  /** The disks that are its members, in member order. */
  get disks(): readonly Volume[] {
    return this.#members.present()
  }

  /** Its members, and their disks where there are any. */
  get members(): readonly { readonly disk: Volume | null; readonly state: MemberState }[] {
    return this.#description.members.map(({ state }, number) => ({
      disk: this.#members.disks[number]!,
      state,
    }))
  }

  /** How many bytes a disk must have to be a member. */
  get memberSizeBytes(): number {
    const { data } = this.#description.areas
    return data.offset + data.length
  }

  /** How many of them are the array's data. */
  get memberDataBytes(): number {
    return this.#description.areas.data.length
  }

  get hasParity(): boolean {
    return this.level === 'raid5' || this.level === 'raid6'
  }

  get hasChecksums(): boolean {
    return this.#description.areas.checksums.length > 0
  }

  /** How many members' bytes a row has: a row is a chunk of each of them. */
  get rowSizeBytes(): number {
    return rowSpace(this.#description).rowSizeBytes
  }

  get #description(): ArrayDescription {
    return this.#members.description
  }

  /** What a person should look at; null if nothing. */
  get problem(): string | null {
    const { unfinished } = this.#journal
    const { problem } = this.upkeep
    if (problem !== null) return problem
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

  get generation(): number {
    return this.#description.generation
  }

  /** What partitions can have in all. */
  get sizeBytes(): number {
    return this.#storage.volume.sizeBytes
  }

  /** What is not in a partition; they take whole rows. */
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
      refuseIf('invalid-request', uuidProblem(id))
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
    const { sealed } = this.#members
    if (sealed !== null) throw new ArrayError('storage-failed', sealed)
    if (this.#open.has(id)) {
      throw new ArrayError('in-use', `partition ${name} of array ${this.name} is open already`)
    }
    const volume = new PartitionVolume({
      ...this.#volumeOptions(partition),
      activity: this.#activity,
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
      await this.#members.update((now) => ({ ...now, state: 'destroyed' }))
      await this.#end(`array ${this.name} has been destroyed`)
      // From here on it is none, whatever is left of its labels.
      const disks = [...this.disks, ...this.upkeep.outside]
      await eraseAllLabels(disks.map((disk) => this.#members.accessTo(disk)))
    })
  }

  /** Closes its partitions, after changes under way. The disks stay open. */
  async close(): Promise<void> {
    await this.#changes
    await Promise.all([...this.#open.values()].map((partition) => partition.close()))
    await this.#end(`array ${this.name} is closed`)
  }

  /** Uses its disks no more. */
  async #end(reason: string): Promise<void> {
    await this.upkeep.close()
    await this.#storage.close()
    await this.#members.idle()
    this.#members.seal(reason)
  }

  #change<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(() => {
      const { sealed } = this.#members
      if (sealed !== null) throw new ArrayError('storage-failed', sealed)
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
    const { members } = this.#description
    if (labelLength({ members, partitions }) > LABEL_SLOT_BYTES) {
      throw new ArrayError('no-space', `the partition table of array ${this.name} is full`)
    }
    try {
      await this.#discard(added)
    } catch (error) {
      const message = `new space of array ${this.name} could not be cleared: ${(error as Error).message}`
      throw new ArrayError('storage-failed', message, { cause: error })
    }
    await this.#members.update((now) => ({ ...now, partitions }))
  }

  async #discard(extents: readonly RowExtent[]): Promise<void> {
    if (extents.length === 0) return
    const { volume } = this.#storage
    for (const { offset, length } of this.#byteExtents(extents)) {
      await settled((completion) => volume.discard(offset, length, completion))
    }
    await settled((completion) => volume.flush(completion))
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

  /** What partitions have of each member's data, in order of place. */
  #memberRanges(): ByteExtent[] {
    const { chunkSizeBytes } = this
    return this.partitions
      .flatMap(({ extents }) => extents)
      .sort((a, b) => a.startRow - b.startRow)
      .map(({ startRow, rowCount }) => ({
        offset: startRow * chunkSizeBytes,
        length: rowCount * chunkSizeBytes,
      }))
  }

  #volumeOptions({ id, name, extents, sizeBytes, blockFormat }: PartitionEntry) {
    return {
      id,
      name: this.#volumeName(name),
      array: this.#storage.volume,
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
