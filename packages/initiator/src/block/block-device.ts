/**
 * A block device as the host side sees it, whatever is behind it. FUSE drivers and library users
 * know only this.
 */

/** Outcome of one operation: null, or the first error of any of its parts. */
export type BlockDone = (error: Error | null) => void

/**
 * A random-access device of `sizeBytes`. Any byte range may be read or written: edges that do not
 * fall on blocks are read, changed and written back, serialised against their neighbours, so that
 * concurrent writers of the two halves of a block both keep their bytes.
 *
 * Operations may be started in any number; the device bounds what it has in flight and queues the
 * rest. Buffers belong to the device from the call until `done`. A range beyond the end is an error
 * (RangeError, thrown at once); so is anything after `close`.
 */
export interface BlockDevice {
  /** The partition's name, a valid file name. */
  readonly name: string
  readonly sizeBytes: number
  /** The smallest unit the device itself reads and writes. */
  readonly blockSizeBytes: number
  /** A length and alignment that the device handles best; splitting follows it. */
  readonly optimalTransferBytes: number
  readonly readOnly: boolean

  read(offset: number, into: Buffer, position: number, length: number, done: BlockDone): void
  write(offset: number, from: Buffer, position: number, length: number, done: BlockDone): void
  /** Every write that was done before this call is durable once `done(null)` is called. */
  flush(done: BlockDone): void
  /** The range reads as zeros or as before, as the device prefers; whole blocks only. */
  discard(offset: number, length: number, done: BlockDone): void
  close(): Promise<void>
}
