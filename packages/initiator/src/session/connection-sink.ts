/**
 * The seam between the sans-I/O session layer and whatever carries its bytes (initiator/net, or a
 * test). Output is gathered: PDUs lie side by side, header and data adjacent, in a slab that the sink
 * owns, and leave together. Large data are lent to it instead.
 */

export interface ConnectionSink {
  /**
   * The slab that `reserve` last answered for. Read it again after each `reserve`: it may have been
   * changed for an empty one.
   */
  readonly slab: Buffer
  /**
   * Makes `length` contiguous bytes of `slab` free to write, and returns their position. They hold
   * anything (old data too), and nothing is sent until `commit`. `length` is at most `slabMaxBytes`.
   */
  reserve(length: number): number
  /** Queues the first `length` bytes of what was reserved. */
  commit(length: number): void
  /**
   * As `commit`, and queues `dataLength` bytes at `data[position]` behind those. The data are lent, not copied:
   * they must stay as they are until `sentBytes` has reached the figure that is returned.
   */
  commitLent(length: number, data: Buffer, position: number, dataLength: number): number
  /** Bytes that the network has taken, since the beginning. */
  readonly sentBytes: number
  /** The longest that can be reserved. */
  readonly slabMaxBytes: number
  /**
   * Bytes committed but not yet taken by the network. Above `backlogLimitBytes` the connection sends
   * no more commands or data until its `onDrain`.
   */
  readonly backlogBytes: number
  readonly backlogLimitBytes: number
  /** Whether something is committed that leaves with the next write. */
  readonly hasUnsent: boolean
  /**
   * Sends what is committed, then closes; lent data are not sent any more. Nothing may be reserved
   * afterwards.
   */
  close(): void
}
