/** One read, write or discard on its way through an IntegrityVolume. */
import { type IoCompletion, type Volume, VolumeError } from '../volume.ts'
import { CheckedRange } from './checked-range.ts'
import type { ChecksumCache } from './checksum-cache.ts'
import {
  BLOCKS_PER_PAGE,
  blockChecksum,
  CHECKED_BLOCK_BYTES,
  type ChecksumPage,
} from './checksum-page.ts'
import type { LockedRange, RangeLocks } from './range-locks.ts'

/** What transfers work on. */
export interface CheckedData {
  readonly name: string
  readonly data: Volume
  readonly cache: ChecksumCache
  readonly locks: RangeLocks
  mismatchCount: number
  /** The transfer is over, and may be used again. */
  transferEnded(transfer: IntegrityTransfer, error: VolumeError | null): void
}

/**
 * - edge: a block that is covered in part is being read
 * - edge-page: … has been read; the page with its checksum is being read
 * - bytes: the bytes asked for are being read, written or discarded
 * - page: the page with the checksum of block `#at` is being read
 * - discard-pages: pages of checksums, up to that of block `#at`, are being discarded
 */
type Step = 'edge' | 'edge-page' | 'bytes' | 'page' | 'discard-pages'

/** The data whose checksums are in one page. */
const PAGE_COVERS_BYTES = BLOCKS_PER_PAGE * CHECKED_BLOCK_BYTES
const NO_BYTES = Buffer.alloc(0)

/**
 * Writes and discards hold their blocks from before the first is read until the last checksum is set. Reads
 * hold nothing, and may so see the bytes of a write whose checksum is not set yet: what seems wrong is read
 * again by one that holds its blocks, and only then believed to be.
 */
export class IntegrityTransfer extends CheckedRange implements IoCompletion, LockedRange {
  op: 'read' | 'write' | 'discard' = 'read'
  buffer: Buffer = NO_BYTES
  position = 0
  completion: IoCompletion | null = null
  #step: Step = 'edge'
  #isLocked = false
  #edgesDone = 0
  /** Offset of the block whose checksum is to be checked, or set, next. */
  #at = 0
  readonly #checked: CheckedData

  constructor(checked: CheckedData) {
    super()
    this.#checked = checked
  }

  /** Begins; what is to be done has been set. It never ends from within this call. */
  begin(): void {
    if (this.op === 'read') this.#begin()
    else this.#lock()
  }

  lockGranted(): void {
    this.#begin()
  }

  ioCompleted(error: VolumeError | null): void {
    if (this.#step === 'edge') {
      if (error === null) this.#checkEdge()
      else if (this.op === 'read') this.#end(error)
      else this.#endEdge(false)
    } else if (this.#step === 'bytes') {
      this.#at = this.op === 'read' ? this.wholeStart : this.offset
      if (error === null) this.#continueChecksums()
      else this.#end(error)
    } else if (error !== null) {
      this.#end(new VolumeError(this.op, this.#checked.name, this.#at, error.cause))
    } else if (this.#step === 'edge-page') this.#checkEdge()
    else this.#continueChecksums()
  }

  #lock(): void {
    this.#isLocked = true
    if (this.#checked.locks.acquire(this)) this.#begin()
  }

  #begin(): void {
    this.#edgesDone = 0
    this.#startNext()
  }

  #startNext(): void {
    const { data } = this.#checked
    if (this.#edgesDone < this.edgeCount) {
      this.#step = 'edge'
      const { offset, bytes } = this.edges[this.#edgesDone]!
      data.read(offset, bytes, 0, CHECKED_BLOCK_BYTES, this)
      return
    }
    this.#step = 'bytes'
    const { op, buffer, position, start, end, wholeStart, wholeEnd } = this
    if (op === 'discard') data.discard(start, end - start, this)
    else if (op === 'write') data.write(start, buffer, position, end - start, this)
    else if (wholeStart >= wholeEnd) this.#end(null)
    else data.read(wholeStart, buffer, this.#positionOf(wholeStart), wholeEnd - wholeStart, this)
  }

  #checkEdge(): void {
    const { offset, bytes } = this.edges[this.#edgesDone]!
    this.#at = offset
    const page = this.#page('edge-page')
    if (page === null) return
    const isRight = this.#isRight(page, bytes, 0)
    if (isRight) this.#endEdge(true)
    else if (this.op === 'read') this.#readAgain(page, bytes, 0)
    else {
      this.#checked.mismatchCount++
      this.#endEdge(false)
    }
  }

  #endEdge(isRight: boolean): void {
    const edge = this.edges[this.#edgesDone]!
    edge.isRight = isRight
    if (this.op === 'read') this.copyFromEdge(edge, this.buffer, this.position)
    else if (this.op === 'write') this.copyIntoEdge(edge, this.buffer, this.position)
    else this.clearInEdge(edge)
    this.#edgesDone++
    this.#startNext()
  }

  #continueChecksums(): void {
    if (this.op === 'read') this.#checkBlocks()
    else this.#setChecksums()
  }

