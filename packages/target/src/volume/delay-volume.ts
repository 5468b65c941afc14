/** A Volume that takes its time, around one that does not: a slow disk, for tests and demos. */
import type { HoleMap, IoCompletion, Volume } from './volume.ts'

export class DelayVolume implements Volume {
  readonly #inner: Volume
  readonly #delayMs: number

  /** Every operation starts `delayMs` after it was asked for; none is done at once. */
  constructor(inner: Volume, delayMs: number) {
    this.#inner = inner
    this.#delayMs = delayMs
  }

  get name(): string {
    return this.#inner.name
  }

  get sizeBytes(): number {
    return this.#inner.sizeBytes
  }

  get blockSizeBytes(): number {
    return this.#inner.blockSizeBytes
  }

  readNow(): boolean {
    return false
  }

  writeNow(): boolean {
    return false
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#later(() => this.#inner.read(offset, into, position, length, completion))
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#later(() => this.#inner.write(offset, from, position, length, completion))
  }

  flush(completion: IoCompletion): void {
    this.#later(() => this.#inner.flush(completion))
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    this.#later(() => this.#inner.discard(offset, length, completion))
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    this.#later(() => this.#inner.locateHoles(offset, length, map, completion))
  }

  async close(): Promise<void> {
    // Timers of one duration fire in order: all that was asked for before has then been started.
    await new Promise<void>((resolve) => this.#later(resolve))
    await this.#inner.close()
  }

  #later(start: () => void): void {
    setTimeout(start, this.#delayMs)
  }
}
