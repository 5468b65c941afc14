/** A block device as a regular file of the device's size. */
import type { BlockDevice } from '../block/block-device.ts'
import { Errno, errnoOf } from './errno.ts'
import type { FileDone, MountedFile } from './mounted-file.ts'

export class BlockFile implements MountedFile {
  readonly readOnly: boolean
  readonly #device: BlockDevice

  /** With `readOnly` it can only be read, even if the device could be written to. */
  constructor(device: BlockDevice, { readOnly = false } = {}) {
    this.readOnly = device.readOnly || readOnly
    this.#device = device
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes
  }

  read(offset: number, into: Buffer, position: number, length: number, done: FileDone): void {
    const count = Math.min(length, Math.max(0, this.sizeBytes - offset))
    if (count === 0) {
      done(0)
      return
    }
    this.#device.read(offset, into, position, count, (error) =>
      done(error === null ? count : errnoOf(error)),
    )
  }

  write(offset: number, from: Buffer, position: number, length: number, done: FileDone): void {
    const count = Math.min(length, Math.max(0, this.sizeBytes - offset))
    if (count === 0) {
      done(length === 0 ? 0 : Errno.NoSpace)
      return
    }
    this.#device.write(offset, from, position, count, (error) =>
      done(error === null ? count : errnoOf(error)),
    )
  }

  zero(offset: number, length: number, done: FileDone): void {
    const count = Math.min(length, Math.max(0, this.sizeBytes - offset))
    if (count === 0) {
      done(length === 0 ? 0 : Errno.NoSpace)
      return
    }
    this.#device.zero(offset, count, (error) => done(error === null ? 0 : errnoOf(error)))
  }

  flush(done: FileDone): void {
    this.#device.flush((error) => done(error === null ? 0 : errnoOf(error)))
  }
}
