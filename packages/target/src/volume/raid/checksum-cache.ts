/** The checksum area of a member in memory: as many pages of it as there is room for. */
import type { IoCompletion, Volume, VolumeError } from '../volume.ts'
import {
  BLOCKS_PER_PAGE,
  CHECKSUM_PAGE_BYTES,
  ChecksumPage,
  type PageReader,
} from './checksum-page.ts'
import { ChecksumWriter, type WrittenPages } from './checksum-writer.ts'

interface PageRequest {
  readonly number: number
  readonly completion: IoCompletion
}

/** Pages of the area that are being discarded: not for the data path, so that one is made for each. */
class PagesDiscard implements IoCompletion {
  readonly #cache: ChecksumCache
  readonly #firstPage: number
  readonly #endPage: number
  readonly #completion: IoCompletion

  constructor(cache: ChecksumCache, firstPage: number, endPage: number, completion: IoCompletion) {
    this.#cache = cache
    this.#firstPage = firstPage
    this.#endPage = endPage
    this.#completion = completion
  }

  ioCompleted(error: VolumeError | null): void {
    if (error === null) this.#cache.pagesDiscarded(this.#firstPage, this.#endPage)
    this.#completion.ioCompleted(error)
  }
}

/**
 * A page is the caller's to use until it returns to the event loop, or asks for another page: then it may be
 * given up. Which one is, is told by second chance: the one that was longest ago read, or written, unless it
 * was used since. Changed pages are not given up, but written; when they are more than half, as pages are
 * read. Blocks are numbered from the start of the data.
 */
export class ChecksumCache implements PageReader, WrittenPages {
  readonly #volume: Volume
  readonly #pagesMax: number
  readonly #pages = new Map<number, ChecksumPage>()
  /** Those that may be given up: first the ones read or written longest ago. */
  readonly #clean = new Set<ChecksumPage>()
  readonly #free: ChecksumPage[] = []
  #madeCount = 0
  /** Wait for room. There are no more than there are operations in flight. */
  readonly #starved: PageRequest[] = []
  readonly #writer: ChecksumWriter

  /** `sizeMaxBytes`: how much memory pages may take; there is always one. */
  constructor(volume: Volume, sizeMaxBytes: number) {
    this.#volume = volume
    this.#pagesMax = Math.max(1, Math.floor(sizeMaxBytes / CHECKSUM_PAGE_BYTES))
    this.#writer = new ChecksumWriter(volume, this)
  }

  /** The page for a block, if it is there or can be had at once. */
  find(block: number): ChecksumPage | null {
    const number = Math.floor(block / BLOCKS_PER_PAGE)
    const page = this.#pages.get(number)
    if (page === undefined) return this.#readNow(number)
    if (page.isBeingRead) return null
    page.wasUsed = true
    return page
  }

  /**
   * Reads the page for a block that `find` did not give. Once that is reported `find` gives it, unless the
   * room has been needed for another: then ask again.
   */
  load(block: number, completion: IoCompletion): void {
    const number = Math.floor(block / BLOCKS_PER_PAGE)
    if (this.#starved.length > 0 || !this.#read(number, completion)) {
      this.#starved.push({ number, completion })
      this.#writer.writeOldest()
    }
  }

  /** Sets the checksum of a block in the page that `find` gave for it. */
  set(page: ChecksumPage, block: number, checksum: number): void {
    if (page.setChecksum(block, checksum)) this.#change(page)
  }

  /** Makes zeros of whole pages, without reading them. */
  discard(firstPage: number, pageCount: number, completion: IoCompletion): void {
    const discard = new PagesDiscard(this, firstPage, firstPage + pageCount, completion)
    const length = pageCount * CHECKSUM_PAGE_BYTES
    this.#volume.discard(firstPage * CHECKSUM_PAGE_BYTES, length, discard)
  }

