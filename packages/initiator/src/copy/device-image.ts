/** A range of a block device as an image. */
import type { BlockDevice } from '../block/block-device.ts'
import { BlockError } from '../block/block-error.ts'
import { BlockPromises } from '../block/block-promises.ts'
import type { ImageSink, ImageSource } from './image.ts'
import { putZeros } from './zeros.ts'

/** The range of a device from `offset` on. Throws a RangeError when it is not on the device. */
export class DeviceImage implements ImageSource, ImageSink {
  readonly sequential = false
  readonly sizeBytes: number
  readonly #device: BlockPromises
  readonly #offset: number
  #zeroCommand = true

  /** `length`: to the end of the device if not given. */
  constructor(device: BlockDevice, offset: number, length = device.sizeBytes - offset) {
    if (length < 0 || offset + length > device.sizeBytes) {
      const wanted = `bytes ${offset} to ${offset + Math.max(length, 0)}`
      throw new RangeError(`${device.name} has ${device.sizeBytes} bytes, not ${wanted}`)
    }
    this.#device = new BlockPromises(device)
    this.#offset = offset
    this.sizeBytes = length
  }

  async read(offset: number, into: Buffer): Promise<number> {
    await this.#device.readInto(into, this.#offset + offset)
    return into.length
  }

  async write(offset: number, from: Buffer): Promise<void> {
    this.#assertFits(offset, from.length)
    await this.#device.write(this.#offset + offset, from)
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#assertFits(offset, length)
    if (this.#zeroCommand) {
      try {
        await this.#device.zero(this.#offset + offset, length)
        return
      } catch (error) {
        if (!(error instanceof BlockError) || error.code !== 'EOPNOTSUPP') throw error
        this.#zeroCommand = false
      }
    }
    await putZeros(this.#offset + offset, length, (at, zeros) => this.#device.write(at, zeros))
  }

  flush(): Promise<void> {
    return this.#device.flush()
  }

  /** What is longer than the range shows late if its length was not known. */
  #assertFits(offset: number, length: number): void {
    if (offset + length <= this.sizeBytes) return
    const { name } = this.#device.device
    throw new BlockError('ENOSPC', `${name}: there is more than the ${this.sizeBytes} bytes for it`)
  }
}
