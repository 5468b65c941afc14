/**
 * The seam between the sans-I/O session layer and whatever carries its bytes (target/net, or a test).
 *
 * Output is gathered: PDUs are laid out side by side in a slab that the sink owns, and go to the
 * socket once for each batch of input. The session reserves room, fills it in place (a cached read
 * lands there straight from the disk file: one copy in all), and commits. Data that come later, from
 * a disk, land in a slab of their own, taken with `takeSlab` and sent with `sendSlab`.
 */

/** Why a connection ended, for the log and for counters. */
export type CloseReason =
  | 'logout'
  | 'login-failed'
  | 'protocol-error'
  | 'reinstated'
  | 'session-ended'
  | 'timeout'
  | 'peer-closed'
  | 'shutdown'
  | 'internal-error'

export interface ConnectionSink {
  /**
   * The slab that `reserve` last answered for. Read it again after each `reserve`: it may have been
   * changed for an empty one.
   */
  readonly slab: Buffer
  /**
   * Makes `length` contiguous bytes of `slab` free to write and returns their position. They hold
   * anything (old data too), and nothing is sent until `commit`. A second reserve without a commit
   * answers with the same position. `length` is at most `slabMaxBytes`.
   */
  reserve(length: number): number
  /** Queues the first `length` bytes of what was reserved. */
  commit(length: number): void
  /** The longest that can be reserved: one PDU of the longest segment we send, with header and digests. */
  readonly slabMaxBytes: number
  /**
   * Bytes committed but not yet taken by the network. Above `backlogLimitBytes` the session stops
   * taking in PDUs and starting reads, until `TargetConnection.onDrain`.
   */
  readonly backlogBytes: number
  readonly backlogLimitBytes: number
  /** A buffer of at least `length` bytes for data that arrive later, or undefined when the budget is spent. */
  takeSlab(length: number): Buffer | undefined
  /** Queues the first `length` bytes of a slab from `takeSlab`, and takes it back. */
  sendSlab(slab: Buffer, length: number): void
  /** Gives a slab from `takeSlab` back unsent. */
  returnSlab(slab: Buffer): void
  /** `TargetConnection.paused` has become false: input that is held, and more, may come. */
  resumeInput(): void
  /** Sends what is committed, then closes. Nothing may be reserved afterwards. */
  close(reason: CloseReason, detail: string): void
}
