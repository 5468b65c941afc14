/** Takes write data in, and remembers what they were, to hold the medium to it later: WRITE AND VERIFY. */
import { createHash } from 'node:crypto'
import type { IoCompletion, Volume } from '../volume/volume.ts'
import type { ExtentDestination } from './scsi-task.ts'

/** An extent as it came from the initiator: its digest stands for the data, which would fill the memory. */
interface WrittenExtent {
  readonly offset: number
  readonly length: number
  readonly digest: Buffer
}

export class WrittenData implements ExtentDestination {
  readonly blockSizeBytes: number
  readonly #volume: Volume
  readonly #extents: WrittenExtent[] = []

  constructor(volume: Volume) {
    this.blockSizeBytes = volume.blockSizeBytes
    this.#volume = volume
  }

  /** Takes the first extent away that has not been verified; undefined when all have. */
  next(): WrittenExtent | undefined {
    return this.#extents.shift()
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    if (!this.#volume.writeNow(offset, from, position, length)) return false
    this.#remember(offset, from, position, length)
    return true
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#remember(offset, from, position, length)
    this.#volume.write(offset, from, position, length, completion)
  }

  #remember(offset: number, from: Buffer, position: number, length: number): void {
    const digest = digestOf(from.subarray(position, position + length))
    this.#extents.push({ offset, length, digest })
  }
}

/** What an extent's digest is made with. */
export function digestOf(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest()
}
