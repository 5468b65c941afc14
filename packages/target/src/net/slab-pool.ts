/** Buffers for PDUs on their way out: by size class, used again, and bounded in what they keep. */

/** Smallest class; classes are powers of two from here. */
const SMALLEST = 8 * 1024
const CLASSES = 16

/**
 * Lends buffers of at least the length asked for. Each has an ArrayBuffer of its own, so that its
 * address stays the same for as long as it lives.
 */
export class SlabPool {
  readonly #free: Buffer[][] = Array.from({ length: CLASSES }, () => [])
  readonly #keptBytesMax: number
  #keptBytes = 0

  /** `keptBytesMax`: how much to keep for the next borrower. */
  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax
  }

  take(length: number): Buffer {
    const index = classOf(length)
    const kept = this.#free[index]?.pop()
    if (kept === undefined) return Buffer.allocUnsafeSlow(SMALLEST * 2 ** index)
    this.#keptBytes -= kept.length
    return kept
  }

  /** `slab` must be one that `take` returned, and no longer be used. */
  giveBack(slab: Buffer): void {
    if (this.#keptBytes + slab.length > this.#keptBytesMax) return
    this.#keptBytes += slab.length
    this.#free[classOf(slab.length)]?.push(slab)
  }
}

function classOf(length: number): number {
  const index = length <= SMALLEST ? 0 : 32 - Math.clz32((length - 1) >>> 13)
  if (index >= CLASSES) throw new RangeError(`a slab of ${length} bytes is beyond every class`)
  return index
}
