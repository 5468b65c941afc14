/** Sets of regions: a bit for each, which is bit `region % 8` of byte `region / 8`, the lowest being bit 0. */

export class RegionSet {
  /** Regions are `0 … size - 1`. */
  readonly size: number
  /** The bits; those beyond `size` are 0. */
  readonly bytes: Uint8Array

  /** An empty set, with so many bytes at least. */
  constructor(size: number, byteLengthMin = 0) {
    this.size = size
    this.bytes = new Uint8Array(Math.max(Math.ceil(size / 8), byteLengthMin))
  }

  has(region: number): boolean {
    return (this.bytes[region >>> 3]! & (1 << (region & 7))) !== 0
  }

  add(region: number): void {
    this.bytes[region >>> 3]! |= 1 << (region & 7)
  }

  delete(region: number): void {
    this.bytes[region >>> 3]! &= ~(1 << (region & 7))
  }

  addAll(): void {
    this.bytes.fill(0xff)
    this.#clearBeyond()
  }

  /** Adds the regions whose bits these are, from that of byte `position` on. */
  addBits(position: number, bits: Uint8Array): void {
    for (const [index, byte] of bits.entries()) this.bytes[position + index]! |= byte
    this.#clearBeyond()
  }

  /** The lowest region of the set from `from` on; -1 if there is none. */
  next(from: number): number {
    for (let region = from; region < this.size; region++) {
      if ((region & 7) === 0) {
        while (region < this.size && this.bytes[region >>> 3] === 0) region += 8
        if (region >= this.size) return -1
      }
      if (this.has(region)) return region
    }
    return -1
  }

  count(): number {
    let count = 0
    for (let region = this.next(0); region >= 0; region = this.next(region + 1)) count++
    return count
  }

  copy(): RegionSet {
    const copy = new RegionSet(this.size, this.bytes.length)
    copy.bytes.set(this.bytes)
    return copy
  }

  #clearBeyond(): void {
    this.bytes.fill(0, Math.ceil(this.size / 8))
    if (this.size % 8 !== 0) this.bytes[this.size >>> 3]! &= (1 << (this.size & 7)) - 1
  }
}