  #checkBlocks(): void {
    for (; this.#at < this.wholeEnd; this.#at += CHECKED_BLOCK_BYTES) {
      const page = this.#page('page')
      if (page === null) return
      const position = this.#positionOf(this.#at)
      if (!this.#isRight(page, this.buffer, position)) {
        this.#readAgain(page, this.buffer, position)
        return
      }
    }
    this.#end(null)
  }

  #setChecksums(): void {
    const end = this.offset + this.length
    for (; this.#at < end; this.#at += CHECKED_BLOCK_BYTES) {
      if (this.op === 'discard' && this.#discardsPages()) return
      const edge = this.edgeAt(this.#at)
      if (edge !== null && !edge.isRight) continue
      const page = this.#page('page')
      if (page === null) return
      let checksum = 0
      if (edge !== null) checksum = blockChecksum(edge.bytes, 0)
      else if (this.op === 'write') {
        checksum = blockChecksum(this.buffer, this.#positionOf(this.#at))
      }
      this.#checked.cache.set(page, this.#at / CHECKED_BLOCK_BYTES, checksum)
    }
    this.#end(null)
  }

  /** Whether whole pages of checksums are next, and are now being discarded. */
  #discardsPages(): boolean {
    if (this.#at < this.wholeStart || this.#at % PAGE_COVERS_BYTES !== 0) return false
    const pageCount = Math.floor((this.wholeEnd - this.#at) / PAGE_COVERS_BYTES)
    if (pageCount <= 0) return false
    this.#step = 'discard-pages'
    const firstPage = this.#at / PAGE_COVERS_BYTES
    this.#at += pageCount * PAGE_COVERS_BYTES
    this.#checked.cache.discard(firstPage, pageCount, this)
    return true
  }

  /** The page for the block at hand; null if it has to be waited for. */
  #page(step: Step): ChecksumPage | null {
    const block = this.#at / CHECKED_BLOCK_BYTES
    const page = this.#checked.cache.find(block)
    if (page !== null) return page
    this.#step = step
    this.#checked.cache.load(block, this)
    return null
  }

  /** Whether the block at hand is what was written. */
  #isRight(page: ChecksumPage, bytes: Buffer, position: number): boolean {
    return page.checksumOf(this.#at / CHECKED_BLOCK_BYTES) === blockChecksum(bytes, position)
  }

  /** The block at hand is wrong, unless it only seemed so. */
  #readAgain(page: ChecksumPage, bytes: Buffer, position: number): void {
    if (!this.#isLocked) {
      this.#lock()
      return
    }
    this.#checked.mismatchCount++
    const written = hex(page.checksumOf(this.#at / CHECKED_BLOCK_BYTES))
    const found = hex(blockChecksum(bytes, position))
    const reason = `the checksum of the block is ${written}, its bytes give ${found}`
    // As of a disk that notices by itself: to a host both are one.
    const cause = Object.assign(new Error(reason), { code: 'EIO' })
    this.#end(new VolumeError('read', this.#checked.name, this.#at, cause))
  }

  #positionOf(offset: number): number {
    return this.position + offset - this.start
  }

  #end(error: VolumeError | null): void {
    if (this.#isLocked) {
      this.#isLocked = false
      this.#checked.locks.release(this)
    }
    this.buffer = NO_BYTES
    this.#checked.transferEnded(this, error)
  }
}

function hex(checksum: number): string {
  return checksum.toString(16).padStart(8, '0')
}
