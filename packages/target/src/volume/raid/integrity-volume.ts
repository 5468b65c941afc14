/** Checksums of a member's data, kept apart from them: what was not written there is not read there. */
import { assertRange } from '../range.ts'
import { settled } from '../settled.ts'
import { type HoleMap, type IoCompletion, type Volume, VolumeError } from '../volume.ts'
import { ChecksumCache } from './checksum-cache.ts'
import {
  BLOCKS_PER_PAGE,
  blockChecksum,
  CHECKED_BLOCK_BYTES,
  checksumAreaBytes,
} from './checksum-page.ts'
import { type FlushOwner, IntegrityFlush } from './integrity-flush.ts'
import { type CheckedData, IntegrityTransfer } from './integrity-transfer.ts'
import type { BlockChecks, MemberVolume } from './member.ts'
import { RangeLocks } from './range-locks.ts'
import { adoptBlocks, blocksFit } from './stored-checksums.ts'

const BLOCK_MASK = CHECKED_BLOCK_BYTES - 1
const CACHE_BYTES_MAX = 16 * 1024 * 1024

/** What is to be checked, and what it is checked by. */
export interface IntegrityVolumeOptions {
  readonly data: Volume
  /** At least `checksumAreaBytes` of the data's size. */
  readonly checksums: Volume
  /** Memory for pages of checksums, each of 4 KiB and for 4 MiB of data; 16 MiB if not given. */
  readonly cacheBytesMax?: number
  /** A flush of the data flushes the checksums too: one is enough. False if not given. */
  readonly areOnOneDisk?: boolean
}

/**
 * A CRC32C for each 4 KiB block. A read that meets a block whose bytes are not those last written fails with
 * a VolumeError for that block, and `mismatchCount` counts it; so what is above can mend it by writing the
 * block anew. Reads and writes of parts of a block read all of it.
 *
 * - A write that failed leaves the checksum as it was: the block then reads as before the write, or fails.
 * - A write of a part of a block that is wrong already, or cannot be read, leaves it wrong: it goes on to
 *   fail until all of it has been written.
 * - Checksums are set in memory, and written with the next flush, if not before for want of room. So after a
 *   crash they may be wrong where data were written since the last flush: such blocks cannot be read until
 *   they are written, or adopted.
 *
 * Its size is the whole blocks of the data. It owns both volumes: closing it closes them.
 */
export class IntegrityVolume implements MemberVolume, FlushOwner, BlockChecks {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  readonly checks: BlockChecks = this
  readonly #checked: CheckedData
  readonly #checksums: Volume
  readonly #areOnOneDisk: boolean
  /** A block of which `readNow` was asked for a part. */
  readonly #edge = Buffer.allocUnsafeSlow(CHECKED_BLOCK_BYTES)
  readonly #freeTransfers: IntegrityTransfer[] = []
  readonly #freeFlushes: IntegrityFlush[] = []
  #inFlight = 0
  readonly #idleWaiters: (() => void)[] = []