  /** Called by PagesDiscard only. */
  pagesDiscarded(firstPage: number, endPage: number): void {
    // What is in memory, or on its way there, was read before; and a write may be on its way to the disk.
    for (const page of this.#pages.values()) {
      if (page.number < firstPage || page.number >= endPage) continue
      if (page.isBeingRead) page.isDiscarded = true
      else this.#clear(page)
    }
  }

  /** As `flush`, if that takes no waiting. */
  flushNow(): boolean {
    return this.#writer.flushNow()
  }

  /** Writes all that was set before this call. The area's volume is to be flushed after that. */
  flush(completion: IoCompletion): void {
    this.#writer.flush(completion)
  }

  /** Called by ChecksumPage only. */
  pageRead(page: ChecksumPage, error: VolumeError | null): void {
    page.isBeingRead = false
    if (error !== null) {
      this.#pages.delete(page.number)
      this.#free.push(page)
    } else {
      this.#clean.add(page)
      if (page.isDiscarded) this.#clear(page)
    }
    page.isDiscarded = false
    for (const completion of page.waiting.splice(0)) completion.ioCompleted(error)
    this.#feedStarved()
  }

  /** Called by ChecksumWriter only. */
  pageWritten(page: ChecksumPage, error: VolumeError | null): void {
    if (!page.isChanged && !page.isBeingWritten) this.#clean.add(page)
    // Who waits for room may wait for this very page, which is not to be had.
    const failed = error === null ? [] : this.#starved.splice(0)
    for (const { completion } of failed) completion.ioCompleted(error)
    this.#feedStarved()
  }

  #change(page: ChecksumPage): void {
    this.#clean.delete(page)
    this.#writer.add(page)
  }

  #clear(page: ChecksumPage): void {
    page.bytes.fill(0)
    this.#change(page)
  }

  #readNow(number: number): ChecksumPage | null {
    if (this.#starved.length > 0) return null
    const page = this.#takeFree()
    if (page === null) return null
    const offset = number * CHECKSUM_PAGE_BYTES
    if (!this.#volume.readNow(offset, page.bytes, 0, CHECKSUM_PAGE_BYTES)) {
      this.#free.push(page)
      return null
    }
    this.#place(page, number)
    this.#clean.add(page)
    this.#makeRoom()
    return page
  }

  /** Begins to read a page, or waits for it with others who do. False if there is no room. */
  #read(number: number, completion: IoCompletion): boolean {
    const known = this.#pages.get(number)
    if (known !== undefined) {
      if (known.isBeingRead) known.waiting.push(completion)
      else process.nextTick(reportSuccess, completion)
      return true
    }
    const page = this.#takeFree()
    if (page === null) return false
    this.#place(page, number)
    page.isBeingRead = true
    page.waiting.push(completion)
    this.#volume.read(number * CHECKSUM_PAGE_BYTES, page.bytes, 0, CHECKSUM_PAGE_BYTES, page)
    this.#makeRoom()
    return true
  }

  /** So that there is a page to give up for the next that is read. */
  #makeRoom(): void {
    if (this.#writer.changedCount > this.#pagesMax / 2) this.#writer.writeOldest()
  }

  #place(page: ChecksumPage, number: number): void {
    page.number = number
    page.wasUsed = false
    this.#pages.set(number, page)
  }

  #takeFree(): ChecksumPage | null {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#madeCount < this.#pagesMax) {
      this.#madeCount++
      return new ChecksumPage(this)
    }
    // A page that gets its second chance comes last, and is looked at again.
    for (const page of this.#clean) {
      this.#clean.delete(page)
      if (!page.wasUsed) {
        this.#pages.delete(page.number)
        return page
      }
      page.wasUsed = false
      this.#clean.add(page)
    }
    return null
  }

  #feedStarved(): void {
    for (;;) {
      // Taken out first: a write that is done at once leads here again.
      const request = this.#starved.shift()
      if (request === undefined) return
      if (this.#read(request.number, request.completion)) continue
      this.#starved.unshift(request)
      this.#writer.writeOldest()
      return
    }
  }
}

function reportSuccess(completion: IoCompletion): void {
  completion.ioCompleted(null)
}
