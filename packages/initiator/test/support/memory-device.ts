/** A block device in memory that answers later, in an order of its own. */
import { assertOnDevice, type BlockDevice, type BlockDone } from '../../src/block/block-device.ts'

export class MemoryDevice implements BlockDevice {
  readonly name = 'memory'
  readonly blockSizeBytes: number
  readonly readOnly = false
  readonly bytes: Buffer
  /** Operations that have not been carried out: `step` takes one. */
  readonly pending: (() => void)[] = []
  /** Fails the operation that it gives an error for. */
  fault: (kind: 'read' | 'write' | 'zero' | 'flush', offset: number) => Error | null = () => null
  flushes = 0

  constructor(blockCount: number, blockSizeBytes: number) {
    this.blockSizeBytes = blockSizeBytes
    this.bytes = Buffer.alloc(blockCount * blockSizeBytes)
  }

  get sizeBytes(): number {
    return this.bytes.length
  }

  read(offset: number, into: Buffer, position: number, length: number, done: BlockDone): void {
    this.#assertBlocks(offset, length)
    this.pending.push(() => {
      const error = this.fault('read', offset)
      if (error === null) this.bytes.copy(into, position, offset, offset + length)
      done(error)
    })
  }

  write(offset: number, from: Buffer, position: number, length: number, done: BlockDone): void {
    this.#assertBlocks(offset, length)
    this.pending.push(() => {
      const error = this.fault('write', offset)
      if (error === null) from.copy(this.bytes, offset, position, position + length)
      done(error)
    })
  }

  zero(offset: number, length: number, done: BlockDone): void {
    this.#assertBlocks(offset, length)
    this.pending.push(() => {
      const error = this.fault('zero', offset)
      if (error === null) this.bytes.fill(0, offset, offset + length)
      done(error)
    })
  }

  flush(done: BlockDone): void {
    this.pending.push(() => {
      this.flushes += 1
      done(this.fault('flush', 0))
    })
  }

  /** Carries out the pending operation with that index, counted round; false when there is none. */
  step(index = 0): boolean {
    const [operation] = this.pending.splice(index % Math.max(this.pending.length, 1), 1)
    operation?.()
    return operation !== undefined
  }

  #assertBlocks(offset: number, length: number): void {
    assertOnDevice(this, offset, length)
    if (offset % this.blockSizeBytes !== 0 || length % this.blockSizeBytes !== 0) {
      throw new RangeError(`${length} bytes at ${offset} are not whole blocks`)
    }
  }
}