  constructor(options: IntegrityVolumeOptions) {
    const { data, checksums, cacheBytesMax = CACHE_BYTES_MAX } = options
    this.name = data.name
    this.blockSizeBytes = data.blockSizeBytes
    this.sizeBytes = data.sizeBytes - (data.sizeBytes % CHECKED_BLOCK_BYTES)
    const wanted = checksumAreaBytes(this.sizeBytes)
    if (checksums.sizeBytes < wanted) {
      throw new RangeError(
        `${checksums.sizeBytes} bytes for the checksums of ${this.name}, wanted ${wanted}`,
      )
    }
    this.#checksums = checksums
    this.#areOnOneDisk = options.areOnOneDisk ?? false
    this.#checked = {
      name: this.name,
      data,
      cache: new ChecksumCache(checksums, cacheBytesMax),
      locks: new RangeLocks(),
      mismatchCount: 0,
      transferEnded: (transfer, error) => this.#transferEnded(transfer, error),
    }
  }

  /** How many times a block was met that is not what was written there, by reads and by writes of its parts. */
  get mismatchCount(): number {
    return this.#checked.mismatchCount
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    for (let done = 0; done < length; ) {
      const at = offset + done
      const within = at & BLOCK_MASK
      const left = length - done
      if (within === 0 && left >= CHECKED_BLOCK_BYTES) {
        const count = left - (left & BLOCK_MASK)
        if (!this.#readBlocksNow(at, into, position + done, count)) return false
        done += count
      } else {
        const count = Math.min(CHECKED_BLOCK_BYTES - within, left)
        if (!this.#readBlocksNow(at - within, this.#edge, 0, CHECKED_BLOCK_BYTES)) return false
        this.#edge.copy(into, position + done, within, within + count)
        done += count
      }
    }
    return true
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (((offset | length) & BLOCK_MASK) !== 0) return false
    if (length === 0) return true
    const { data, cache, locks } = this.#checked
    const first = offset / CHECKED_BLOCK_BYTES
    const end = first + length / CHECKED_BLOCK_BYTES
    // Those of one page only: to ask for a second could give up the first.
    const isOnePage =
      Math.floor(first / BLOCKS_PER_PAGE) === Math.floor((end - 1) / BLOCKS_PER_PAGE)
    if (!isOnePage || !locks.isFree(offset, length)) return false
    const page = cache.find(first)
    if (page === null || !data.writeNow(offset, from, position, length)) return false
    for (let block = first, at = position; block < end; block++, at += CHECKED_BLOCK_BYTES) {
      cache.set(page, block, blockChecksum(from, at))
    }
    return true
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#start('read', offset, into, position, length, completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#start('write', offset, from, position, length, completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    this.#start('discard', offset, this.#edge, 0, length, completion)
  }

  /** Writes the checksums that were set, then flushes data and checksums. */
  flush(completion: IoCompletion): void {
    this.#inFlight++
    const flush = this.#freeFlushes.pop() ?? new IntegrityFlush(this)
    flush.completion = completion
    if (this.#checked.cache.flushNow()) this.checksumsWritten(flush)
    else this.#checked.cache.flush(flush)
  }

  /** What is a hole in the data. */
  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    this.#checked.data.locateHoles(offset, length, map, completion)
  }

  adopt(offset: number, length: number): Promise<void> {
    assertBlocks(this, offset, length)
    return this.#whileInFlight(adoptBlocks(this.#checked, offset, length))
  }

  fits(offset: number, from: Buffer, position: number, length: number): Promise<boolean> {
    assertBlocks(this, offset, length)
    return this.#whileInFlight(blocksFit(this.#checked, offset, from, position, length))
  }

  async close(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve))
    const { data, cache } = this.#checked
    try {
      if (!cache.flushNow()) await settled((completion) => cache.flush(completion))
    } finally {
      await Promise.all([data.close(), this.#checksums.close()])
    }
  }

  /** Called by IntegrityFlush, and where there was nothing to wait for. */
  checksumsWritten(flush: IntegrityFlush): void {
    flush.pending = this.#areOnOneDisk ? 1 : 2
    if (!this.#areOnOneDisk) this.#checksums.flush(flush)
    this.#checked.data.flush(flush)
  }

  /** Called by IntegrityFlush only. */
  flushEnded(flush: IntegrityFlush, error: VolumeError | null): void {
    const completion = flush.completion!
    flush.completion = null
    this.#freeFlushes.push(flush)
    const failure = error === null ? null : new VolumeError('flush', this.name, 0, error.cause)
    this.#end(completion, failure)
  }

  #start(
    op: IntegrityTransfer['op'],
    offset: number,
    buffer: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    if (length === 0) {
      process.nextTick(reportSuccess, completion)
      return
    }
    this.#inFlight++
    const transfer = this.#freeTransfers.pop() ?? new IntegrityTransfer(this.#checked)
    transfer.op = op
    transfer.setRange(offset, length)
    transfer.buffer = buffer
    transfer.position = position
    transfer.completion = completion
    transfer.begin()
  }

  #transferEnded(transfer: IntegrityTransfer, error: VolumeError | null): void {
    const completion = transfer.completion!
    transfer.completion = null
    this.#freeTransfers.push(transfer)
    this.#end(completion, error)
  }

  async #whileInFlight<T>(work: Promise<T>): Promise<T> {
    this.#inFlight++
    try {
      return await work
    } finally {
      this.#inFlight--
      this.#wakeIfIdle()
    }
  }

  #end(completion: IoCompletion, error: VolumeError | null): void {
    this.#inFlight--
    completion.ioCompleted(error)
    this.#wakeIfIdle()
  }

  #wakeIfIdle(): void {
    if (this.#inFlight > 0 || this.#idleWaiters.length === 0) return
    for (const wake of this.#idleWaiters.splice(0)) wake()
  }

  #readBlocksNow(offset: number, into: Buffer, position: number, length: number): boolean {
    const { data, cache } = this.#checked
    if (!data.readNow(offset, into, position, length)) return false
    for (let done = 0; done < length; done += CHECKED_BLOCK_BYTES) {
      const block = (offset + done) / CHECKED_BLOCK_BYTES
      const page = cache.find(block)
      if (page?.checksumOf(block) !== blockChecksum(into, position + done)) return false
    }
    return true
  }
}

function assertBlocks(volume: Volume, offset: number, length: number): void {
  assertRange(volume, offset, length)
  if (((offset | length) & BLOCK_MASK) === 0) return
  throw new RangeError(`${length} bytes at ${offset} of ${volume.name} are no whole blocks`)
}

function reportSuccess(completion: IoCompletion): void {
  completion.ioCompleted(null)
}
