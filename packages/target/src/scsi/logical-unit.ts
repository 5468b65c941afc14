/** One logical unit: a Volume with an identity, limits, mode parameters, and what is reserved of it. */
import { RotationRate } from '@platter/protocol/scsi'
import type { AtomicWriter, Volume } from '../volume/volume.ts'
import { BlockAccess } from './block-access.ts'
import { DataOutBudget } from './data-out-budget.ts'
import type { ReservationKeeper } from './kept-reservations.ts'
import { Reservations } from './reservations.ts'
import { Sanitizer, type SanitizeStore } from './sanitizer.ts'
import { TaskSet } from './task-set.ts'

/** MAXIMUM TRANSFER LENGTH: what one READ, WRITE and their like may move. */
export const TRANSFER_MAX_BYTES = 16 * 1024 * 1024
/** MAXIMUM UNMAP LBA COUNT: a disk without holes writes zeros instead, and must be done in time. */
const UNMAP_MAX_BYTES = 256 * 1024 * 1024
/** MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT. */
export const UNMAP_DESCRIPTORS_MAX = 256
/** MAXIMUM COMPARE AND WRITE LENGTH: twice as much is gathered before the blocks are looked at. */
const COMPARE_AND_WRITE_MAX_BYTES = 32 * 1024
/** Two of the largest commands that are atomic, or many usual ones. */
const DATA_OUT_BUDGET_BYTES = 2 * TRANSFER_MAX_BYTES
/** What file systems allocate and free. */
const UNMAP_GRANULARITY_BYTES = 4096
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export interface LogicalUnitOptions {
  readonly volume: Volume
  /** Of the same bytes as `volume`; without one, no length is short enough for WRITE ATOMIC. */
  readonly atomicWriter?: AtomicWriter
  /** The partition's UUID in lower case with hyphens; every identifier of the unit comes from it. */
  readonly uuid: string
  /** The partition's name, at most 255 bytes of UTF-8; for people, not for identification. */
  readonly name: string
  /** Logical block size; a multiple of the volume's. */
  readonly blockSizeBytes?: number
  /** 2^n logical blocks make a physical block. */
  readonly physicalBlockExponent?: number
  /** What transfers are best made a multiple of, such as an array's chunk. */
  readonly optimalTransferGranularityBytes?: number
  /** The length of the best transfer, such as an array's stripe. */
  readonly optimalTransferBytes?: number
  /** Writes of up to so many bytes are handed to the volume as one; all as their data come, if not given. */
  readonly gatheredWriteBytesMax?: number
  /** Revolutions per minute, or a RotationRate. */
  readonly rotationRate?: number
  readonly writeProtected?: boolean
  /** Where a sanitize operation outlasts the server; without it, it ends with the process. */
  readonly sanitizeStore?: SanitizeStore
  /** How fast SANITIZE overwrites. */
  readonly sanitizeBytesPerSecond?: number
  /** Without one, persistent reservations end with the server. */
  readonly reservationKeeper?: ReservationKeeper
}

export class LogicalUnit {
  readonly volume: Volume
  readonly atomicWriter: AtomicWriter | null
  readonly uuid: string
  readonly name: string
  readonly blockSizeBytes: number
  readonly physicalBlockExponent: number
  readonly optimalTransferGranularityBlocks: number
  readonly optimalTransferBlocks: number
  readonly transferBlocksMax: number
  readonly compareAndWriteBlocksMax: number
  readonly unmapBlocksMax: number
  readonly optimalUnmapGranularityBlocks: number
  /** MAXIMUM WRITE SAME LENGTH: these blocks are written on every disk, and must be done in time. */
  readonly writeSameBlocksMax: number
  /** MAXIMUM ATOMIC TRANSFER LENGTH. */
  readonly atomicBlocksMax: number
  readonly gatheredWriteBytesMax: number
  readonly rotationRate: number
  readonly reservations: Reservations
  readonly reservationKeeper: ReservationKeeper | null
  /** D_SENSE: sense data are in descriptor format. */
  descriptorSense = false
  /** WCE: a write is GOOD before it is on the disks. */
  writeCacheEnabled = true
  /** SWP: hosts have asked for write protection. */
  softwareWriteProtect = false
  /** Which of its commands may begin. */
  readonly taskSet = new TaskSet()
  /** Who is at its blocks. */
  readonly blockAccess = new BlockAccess()
  /** What its commands may gather before they act. */
  readonly dataOutBudget = new DataOutBudget(DATA_OUT_BUDGET_BYTES)
  readonly sanitizer: Sanitizer
  readonly #writeProtected: boolean
  #capacityBlocks = 0

