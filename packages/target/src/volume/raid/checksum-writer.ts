/** Writes changed pages of a checksum area: all of them for a flush, the oldest where room is needed. */
import type { IoCompletion, Volume, VolumeError } from '../volume.ts'
import { CHECKSUM_PAGE_BYTES, type ChecksumPage } from './checksum-page.ts'

/** Writes in flight at once. */
const WRITES_MAX = 8
/** So few pages are written for a flush at once, without the disk's pool. */
const WRITES_NOW_MAX = 4

/** Who is told of pages that have been written. */
export interface WrittenPages {
  /** A write of the page has ended. It may have been changed since that began, or be written again already. */
  pageWritten(page: ChecksumPage, error: VolumeError | null): void
}

/** One write. It has the bytes of the page as they were when it began, for the page may change meanwhile. */
class PageWrite implements IoCompletion {
  page: ChecksumPage | null = null
  /** A flush waits for it. */
  isAwaited = false
  readonly bytes = Buffer.allocUnsafeSlow(CHECKSUM_PAGE_BYTES)
  readonly writer: ChecksumWriter

  constructor(writer: ChecksumWriter) {
    this.writer = writer
  }

  ioCompleted(error: VolumeError | null): void {
    this.writer.writeEnded(this, error)
  }
}

export class ChecksumWriter {
  readonly #volume: Volume
  readonly #owner: WrittenPages
  /** Longest changed first. */
  readonly #changed = new Set<ChecksumPage>()
  readonly #writes = new Set<PageWrite>()
  readonly #freeWrites: PageWrite[] = []
  /** Of the flush under way: whom it is for, null if there is none. */
  #flushing: IoCompletion[] | null = null
  #flushWaiting: IoCompletion[] = []
  #flushError: VolumeError | null = null
  /** Pages it has to write, and how many writes have not ended, or not begun. */
  #toWrite: ChecksumPage[] = []
  #awaitedCount = 0

  constructor(volume: Volume, owner: WrittenPages) {
    this.#volume = volume
    this.#owner = owner
  }

  get changedCount(): number {
    return this.#changed.size
  }

  get isWriting(): boolean {
    return this.#writes.size > 0
  }

  /** The page holds what the area does not, and is to be written. */
  add(page: ChecksumPage): void {
    if (page.isChanged) return
    page.isChanged = true
    this.#changed.add(page)
  }

  /** Writes the page that was changed first, and is not being written; at once if possible. */
  writeOldest(): void {
    if (this.#writes.size >= WRITES_MAX) return
    for (const page of this.#changed) {
      if (page.isBeingWritten) continue
      if (!this.#writeNow(page)) this.#write(page)
      return
    }
  }

  /** As `flush`, if that takes no waiting. */
  flushNow(): boolean {
    if (this.#writes.size > 0 || this.#changed.size > WRITES_NOW_MAX) return false
    for (const page of this.#changed) if (!this.#writeNow(page)) return false
    return true
  }

  /**
   * Writes all that was changed before this call. One such flush is under way at a time; those asked for
   * meanwhile share the next. What could not be written stays changed.
   */
  flush(completion: IoCompletion): void {
    this.#flushWaiting.push(completion)
    if (this.#flushing === null) this.#startFlush()
  }

  #startFlush(): void {
    this.#flushing = this.#flushWaiting
    this.#flushWaiting = []
    for (const write of this.#writes) write.isAwaited = true
    for (const page of this.#changed) page.isAwaited = true
    this.#toWrite = [...this.#changed]
    this.#awaitedCount = this.#writes.size + this.#changed.size
    if (this.#awaitedCount === 0) process.nextTick(() => this.#endFlush())
    else this.#continueFlush()
  }

  #continueFlush(): void {
    while (this.#writes.size < WRITES_MAX) {
      const page = this.#toWrite.pop()
      if (page === undefined) return
      // Or else it has been written meanwhile, or will be once the write of it that is in flight has ended.
      if (page.isAwaited && !page.isBeingWritten) this.#write(page)
    }
  }

  #endFlush(): void {
    const completions = this.#flushing!
    const error = this.#flushError
    this.#flushing = null
    this.#flushError = null
    if (this.#flushWaiting.length > 0) this.#startFlush()
    for (const completion of completions) completion.ioCompleted(error)
  }

  /** A write that a flush may have waited for is over. */
  #awaitedEnded(error: VolumeError | null): void {
    this.#flushError ??= error
    this.#awaitedCount--
    if (this.#awaitedCount === 0) this.#endFlush()
  }

  #writeNow(page: ChecksumPage): boolean {
    // A flush that waits for it goes on by itself, later.
    if (page.isAwaited) return false
    const offset = page.number * CHECKSUM_PAGE_BYTES
    if (!this.#volume.writeNow(offset, page.bytes, 0, CHECKSUM_PAGE_BYTES)) return false
    this.#changed.delete(page)
    page.isChanged = false
    this.#owner.pageWritten(page, null)
    return true
  }

  #write(page: ChecksumPage): void {
    const write = this.#freeWrites.pop() ?? new PageWrite(this)
    this.#changed.delete(page)
    page.isChanged = false
    page.isBeingWritten = true
    page.bytes.copy(write.bytes)
    write.page = page
    write.isAwaited = page.isAwaited
    page.isAwaited = false
    this.#writes.add(write)
    this.#volume.write(
      page.number * CHECKSUM_PAGE_BYTES,
      write.bytes,
      0,
      CHECKSUM_PAGE_BYTES,
      write,
    )
  }

  /** Called by PageWrite only. */
  writeEnded(write: PageWrite, error: VolumeError | null): void {
    const page = write.page!
    const wasAwaited = write.isAwaited
    this.#writes.delete(write)
    this.#freeWrites.push(write)
    write.page = null
    page.isBeingWritten = false
    if (error !== null) this.add(page)
    if (page.isAwaited) this.#write(page)
    this.#owner.pageWritten(page, error)
    if (this.#flushing !== null) this.#continueFlush()
    if (wasAwaited) this.#awaitedEnded(error)
  }
}
