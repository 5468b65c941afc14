/**
 * A block device of any byte range over one of whole blocks. Writes hold a lock on the blocks they
 * touch: so those that read, change and write back a block keep what its neighbours wrote, and of
 * writes that overlap the later call wins.
 */
import { assertOnDevice, type BlockDevice, type BlockDone } from './block-device.ts'
import { type LockedRange, RangeLock } from './range-lock.ts'
import { blockEnd, blockStart, partialBlocks } from './unaligned.ts'

const NO_DATA = Buffer.alloc(0)

export class UnalignedDevice implements BlockDevice {
  readonly name: string
  readonly blockSizeBytes: number
  readonly readOnly: boolean
  readonly #device: BlockDevice
  readonly #lock = new RangeLock()
  readonly #freeWrites: Write[] = []

  /** `device` takes whole blocks, and is used through this one only. */
  constructor(device: BlockDevice) {
    this.name = device.name
    this.blockSizeBytes = device.blockSizeBytes
    this.readOnly = device.readOnly
    this.#device = device
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes
  }

  read(offset: number, into: Buffer, position: number, length: number, done: BlockDone): void {
    if (this.#isAligned(offset, length)) {
      this.#device.read(offset, into, position, length, done)
      return
    }
    assertOnDevice(this, offset, length)
    if (length === 0) {
      setImmediate(done, null)
      return
    }
    const start = blockStart(offset, this.blockSizeBytes)
    const blocks = Buffer.allocUnsafe(blockEnd(offset + length, this.blockSizeBytes) - start)
    this.#device.read(start, blocks, 0, blocks.length, (error) => {
      if (error === null) blocks.copy(into, position, offset - start, offset - start + length)
      done(error)
    })
  }

  write(offset: number, from: Buffer, position: number, length: number, done: BlockDone): void {
    assertOnDevice(this, offset, length)
    if (length === 0) {
      setImmediate(done, null)
      return
    }
    const write = this.#freeWrites.pop() ?? new Write(this.#device, (it) => this.#written(it))
    write.begin(offset, from, position, length, done)
    this.#lock.acquire(write)
  }

  /** Blocks that are covered in part are written, whole ones made zeros by the device below. */
  zero(offset: number, length: number, done: BlockDone): void {
    assertOnDevice(this, offset, length)
    const end = offset + length
    const start = Math.min(blockEnd(offset, this.blockSizeBytes), end)
    const stop = Math.max(blockStart(end, this.blockSizeBytes), start)
    const ended = untilAll(3, done)
    this.write(offset, Buffer.alloc(start - offset), 0, start - offset, ended)
    this.write(stop, Buffer.alloc(end - stop), 0, end - stop, ended)
    if (start === stop) {
      setImmediate(ended, null)
      return
    }
    const range = {
      start,
      end: stop,
      granted: () =>
        this.#device.zero(start, stop - start, (error) => {
          this.#lock.release(range)
          ended(error)
        }),
    }
    this.#lock.acquire(range)
  }

  #written(write: Write): void {
    const { done, error } = write
    write.forget()
    this.#lock.release(write)
    this.#freeWrites.push(write)
    done(error)
  }

  flush(done: BlockDone): void {
    this.#device.flush(done)
  }

  #isAligned(offset: number, length: number): boolean {
    return offset % this.blockSizeBytes === 0 && length % this.blockSizeBytes === 0
  }
}

/** Calls `done` with the first error when the parts have all ended. */
function untilAll(parts: number, done: BlockDone): BlockDone {
  let left = parts
  let first: Error | null = null
  return (error) => {
    first ??= error
    left -= 1
    if (left === 0) done(first)
  }
}

/** One write, from its call to its end. Made once, used again. */
class Write implements LockedRange {
  readonly #device: BlockDevice
  readonly #ended: (write: Write) => void
  readonly #onWritten: BlockDone
  #offset = 0
  #from: Buffer = NO_DATA
  #position = 0
  #length = 0
  #readsLeft = 0
  start = 0
  end = 0
  done: BlockDone = () => {}
  error: Error | null = null

  constructor(device: BlockDevice, ended: (write: Write) => void) {
    this.#device = device
    this.#ended = ended
    this.#onWritten = (error) => {
      this.error = error
      ended(this)
    }
  }

  begin(offset: number, from: Buffer, position: number, length: number, done: BlockDone): void {
    const { blockSizeBytes } = this.#device
    this.#offset = offset
    this.#from = from
    this.#position = position
    this.#length = length
    this.start = blockStart(offset, blockSizeBytes)
    this.end = blockEnd(offset + length, blockSizeBytes)
    this.done = done
    this.error = null
  }

  granted(): void {
    const edges = partialBlocks(this.#offset, this.#length, this.#device.blockSizeBytes)
    if (edges.length > 0) this.#changeBlocks(edges)
    else this.#device.write(this.start, this.#from, this.#position, this.#length, this.#onWritten)
  }

  /** Reads the blocks that are covered in part, puts the new bytes over them, and writes all back. */
  #changeBlocks(edges: readonly number[]): void {
    const { blockSizeBytes } = this.#device
    const blocks = Buffer.allocUnsafe(this.end - this.start)
    this.#readsLeft = edges.length
    for (const edge of edges) {
      this.#device.read(edge, blocks, edge - this.start, blockSizeBytes, (error) => {
        this.error ??= error
        this.#readsLeft -= 1
        if (this.#readsLeft > 0) return
        if (this.error !== null) this.#ended(this)
        else this.#writeBack(blocks)
      })
    }
  }

  #writeBack(blocks: Buffer): void {
    const end = this.#position + this.#length
    this.#from.copy(blocks, this.#offset - this.start, this.#position, end)
    this.#device.write(this.start, blocks, 0, blocks.length, this.#onWritten)
  }

  /** Lets go of what belongs to the caller again. */
  forget(): void {
    this.#from = NO_DATA
    this.done = () => {}
  }
}
