/**
 * Where members may differ: the promise that a crash never leaves copies apart without the array knowing
 * where to look. Ranges are bytes of the members' volumes, the same for all of them.
 */
import type { IoCompletion } from '../volume.ts'

/**
 * A write to several members begins only when its range is known, durably, as one in which they may differ.
 * What is known so stays so until all of it has been flushed to all members, none of them absent.
 */
export interface WriteIntents {
  /**
   * Whether a write may begin that will have ended before this turn of the event loop does: the form for
   * `writeNow`. It counts as one that the next flush is to cover.
   */
  beginNow(offset: number, length: number): boolean
  /** Reports null when the write may begin: `end` must follow. An error if that cannot be made durable. */
  begin(offset: number, length: number, completion: IoCompletion): void
  /** The write that `begin` was for has ended, well or not. */
  end(offset: number, length: number): void
  /**
   * A member that missed a write had to stay, so that members may differ though all writes have ended: what
   * is known of now stays known until the array is next opened, and finds out.
   */
  holdMarks(): void
}
