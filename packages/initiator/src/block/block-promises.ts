/** A block device for users who await: each call is one of the device's, as a promise. */
import type { BlockDevice, BlockDone } from './block-device.ts'

/**
 * Calls may be made in any number; the contract of BlockDevice holds for them, buffers included. They reject
 * with a BlockError, or with a RangeError when the range is not on the device.
 */
export class BlockPromises {
  readonly device: BlockDevice

  constructor(device: BlockDevice) {
    this.device = device
  }

  /** Resolves with the bytes, in a buffer of their own. */
  async read(offset: number, length: number): Promise<Buffer> {
    const into = Buffer.allocUnsafe(length)
    await this.readInto(into, offset)
    return into
  }

  /** Fills `into`, which is the device's until then. */
  readInto(into: Buffer, offset: number): Promise<void> {
    return outcome((done) => this.device.read(offset, into, 0, into.length, done))
  }

  /** All of `from`, which is the device's until then. */
  write(offset: number, from: Buffer): Promise<void> {
    return outcome((done) => this.device.write(offset, from, 0, from.length, done))
  }

  zero(offset: number, length: number): Promise<void> {
    return outcome((done) => this.device.zero(offset, length, done))
  }

  flush(): Promise<void> {
    return outcome((done) => this.device.flush(done))
  }
}

function outcome(start: (done: BlockDone) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === null ? resolve() : reject(error)))
  })
}
