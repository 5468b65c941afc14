/** Reading back: a sink that writes nothing, and fails at the first byte that another image has otherwise. */
import type { ImageSink, ImageSource } from './image.ts'

export class DifferenceError extends Error {
  override readonly name = 'DifferenceError'
  /** The first byte, of the piece that was looked at, that is another. */
  readonly offset: number

  constructor(offset: number) {
    super(`what was written reads back otherwise, from byte ${offset} on`)
    this.offset = offset
  }
}

export class Comparison implements ImageSink {
  readonly sequential = false
  readonly #image: ImageSource
  readonly #free: Buffer[] = []

  constructor(image: ImageSource) {
    this.#image = image
  }

  /** Rejects with a DifferenceError. */
  async write(offset: number, from: Buffer): Promise<void> {
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(from.length)
    const room = buffer.length < from.length ? Buffer.allocUnsafeSlow(from.length) : buffer
    const got = room.subarray(0, await this.#image.read(offset, room.subarray(0, from.length)))
    if (!got.equals(from)) throw new DifferenceError(offset + firstDifference(got, from))
    this.#free.push(room)
  }

  zero(offset: number, length: number): Promise<void> {
    return this.write(offset, Buffer.alloc(length))
  }

  async flush(): Promise<void> {}
}

function firstDifference(one: Buffer, other: Buffer): number {
  const at = one.findIndex((byte, index) => byte !== other[index])
  return at === -1 ? one.length : at
}
