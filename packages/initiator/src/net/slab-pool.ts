/** Buffers for PDUs on their way out, all of one length: used again, and bounded in what is kept. */

export class SlabPool {
  readonly #free: Buffer[] = []
  readonly #slabBytes: number
  readonly #keptMax: number

  /** `keptMax`: how many to keep for the next borrower. */
  constructor(slabBytes: number, keptMax: number) {
    this.#slabBytes = slabBytes
    this.#keptMax = keptMax
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#slabBytes)
  }

  /** `slab` must be one that `take` returned, and no longer be used. */
  giveBack(slab: Buffer): void {
    if (this.#free.length < this.#keptMax) this.#free.push(slab)
  }
}
