/** Partitions as logical units of the device server: each host sees those that it has been granted. */
import { parseName } from '@platter/protocol/iscsi'
import type { Grant } from './grant.ts'
import type { PartitionServer, ServedPartition } from './partition-server.ts'
import type { ReservationFile } from './reservation-file.ts'
import type { SanitizeStates } from './sanitize-states.ts'
import { DeviceServer } from './scsi/device-server.ts'
import { LogicalUnit } from './scsi/logical-unit.ts'
import type { UnitView } from './scsi/nexus.ts'

/** Larger writes have whole rows enough in what comes at once. */
const GATHERED_WRITE_MAX_BYTES = 4 * 1024 * 1024

export interface ServedUnitsOptions {
  readonly reservations: ReservationFile
  readonly sanitizes: SanitizeStates
  /** What the host with this name, in its normal form, has been granted. */
  readonly grantsOf: (host: string) => readonly Grant[]
}

export class ServedUnits implements PartitionServer {
  readonly devices = new DeviceServer((port) => this.#viewOf(port))
  readonly #reservations: ReservationFile
  readonly #sanitizes: SanitizeStates
  readonly #grantsOf: (host: string) => readonly Grant[]
  /** By partition id. */
  readonly #units = new Map<string, LogicalUnit>()

  constructor(options: ServedUnitsOptions) {
    this.#reservations = options.reservations
    this.#sanitizes = options.sanitizes
    this.#grantsOf = options.grantsOf
  }

  show(partition: ServedPartition): void {
    const { id, name, volume } = partition
    const unit = new LogicalUnit({
      volume,
      atomicWriter: volume,
      uuid: id,
      name,
      blockSizeBytes: volume.blockSizeBytes,
      physicalBlockExponent: Math.log2(partition.physicalBlockSizeBytes / volume.blockSizeBytes),
      optimalTransferGranularityBytes: partition.chunkSizeBytes,
      optimalTransferBytes: partition.stripeSizeBytes,
      gatheredWriteBytesMax: partition.prefersWholeWrites ? GATHERED_WRITE_MAX_BYTES : 0,
      reservationKeeper: this.#reservations.keeperOf(id),
      sanitizeStore: this.#sanitizes.storeOf(id),
    })
    this.#units.set(id, unit)
    // What a crash has left of hosts that had lost the partition ends now.
    this.devices.endForeignReservations(unit, () => {})
    this.devices.viewsChanged(() => {})
  }

  grown(id: string): void {
    const unit = this.#units.get(id)
    if (unit !== undefined) this.devices.capacityChanged(unit)
  }

  async hide(id: string): Promise<void> {
    this.#units.get(id)?.sanitizer.suspend()
    this.#units.delete(id)
    await this.grantsChanged()
  }

  /** Hosts see what they are granted now; resolves when none does any more what it may not. */
  async grantsChanged(): Promise<void> {
    await new Promise<void>((resolve) => this.devices.viewsChanged(resolve))
    for (const unit of this.#units.values()) {
      await new Promise<void>((resolve) => this.devices.endForeignReservations(unit, resolve))
    }
  }

  /** The volumes are about to be closed: nothing of the units' own may be at them any more. */
  suspend(): void {
    for (const unit of this.#units.values()) unit.sanitizer.suspend()
  }

  forget(id: string): void {
    this.#reservations.forget(id)
  }

  #viewOf(initiatorPort: string): UnitView {
    const byLun = new Map<number, LogicalUnit>()
    const readOnly = new Set<LogicalUnit>()
    for (const { partition, lun, access } of this.#grantsOf(hostOf(initiatorPort))) {
      const unit = this.#units.get(partition)
      if (unit === undefined) continue
      byLun.set(lun, unit)
      if (access === 'read-only') readOnly.add(unit)
    }
    return { byLun, readOnly }
  }
}

/** The iSCSI name, in its normal form, of an initiator port (SAM-5 annex A: `NAME,i,0xISID`). */
function hostOf(initiatorPort: string): string {
  const name = initiatorPort.slice(0, initiatorPort.lastIndexOf(',i,0x'))
  return parseName(name)?.name ?? name
}
