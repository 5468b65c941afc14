/** Where the chunks of one row are in memory. */

/** How many data chunks a row has at most: 2 has 255 different powers. */
export const DATA_COUNT_MAX = 255

/**
 * A row's chunks by index: data chunk `k` at `k`, then P at `pIndex`, and Q at `qIndex` if the row has two
 * parities. Each is a range of some Buffer; all are equally long, and how long is said with each operation.
 * A row may stand for part of its chunks only: the same bytes of each.
 *
 * A record to be kept and set anew, so that nothing is made per operation. The Buffers stay the caller's;
 * they are referred to until others are placed. No two ranges of a row may overlap.
 */
export class ParityRow {
  readonly dataCount: number
  readonly parityCount: 1 | 2
  readonly pIndex: number
  /** Beyond the last chunk if there is one parity only. */
  readonly qIndex: number
  readonly buffers: Buffer[]
  /** Where in its Buffer each chunk begins, in bytes. */
  readonly positions: number[]

  constructor(dataCount: number, parityCount: 1 | 2) {
    if (!Number.isInteger(dataCount) || dataCount < 1 || dataCount > DATA_COUNT_MAX) {
      throw new RangeError(`${dataCount} data chunks in a row, wanted 1 to ${DATA_COUNT_MAX}`)
    }
    this.dataCount = dataCount
    this.parityCount = parityCount
    this.pIndex = dataCount
    this.qIndex = dataCount + 1
    const nowhere = Buffer.alloc(0)
    this.buffers = Array.from({ length: dataCount + parityCount }, () => nowhere)
    this.positions = Array.from({ length: dataCount + parityCount }, () => 0)
  }

  /** Says where chunk `index` is: `position` bytes into `buffer`. */
  place(index: number, buffer: Buffer, position: number): void {
    if (index >= this.buffers.length) {
      throw new RangeError(`chunk ${index} in a row of ${this.buffers.length}`)
    }
    this.buffers[index] = buffer
    this.positions[index] = position
  }
}
