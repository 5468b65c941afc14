/** A disk that stops answering when told to, and does what it was asked when it is told to go on. */
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import type { HoleMap, IoCompletion } from '../../src/volume/volume.ts'

export class HangingVolume extends FaultVolume {
  #held: (() => void)[] = []
  #hangs = false

  /** How many operations it has not answered. */
  get heldCount(): number {
    return this.#held.length
  }

  hang(): void {
    this.#hangs = true
    this.refuseNow = true
  }

  goOn(): void {
    this.#hangs = false
    this.refuseNow = false
    for (const begin of this.#held.splice(0)) begin()
  }

  override read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#when(() => super.read(offset, into, position, length, completion))
  }

  override write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#when(() => super.write(offset, from, position, length, completion))
  }

  override flush(completion: IoCompletion): void {
    this.#when(() => super.flush(completion))
  }

  override discard(offset: number, length: number, completion: IoCompletion): void {
    this.#when(() => super.discard(offset, length, completion))
  }

  override locateHoles(
    offset: number,
    length: number,
    map: HoleMap,
    completion: IoCompletion,
  ): void {
    this.#when(() => super.locateHoles(offset, length, map, completion))
  }

  #when(begin: () => void): void {
    if (this.#hangs) this.#held.push(begin)
    else begin()
  }
}
