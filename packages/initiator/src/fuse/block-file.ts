/** A block device as a regular file: of the device's size, which no program can change. */
import type { BlockDevice } from '../block/block-device.ts'
import { Errno, errnoOf } from './errno.ts'

/** Bytes moved, or a negative errno. */
export type FileDone = (result: number) => void

export class BlockFile {
  readonly name: string
  readonly inode: number
  readonly readOnly: boolean
  readonly #device: BlockDevice

  constructor(device: BlockDevice, inode: number) {
    this.name = device.name
    this.inode = inode
    this.readOnly = device.readOnly
    this.#device = device
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes
  }

  /** At the end of the device fewer bytes are read, and beyond it none. */
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

  /** At the end of the device fewer bytes are written, and beyond it there is no space, as on a disk. */
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

  /** As `write` with zeros, of any length; the target may give the space back. */
  zero(offset: number, length: number, done: FileDone): void {
    const count = Math.min(length, Math.max(0, this.sizeBytes - offset))
    if (count === 0) {
      done(length === 0 ? 0 : Errno.NoSpace)
      return
    }
    this.#device.zero(offset, count, (error) => done(error === null ? 0 : errnoOf(error)))
  }

  /** Makes durable what was written. */
  flush(done: FileDone): void {
    this.#device.flush((error) => done(error === null ? 0 : errnoOf(error)))
  }
}
