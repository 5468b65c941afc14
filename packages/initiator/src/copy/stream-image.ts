/** Streams as images: standard input and output, pipes, terminals. */
import type { ImageSink, ImageSource } from './image.ts'
import { putZeros } from './zeros.ts'

const NOTHING = Buffer.alloc(0)

export class StreamSource implements ImageSource {
  readonly sizeBytes = null
  readonly #chunks: AsyncIterator<Buffer>
  /** What came and has not been asked for. */
  #rest: Buffer = NOTHING
  #turn: Promise<unknown> = Promise.resolve()

  constructor(stream: AsyncIterable<Buffer>) {
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  read(_offset: number, into: Buffer): Promise<number> {
    const reading = this.#turn.then(() => this.#fill(into))
    this.#turn = reading.catch(() => {})
    return reading
  }

  async #fill(into: Buffer): Promise<number> {
    let filled = 0
    while (filled < into.length) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#chunks.next()
        if (done === true) break
        this.#rest = value
      }
      const copied = this.#rest.copy(into, filled)
      filled += copied
      this.#rest = this.#rest.subarray(copied)
    }
    return filled
  }
}

export class StreamSink implements ImageSink {
  readonly sequential = true
  readonly #put: (bytes: Buffer) => Promise<void>

  /** `put` resolves when all of the bytes are on their way. */
  constructor(put: (bytes: Buffer) => Promise<void>) {
    this.#put = put
  }

  write(_offset: number, from: Buffer): Promise<void> {
    return this.#put(from)
  }

  zero(offset: number, length: number): Promise<void> {
    return putZeros(offset, length, (_, zeros) => this.#put(zeros))
  }

  async flush(): Promise<void> {}
}
