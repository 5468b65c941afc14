/**
 * The contract between storage and those who use it: an array of bytes that can be read, written,
 * flushed and discarded. Disk files, RAID levels, partitions and fault injection are all Volumes,
 * and most of them wrap other Volumes. Nothing here knows SCSI or iSCSI.
 */

/**
 * Why a Volume operation failed. `op` is what was asked, `volume` names whose disk or array it was,
 * `offset` is the byte offset within that volume; `cause` is the system's error, if there was one.
 */
export class VolumeError extends Error {
  override readonly name = 'VolumeError'
  readonly op: 'read' | 'write' | 'flush' | 'discard' | 'locate' | 'open'
  readonly volume: string
  readonly offset: number

  constructor(op: VolumeError['op'], volume: string, offset: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    super(`${op} failed on ${volume} at byte ${offset}: ${reason}`, { cause })
    this.op = op
    this.volume = volume
    this.offset = offset
  }
}

/**
 * Is told when an operation that could not finish at once is over. Long-lived records implement it
 * (a task, a fan-in), so that no closure or promise is made for each operation.
 */
export interface IoCompletion {
  /**
   * Called exactly once for each operation started, never from within the call that started it.
   * With several operations started for one completion, the calls come in any order.
   */
  ioCompleted(error: VolumeError | null): void
}

/** Whether so many bytes are a hole: nothing is stored of them, and they read as zeros. */
export interface Run {
  readonly isHole: boolean
  readonly length: number
}

/** Runs that follow each other from the beginning of a range: what `Volume.locateHoles` fills in. */
export class HoleMap {
  readonly runs: { isHole: boolean; length: number }[] = []
  /** The bytes of all runs. */
  length = 0
  /** It takes no more runs than these: one at least. */
  readonly runsMax: number

  constructor(runsMax: number) {
    this.runsMax = runsMax
  }

  /** Appends to the last run if it is of the same kind. False when the map is full: then nothing has happened. */
  add(isHole: boolean, length: number): boolean {
    const last = this.runs.at(-1)
    if (length > 0 && last?.isHole === isHole) last.length += length
    else if (length > 0) {
      if (this.runs.length === this.runsMax) return false
      this.runs.push({ isHole, length })
    }
    this.length += length
    return true
  }
}

/**
 * Bytes on storage. All offsets and lengths are in bytes, and are multiples of `blockSizeBytes`
 * within `[0, sizeBytes]`: a Volume never sees a partial block, and a caller that breaks this is
 * told by an assertion.
 *
 * Every transfer comes in two forms. The `…Now` form finishes before it returns, or does nothing
 * that counts and returns false: because it would have to wait for a disk, because something is in
 * the way (a failed member, a lock), or because this Volume has no such path. The caller then uses
 * the other form, which always reports through its completion, errors included. So the event loop
 * never waits for a disk, and data in the page cache never pay for a thread hand-over (10 to 20 us,
 * against 1.5 us for a cached 4 KiB read).
 */
export interface Volume {
  /** Names the volume in errors: a path, or an array's name. */
  readonly name: string
  /** Usable size; may grow while in use, never shrinks under a user. */
  readonly sizeBytes: number
  /** The smallest unit that may be read or written. */
  readonly blockSizeBytes: number

  /**
   * Reads `length` bytes at `offset` into `into[position …]`. When it returns false, the bytes of
   * that range of `into` are undefined.
   */
  readNow(offset: number, into: Buffer, position: number, length: number): boolean
  /**
   * Writes `length` bytes from `from[position …]` at `offset`; they are then readable by all, and
   * durable after the next flush. When it returns false some may have been written; the caller must
   * go on with `write` of the whole range (or report failure), as it would after a failed write.
   */
  writeNow(offset: number, from: Buffer, position: number, length: number): boolean

  /** As `readNow`, but may wait. `into` belongs to the volume until the completion is called. */
  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void
  /** As `writeNow`, but may wait. `from` belongs to the volume until the completion is called. */
  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void
  /**
   * Makes durable every write that completed before this call: they survive a crash of the process,
   * of the machine, and a loss of power.
   */
  flush(completion: IoCompletion): void
  /** Gives the range back to the storage below. It reads as zeros from then on. */
  discard(offset: number, length: number, completion: IoCompletion): void
  /**
   * Fills the empty `map` with the runs of `[offset, offset + length)`: of all of it, or of a beginning
   * when there are more of them than the map takes. What is not known to be a hole counts as data. The
   * map belongs to the volume until the completion is called.
   */
  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void

  /** Releases what is held (descriptors, locks) after what is in flight has ended. */
  close(): Promise<void>
}

/** A Volume, or something beside one, that can write many blocks as one. */
export interface AtomicWriter {
  /** The longest that `writeAtomic` takes. */
  readonly atomicWriteMaxBytes: number
  /**
   * As `write`, but whole or not at all, whenever the process or the machine ends, and durable when it is
   * reported. One that fails leaves all bytes as they were; or where not even that can be had of the
   * disks, all of them can be neither read nor written until it has been finished after all.
   */
  writeAtomic(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void
}
