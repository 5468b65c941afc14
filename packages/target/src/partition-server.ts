/** What serves the partitions that Inventory has: SCSI, as it is, though Inventory does not know that. */
import type { AtomicWriter, Volume } from './volume/volume.ts'

/** A partition that is open, and can be served. */
export interface ServedPartition {
  readonly id: string
  readonly name: string
  /** Its blocks are the logical ones. */
  readonly volume: Volume & AtomicWriter
  readonly physicalBlockSizeBytes: number
  readonly chunkSizeBytes: number
  /** A row of its array: a chunk of every disk, less parity and copies. */
  readonly stripeSizeBytes: number
  /** Parts of a row are written the slower. */
  readonly prefersWholeWrites: boolean
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
