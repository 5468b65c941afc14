/**
 * A block device as the host side sees it, whatever is behind it. FUSE drivers and library users
 * know only this.
 */

/** Outcome of one operation: null, or the first error of any of its parts. */
export type BlockDone = (error: Error | null) => void

/**
 * A random-access device. Operations may be started in any number: the device bounds what it has in
 * flight and queues the rest. A buffer belongs to the device from the call until `done`, which is
 * never called from within the call. A range beyond the end is a RangeError, thrown at once; what the
 * storage could not do comes as a BlockError.
 *
 * Of operations under way at the same time, writes that overlap are carried out one after another, in
 * the order of their calls; nothing else is said about order.
 */
export interface BlockDevice {
  /** The partition's name, a valid file name. */
  readonly name: string
  /** May grow while the device is in use. */
  readonly sizeBytes: number
  /** The smallest unit that the device itself reads and writes. */
  readonly blockSizeBytes: number
  readonly readOnly: boolean

  read(offset: number, into: Buffer, position: number, length: number, done: BlockDone): void
  write(offset: number, from: Buffer, position: number, length: number, done: BlockDone): void
  /**
   * Makes the bytes zeros, and lets the storage behind have their space back where it can. Counts as a
   * write; EOPNOTSUPP where the device has no command for it.
   */
  zero(offset: number, length: number, done: BlockDone): void
  /** Every write that was done before this call is durable once `done(null)` is called. */
  flush(done: BlockDone): void
}

/** Throws a RangeError unless `length` bytes at `offset` lie on the device. */
export function assertOnDevice(device: BlockDevice, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= device.sizeBytes) return
  const range = `bytes ${offset} to ${offset + length}`
  throw new RangeError(`${device.name}: ${range} are not on its ${device.sizeBytes} bytes`)
}