  /** Throws a RangeError when the volume cannot hold blocks of that size, or the UUID is none. */
  constructor(options: LogicalUnitOptions) {
    this.volume = options.volume
    this.atomicWriter = options.atomicWriter ?? null
    this.uuid = options.uuid
    this.name = options.name
    this.blockSizeBytes = options.blockSizeBytes ?? 512
    this.physicalBlockExponent = options.physicalBlockExponent ?? 0
    this.gatheredWriteBytesMax = options.gatheredWriteBytesMax ?? 0
    this.rotationRate = options.rotationRate ?? RotationRate.NonRotating
    this.reservationKeeper = options.reservationKeeper ?? null
    this.reservations = new Reservations(this.reservationKeeper?.kept)
    this.#writeProtected = options.writeProtected ?? false
    if (this.blockSizeBytes % this.volume.blockSizeBytes !== 0) {
      throw new RangeError(
        `${this.volume.name}: got logical blocks of ${this.blockSizeBytes} bytes, want a multiple of ${this.volume.blockSizeBytes}`,
      )
    }
    if (!UUID.test(this.uuid)) throw new RangeError(`${this.volume.name}: got UUID ${this.uuid}`)
    this.transferBlocksMax = TRANSFER_MAX_BYTES / this.blockSizeBytes
    this.compareAndWriteBlocksMax = Math.min(0xff, this.#blocks(COMPARE_AND_WRITE_MAX_BYTES))
    this.unmapBlocksMax = this.#blocks(UNMAP_MAX_BYTES)
    this.optimalUnmapGranularityBlocks = Math.max(1, this.#blocks(UNMAP_GRANULARITY_BYTES))
    this.writeSameBlocksMax = this.transferBlocksMax
    this.atomicBlocksMax = this.#blocks(this.atomicWriter?.atomicWriteMaxBytes)
    this.optimalTransferBlocks = Math.min(
      this.transferBlocksMax,
      this.#blocks(options.optimalTransferBytes),
    )
    this.optimalTransferGranularityBlocks = Math.min(
      0xffff,
      this.#blocks(options.optimalTransferGranularityBytes),
    )
    this.refreshCapacity()
    this.sanitizer = new Sanitizer({
      volume: this.volume,
      blockSizeBytes: this.blockSizeBytes,
      blockAccess: this.blockAccess,
      store: options.sanitizeStore,
      bytesPerSecond: options.sanitizeBytesPerSecond,
    })
  }

  /** Whether writes are refused, because of how it is served or by a host's wish. */
  get writeProtected(): boolean {
    return this.#writeProtected || this.softwareWriteProtect
  }

  /** A reset: a RESERVE ends, and mode parameters are as by default. Persistent reservations stay. */
  reset(): void {
    this.reservations.endReserve()
    this.descriptorSense = false
    this.writeCacheEnabled = true
    this.softwareWriteProtect = false
  }

  /** The number of blocks, as last told to the hosts: one more than the last LBA. */
  get capacityBlocks(): number {
    return this.#capacityBlocks
  }

  /** Takes over the volume's size after it has grown. */
  refreshCapacity(): void {
    this.#capacityBlocks = Math.floor(this.volume.sizeBytes / this.blockSizeBytes)
    if (this.#capacityBlocks < 1) {
      throw new RangeError(
        `${this.volume.name}: got ${this.volume.sizeBytes} bytes, want a block of ${this.blockSizeBytes} at least`,
      )
    }
  }

  #blocks(bytes: number | undefined): number {
    return Math.floor((bytes ?? 0) / this.blockSizeBytes)
  }
}
