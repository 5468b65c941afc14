/** A disk with sectors that cannot be read until they are written. */
import {
  type HoleMap,
  type IoCompletion,
  type Volume,
  VolumeError,
} from '../../../src/volume/volume.ts'

const SECTOR_BYTES = 512

export class BadSectorVolume implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  /** Byte offsets. */
  readonly badSectors = new Set<number>()
  readonly #inner: Volume

  constructor(inner: Volume) {
    this.name = inner.name
    this.sizeBytes = inner.sizeBytes
    this.blockSizeBytes = inner.blockSizeBytes
    this.#inner = inner
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    if (this.#firstBad(offset, length) !== null) return false
    return this.#inner.readNow(offset, into, position, length)
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    this.#mend(offset, length)
    return this.#inner.writeNow(offset, from, position, length)
  }

  read(offset: number, into: Buffer, at: number, length: number, completion: IoCompletion): void {
    const bad = this.#firstBad(offset, length)
    if (bad === null) {
      this.#inner.read(offset, into, at, length, completion)
      return
    }
    into.fill(0xbd, at, at + length)
    const error = new VolumeError('read', this.name, bad, new Error('bad sector'))
    setImmediate(() => completion.ioCompleted(error))
  }

  write(offset: number, from: Buffer, at: number, length: number, completion: IoCompletion): void {
    this.#mend(offset, length)
    this.#inner.write(offset, from, at, length, completion)
  }

  flush(completion: IoCompletion): void {
    this.#inner.flush(completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    this.#mend(offset, length)
    this.#inner.discard(offset, length, completion)
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    this.#inner.locateHoles(offset, length, map, completion)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  #firstBad(offset: number, length: number): number | null {
    for (let at = offset; at < offset + length; at += SECTOR_BYTES) {
      if (this.badSectors.has(at)) return at
    }
    return null
  }

  #mend(offset: number, length: number): void {
    for (let at = offset; at < offset + length; at += SECTOR_BYTES) this.badSectors.delete(at)
  }
}
