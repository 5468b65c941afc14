/** A Volume in memory, for tests and demos: as large as one likes, holding only what was written. */
import { assertRange } from './range.ts'
import { type HoleMap, type IoCompletion, type Volume, VolumeError } from './volume.ts'

const PAGE_SIZE_BYTES = 64 * 1024

export class MemoryVolume implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  readonly #pages = new Map<number, Buffer>()
  #closed = false

  constructor(name: string, sizeBytes: number, blockSizeBytes = 512) {
    this.name = name
    this.sizeBytes = sizeBytes
    this.blockSizeBytes = blockSizeBytes
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    for (let done = 0; done < length; ) {
      const within = (offset + done) % PAGE_SIZE_BYTES
      const count = Math.min(length - done, PAGE_SIZE_BYTES - within)
      const page = this.#pages.get((offset + done - within) / PAGE_SIZE_BYTES)
      const start = position + done
      if (page === undefined) into.fill(0, start, start + count)
      else page.copy(into, start, within, within + count)
      done += count
    }
    return !this.#closed
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (this.#closed) return false
    for (let done = 0; done < length; ) {
      const within = (offset + done) % PAGE_SIZE_BYTES
      const count = Math.min(length - done, PAGE_SIZE_BYTES - within)
      const index = (offset + done - within) / PAGE_SIZE_BYTES
      let page = this.#pages.get(index)
      if (page === undefined) {
        page = Buffer.alloc(PAGE_SIZE_BYTES)
        this.#pages.set(index, page)
      }
      from.copy(page, within, position + done, position + done + count)
      done += count
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
    this.#report('read', offset, this.readNow(offset, into, position, length), completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#report('write', offset, this.writeNow(offset, from, position, length), completion)
  }

  flush(completion: IoCompletion): void {
    this.#report('flush', 0, !this.#closed, completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    for (let done = 0; done < length; ) {
      const within = (offset + done) % PAGE_SIZE_BYTES
      const count = Math.min(length - done, PAGE_SIZE_BYTES - within)
      const index = (offset + done - within) / PAGE_SIZE_BYTES
      if (count === PAGE_SIZE_BYTES) this.#pages.delete(index)
      else this.#pages.get(index)?.fill(0, within, within + count)
      done += count
    }
    this.#report('discard', offset, !this.#closed, completion)
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    for (let done = 0, taken = true; done < length && taken; ) {
      const within = (offset + done) % PAGE_SIZE_BYTES
      const count = Math.min(length - done, PAGE_SIZE_BYTES - within)
      taken = map.add(!this.#pages.has((offset + done - within) / PAGE_SIZE_BYTES), count)
      done += count
    }
    this.#report('locate', offset, !this.#closed, completion)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #report(op: VolumeError['op'], offset: number, done: boolean, completion: IoCompletion): void {
    const error = done ? null : new VolumeError(op, this.name, offset, 'the volume is closed')
    setImmediate(() => completion.ioCompleted(error))
  }
}
