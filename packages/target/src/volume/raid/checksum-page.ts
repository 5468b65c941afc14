/** What a checksum covers, and where it lies in the checksum area. */

import { crc32c } from '../crc32c.ts'
import type { IoCompletion, VolumeError } from '../volume.ts'

/** Data are checked in blocks of so many bytes. */
export const CHECKED_BLOCK_BYTES = 4096
/** The checksum area is read and written in pages. */
export const CHECKSUM_PAGE_BYTES = 4096
const CHECKSUM_BYTES = 4
/** A page holds the checksums of 4 MiB of data. */
export const BLOCKS_PER_PAGE = CHECKSUM_PAGE_BYTES / CHECKSUM_BYTES

const zerosCrc = crc32c(Buffer.alloc(CHECKED_BLOCK_BYTES), 0, CHECKED_BLOCK_BYTES)

/**
 * What is stored of the 4 KiB at `bytes[position …]`: their CRC32C, XORed with that of a block of zeros. So
 * 0 stands for zeros, and blocks that have never been written are right in an area that has never been
 * written, and in one that was discarded.
 */
export function blockChecksum(bytes: Buffer, position: number): number {
  return (crc32c(bytes, position, position + CHECKED_BLOCK_BYTES) ^ zerosCrc) >>> 0
}

/**
 * How long the checksum area of so many bytes of data is: whole pages. It has no checksums of its own. Of a
 * sector of it that is damaged, the checksums do not fit their blocks, which is noticed, and mended, block by
 * block as damaged data are.
 */
export function checksumAreaBytes(dataBytes: number): number {
  return Math.ceil(dataBytes / CHECKED_BLOCK_BYTES / BLOCKS_PER_PAGE) * CHECKSUM_PAGE_BYTES
}

/** Who is told that a page has been read. */
export interface PageReader {
  pageRead(page: ChecksumPage, error: VolumeError | null): void
}

/**
 * Memory for a page of the checksum area. It is the completion of the read that fills it. What it holds is
 * changed through the cache only.
 */
export class ChecksumPage implements IoCompletion {
  /** Which page of the area it holds. */
  number = 0
  readonly bytes = Buffer.allocUnsafeSlow(CHECKSUM_PAGE_BYTES)
  isBeingRead = false
  isBeingWritten = false
  /** It holds what the area does not. */
  isChanged = false
  /** Since it was last looked at as one to give up. */
  wasUsed = false
  /** The area was discarded while the page was being read. */
  isDiscarded = false
  /** A flush waits for a write of it that has not begun. */
  isAwaited = false
  /** Told once it has been read. */
  readonly waiting: IoCompletion[] = []
  readonly reader: PageReader

  constructor(reader: PageReader) {
    this.reader = reader
  }

  /** The checksum of a block that this page is for. */
  checksumOf(block: number): number {
    return this.bytes.readUInt32BE((block % BLOCKS_PER_PAGE) * CHECKSUM_BYTES)
  }

  /** True if that changed it. */
  setChecksum(block: number, checksum: number): boolean {
    if (this.checksumOf(block) === checksum) return false
    this.bytes.writeUInt32BE(checksum, (block % BLOCKS_PER_PAGE) * CHECKSUM_BYTES)
    return true
  }

  ioCompleted(error: VolumeError | null): void {
    this.reader.pageRead(this, error)
  }
}
