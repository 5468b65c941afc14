/** Part of a volume as a Volume of its own. */
import type { DiskArea } from './array-description.ts'
import { assertRange } from './range.ts'
import type { HoleMap, IoCompletion, Volume } from './volume.ts'

/** Closing it leaves the volume open: that has other parts. */
export class SliceVolume implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  readonly #below: Volume
  readonly #start: number

  constructor(below: Volume, { offset, length }: DiskArea) {
    assertRange(below, offset, length)
    this.name = below.name
    this.sizeBytes = length
    this.blockSizeBytes = below.blockSizeBytes
    this.#below = below
    this.#start = offset
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    return this.#below.readNow(this.#start + offset, into, position, length)
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    return this.#below.writeNow(this.#start + offset, from, position, length)
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    this.#below.read(this.#start + offset, into, position, length, completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    this.#below.write(this.#start + offset, from, position, length, completion)
  }

  flush(completion: IoCompletion): void {
    this.#below.flush(completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    this.#below.discard(this.#start + offset, length, completion)
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    this.#below.locateHoles(this.#start + offset, length, map, completion)
  }

  async close(): Promise<void> {}
}
