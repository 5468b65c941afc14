/** How long operations took, counted in classes that are at most a thirty-second of their value wide. */

/** Classes for each power of two. */
const CLASSES = 32
/** Tenths of a microsecond; beyond the last power nothing is told apart, at 200 s. */
const POWERS = 27

export class Latencies {
  readonly #counts = new Float64Array((POWERS + 1) * CLASSES)
  #sum = 0
  count = 0
  maxMicros = 0

  record(micros: number): void {
    const tenths = Math.round(micros * 10)
    const power = Math.min(Math.max(Math.floor(Math.log2(tenths)) - 5, 0), POWERS - 1)
    const place = power * CLASSES + Math.floor(tenths / 2 ** power)
    const counted = Math.min(place, this.#counts.length - 1)
    this.#counts[counted] = (this.#counts[counted] as number) + 1
    this.count += 1
    this.#sum += micros
    this.maxMicros = Math.max(this.maxMicros, micros)
  }

  get meanMicros(): number {
    return this.count === 0 ? 0 : this.#sum / this.count
  }

  /** So long, or less, took this share of all, 0 to 1. */
  percentileMicros(share: number): number {
    let left = Math.max(Math.ceil(this.count * share), 1)
    for (const [place, count] of this.#counts.entries()) {
      left -= count
      if (left > 0) continue
      const isLast = place === this.#counts.length - 1
      return isLast ? this.maxMicros : Math.min(topOf(place), this.maxMicros)
    }
    return this.maxMicros
  }
}

/** The longest that is counted in a class, in microseconds. */
function topOf(place: number): number {
  const power = Math.max(Math.floor(place / CLASSES) - 1, 0)
  return ((place - power * CLASSES + 1) * 2 ** power - 0.5) / 10
}
