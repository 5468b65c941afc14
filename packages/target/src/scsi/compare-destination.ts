/** Takes write data in to compare them with the medium instead: VERIFY with BYTCHK 01b. */
import type { IoCompletion, Volume, VolumeError } from '../volume/volume.ts'
import type { ExtentDestination } from './scsi-task.ts'

export class CompareDestination implements ExtentDestination {
  readonly blockSizeBytes: number
  readonly #volume: Volume
  #mismatchOffset = -1

  constructor(volume: Volume) {
    this.blockSizeBytes = volume.blockSizeBytes
    this.#volume = volume
  }

  /** The offset on the volume of the first byte that differs; -1 if none does. */
  get mismatchOffset(): number {
    return this.#mismatchOffset
  }

  /** Never at once: verifying reads the medium, and is in no hurry. */
  writeNow(): boolean {
    return false
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    const medium = Buffer.allocUnsafeSlow(length)
    this.#volume.read(offset, medium, 0, length, {
      ioCompleted: (error: VolumeError | null) => {
        if (error === null) this.#compare(offset, medium, from, position)
        completion.ioCompleted(error)
      },
    })
  }

  #compare(offset: number, medium: Buffer, from: Buffer, position: number): void {
    if (medium.compare(from, position, position + medium.length) === 0) return
    let at = 0
    while (medium[at] === from[position + at]) at += 1
    const found = offset + at
    if (this.#mismatchOffset < 0 || found < this.#mismatchOffset) this.#mismatchOffset = found
  }
}
