/**
 * A Volume in memory that lets a test say when its operations end, and that remembers its writes. What
 * has not been released has not happened: a held write is on the volume only from then on.
 */
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import {
  type HoleMap,
  type IoCompletion,
  type Volume,
  VolumeError,
} from '../../src/volume/volume.ts'

/** An operation that a test has yet to release. */
export interface HeldOperation {
  readonly op: 'read' | 'write' | 'flush' | 'discard'
  readonly offset: number
  readonly length: number
  end(error: VolumeError | null): void
}

export class HeldVolume implements Volume {
  readonly name = 'held'
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  /** Says of each operation, by its number, whether it can be done at once; none can by default. */
  now: (number: number) => boolean = () => false
  readonly held: HeldOperation[] = []
  /** Extents given to `writeNow` and `write`, in their order. */
  readonly writes: { offset: number; length: number }[] = []
  readonly #inner: MemoryVolume
  #count = 0

  constructor(sizeBytes: number, blockSizeBytes = 512) {
    this.sizeBytes = sizeBytes
    this.blockSizeBytes = blockSizeBytes
    this.#inner = new MemoryVolume('held', sizeBytes, blockSizeBytes)
  }

  /** All its bytes. */
  get bytes(): Buffer {
    const bytes = Buffer.alloc(this.sizeBytes)
    this.#inner.readNow(0, bytes, 0, bytes.length)
    return bytes
  }

  fill(bytes: Buffer): void {
    this.#inner.writeNow(0, bytes, 0, bytes.length)
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    return this.now(this.#count++) && this.#inner.readNow(offset, into, position, length)
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    if (!this.now(this.#count++)) return false
    this.writes.push({ offset, length })
    return this.#inner.writeNow(offset, from, position, length)
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    const act = () => this.#inner.readNow(offset, into, position, length)
    this.#hold('read', offset, length, act, completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.writes.push({ offset, length })
    const act = () => this.#inner.writeNow(offset, from, position, length)
    this.#hold('write', offset, length, act, completion)
  }

  flush(completion: IoCompletion): void {
    this.#hold('flush', 0, 0, () => true, completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    this.#hold('discard', offset, length, () => true, completion)
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    this.#inner.locateHoles(offset, length, map, completion)
  }

  /** Lets the operation that has been held longest happen, and end; false when there is none. */
  release(): boolean {
    const operation = this.held.shift()
    operation?.end(null)
    return operation !== undefined
  }

  /** As `release` until none is held, those included that are begun by it. */
  releaseAll(): void {
    while (this.release());
  }

  /** Fails the operation that has been held longest. */
  fail(): void {
    const operation = this.held.shift()
    if (operation === undefined) throw new Error('no operation is held')
    const op = operation.op
    operation.end(new VolumeError(op, this.name, operation.offset, 'injected fault'))
  }

  async close(): Promise<void> {}

  #hold(
    op: HeldOperation['op'],
    offset: number,
    length: number,
    act: () => boolean,
    completion: IoCompletion,
  ): void {
    const end = (error: VolumeError | null) => {
      if (error === null) act()
      completion.ioCompleted(error)
    }
    this.held.push({ op, offset, length, end })
  }
}
