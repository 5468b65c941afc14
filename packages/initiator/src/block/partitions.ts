/**
 * The units of one target as block devices, kept in step with what the target has: it is asked again
 * whenever a unit says that something has changed, and every now and then, for those that do not say.
 */
import { EventEmitter, on } from 'node:events'
import type { ScsiTransport } from '../session/scsi-transport.ts'
import type { BlockDevice } from './block-device.ts'
import { inspectUnit, listLuns } from './logical-unit.ts'
import { type DiskGeometry, ScsiDisk } from './scsi-disk.ts'
import { UnalignedDevice } from './unaligned-device.ts'

/** How often the target is asked when nothing has been said, in ms. */
const LOOK_MS = 30_000

/**
 * `removed`: the device's operations fail from now on. A partition of which more has changed than its
 * size is removed and added again, as another device.
 */
export interface PartitionChange {
  readonly kind: 'added' | 'removed' | 'resized'
  readonly device: BlockDevice
}

export interface PartitionsOptions {
  readonly transport: ScsiTransport
  /** The longest part that one command moves, in bytes: see part-size.ts. */
  partBytes(unit: DiskGeometry): number
}

interface Partition {
  readonly unit: DiskGeometry
  readonly disk: ScsiDisk
  readonly device: BlockDevice
}

export class Partitions {
  readonly #options: PartitionsOptions
  readonly #byLun = new Map<number, Partition>()
  readonly #events = new EventEmitter()
  /** Of looking at all units; null when it is not being done. */
  #looking: Promise<void> | null = null
  #lookAgain = false
  #closed = false
  #timer: NodeJS.Timeout | null = null

  private constructor(options: PartitionsOptions) {
    this.#options = options
    this.#events.setMaxListeners(0)
  }

  /** Rejects with a BlockError, or with a RangeError when what a unit says is not of the form. */
  static async open(options: PartitionsOptions): Promise<Partitions> {
    const partitions = new Partitions(options)
    await partitions.#compare()
    partitions.#lookLater()
    return partitions
  }

  /** In the order of their LUNs; no two have the same name. */
  get devices(): BlockDevice[] {
    const partitions = [...this.#byLun].sort(([one], [other]) => one - other)
    return partitions.map(([, { device }]) => device)
  }

  deviceAt(lun: number): BlockDevice | undefined {
    return this.#byLun.get(lun)?.device
  }

  /** What changes from now on, until `close`. */
  changes(): AsyncIterableIterator<PartitionChange> {
    return firstArguments(on(this.#events, 'change', { close: ['close'] }))
  }

  /** Something may have changed: asks the target, and again if that is said meanwhile. */
  look(): void {
    if (this.#closed) return
    this.#lookAgain = true
    this.#looking ??= this.#lookWhileAsked().finally(() => {
      this.#looking = null
      this.#lookLater()
    })
  }

  /** Asks no more; the iterations over `changes` end. */
  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#events.emit('close')
  }

  #lookLater(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (!this.#closed) this.#timer = setTimeout(() => this.look(), LOOK_MS).unref()
  }

  async #lookWhileAsked(): Promise<void> {
    while (this.#lookAgain && !this.#closed) {
      this.#lookAgain = false
      // A target that does not answer now is asked later; what is known of it stays.
      await this.#compare().catch(() => {})
    }
  }

  async #compare(): Promise<void> {
    const { transport } = this.#options
    const luns = await listLuns(transport)
    for (const lun of [...this.#byLun.keys()]) if (!luns.includes(lun)) this.#remove(lun)
    for (const lun of luns) {
      const unit = await inspectUnit(transport, lun)
      if (this.#closed) return
      this.#update(lun, unit)
    }
  }

  #update(lun: number, unit: DiskGeometry | undefined): void {
    const known = this.#byLun.get(lun)
    if (known !== undefined && unit !== undefined && isSameDisk(known.unit, unit)) {
      if (known.disk.growTo(unit.blockCount)) this.#tell('resized', known.device)
      return
    }
    if (known !== undefined) this.#remove(lun)
    if (unit !== undefined) this.#tell('added', this.#add(unit))
  }

  #add(unit: DiskGeometry): BlockDevice {
    const { transport, partBytes } = this.#options
    const disk = new ScsiDisk({
      transport,
      geometry: { ...unit, name: this.#freeName(unit) },
      partBytes: partBytes(unit),
      onAttention: () => this.look(),
    })
    const device = new UnalignedDevice(disk)
    this.#byLun.set(unit.lun, { unit, disk, device })
    return device
  }

  /** Arrays may have partitions of the same name; their LUNs tell them apart. */
  #freeName({ name, lun }: DiskGeometry): string {
    const isTaken = [...this.#byLun.values()].some(({ device }) => device.name === name)
    return isTaken ? `${name}.lun${lun}` : name
  }

  #remove(lun: number): void {
    const { device } = this.#byLun.get(lun) as Partition
    this.#byLun.delete(lun)
    this.#tell('removed', device)
  }

  #tell(kind: PartitionChange['kind'], device: BlockDevice): void {
    this.#events.emit('change', { kind, device } satisfies PartitionChange)
  }
}

/** Whether those who have it open may go on as if nothing had happened. */
function isSameDisk(one: DiskGeometry, other: DiskGeometry): boolean {
  return (
    one.identity === other.identity &&
    one.name === other.name &&
    one.blockSizeBytes === other.blockSizeBytes &&
    one.readOnly === other.readOnly
  )
}

async function* firstArguments(events: AsyncIterable<unknown[]>): AsyncGenerator<PartitionChange> {
  for await (const [change] of events) yield change as PartitionChange
}
