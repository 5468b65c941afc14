/**
 * The disks of an array as its RAID level sees them, and what a level with redundancy can do beside being a
 * Volume. Labels, spares and the choice of disks are not its concern: they are behind these interfaces.
 */
import type { IoCompletion, Volume, VolumeError } from '../volume.ts'

/**
 * - in-sync: holds what it should
 * - rebuilding: takes every write, and may not be read, since it is still being filled
 * - absent: there is no disk
 */
export type MemberState = 'in-sync' | 'rebuilding' | 'absent'

/** One member. A live record: its state may change whenever the event loop has turned. */
export interface Member {
  /** From 0, in the whole array. */
  readonly number: number
  readonly state: MemberState
  /** The array's part of the disk, counted from 0. Null exactly while the member is absent. */
  readonly volume: MemberVolume | null
}

/** All members of an array have checks, or none. With them, a read gives what was last written, or an error. */
export interface MemberVolume extends Volume {
  readonly checks?: BlockChecks
}

/** What checksums of a member's blocks know. Ranges are whole blocks of 4 KiB. */
export interface BlockChecks {
  /**
   * What the disk holds there counts from now on, whatever was written; durably so after the next flush.
   * Rejects with VolumeError if it cannot be read, or its checksums cannot: then that may be true of a part.
   */
  adopt(offset: number, length: number): Promise<void>
  /**
   * Whether `from[position …]` is what was last written there. The data are not read, and `from` is not to be
   * changed meanwhile. Rejects with VolumeError if the checksums cannot be read.
   */
  fits(offset: number, from: Buffer, position: number, length: number): Promise<boolean>
}

/** Takes members out of the array. */
export interface MemberFailures {
  /**
   * Makes a member absent because an operation on it failed. Reports null once that is written in the labels
   * of the others, or if it is absent already; an error if the array cannot do without it, or the labels
   * cannot be written: then it stays as it is. A write that failed on the member is not answered before:
   * or else a restart could take the old bytes of that member for good ones.
   */
  fail(memberNumber: number, cause: VolumeError, completion: IoCompletion): void
}

/**
 * What a look at all copies of a range found. Byte offsets are those of the members' volumes.
 * - differing: bytes of 512-byte sectors in which the members did not agree, and now do
 * - repaired: ranges of a member that could not be read, or did not hold what was written there, and were
 *   written anew
 */
export interface ScrubFindings {
  readonly differingBytes: number
  readonly repaired: readonly RepairedRange[]
}

export interface RepairedRange {
  readonly memberNumber: number
  readonly offset: number
  readonly length: number
}

/**
 * A level that survives the loss of members. Reads of bytes that a member cannot give come from the others,
 * and are then written to that member again; a member that cannot be written is failed.
 */
export interface RedundantVolume extends Volume {
  /**
   * Makes the members that are there agree about `[offset, offset + length)` of each of them, rebuilding
   * ones included; writes of these bytes wait meanwhile. Rejects with VolumeError. Where a crash has left
   * nothing that is known to be right, what is there is right from now on; only there.
   */
  resync(offset: number, length: number): Promise<void>
  /** Reads all that the in-sync members hold of this range, and mends what is wrong. Rejects with VolumeError. */
  scrub(offset: number, length: number): Promise<ScrubFindings>
}
