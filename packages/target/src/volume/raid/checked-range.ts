/** Bytes asked for, as the blocks that have checksums: pure arithmetic, and room for blocks at the ends. */
import { CHECKED_BLOCK_BYTES } from './checksum-page.ts'

/** All of a block of which a range covers a part. */
export class EdgeBlock {
  offset = 0
  /** Its bytes are those that were once written: only then its checksum may follow a change. */
  isRight = false
  readonly bytes = Buffer.allocUnsafeSlow(CHECKED_BLOCK_BYTES)
}

/** One long-lived record, set anew for each range. */
export class CheckedRange {
  /** The bytes asked for: `[start, end)`. */
  start = 0
  end = 0
  /** The blocks they lie in. */
  offset = 0
  length = 0
  /** The blocks that are covered wholly, if any: `[wholeStart, wholeEnd)`. */
  wholeStart = 0
  wholeEnd = 0
  /** The first block, and the last, if they are covered in part: so many of these are used. */
  readonly edges: readonly EdgeBlock[] = [new EdgeBlock(), new EdgeBlock()]
  edgeCount = 0

  /** The range is not empty. */
  setRange(offset: number, length: number): void {
    const end = offset + length
    const first = roundDown(offset)
    const last = roundDown(end - 1)
    this.start = offset
    this.end = end
    this.offset = first
    this.length = last + CHECKED_BLOCK_BYTES - first
    this.wholeStart = first
    this.wholeEnd = first + this.length
    this.edgeCount = 0
    if (offset > first || end < first + CHECKED_BLOCK_BYTES) {
      this.#addEdge(first)
      this.wholeStart += CHECKED_BLOCK_BYTES
    }
    if (last >= this.wholeStart && end < last + CHECKED_BLOCK_BYTES) {
      this.#addEdge(last)
      this.wholeEnd = last
    }
  }

  /** The edge at `offset`, if there is one. */
  edgeAt(offset: number): EdgeBlock | null {
    for (let index = 0; index < this.edgeCount; index++) {
      const edge = this.edges[index]!
      if (edge.offset === offset) return edge
    }
    return null
  }

  /** Copies what was asked for of an edge to where byte `start` is `into[position]`. */
  copyFromEdge({ offset, bytes }: EdgeBlock, into: Buffer, position: number): void {
    const start = Math.max(this.start, offset)
    const end = Math.min(this.end, offset + CHECKED_BLOCK_BYTES)
    bytes.copy(into, position + start - this.start, start - offset, end - offset)
  }

  /** Copies into an edge what it has of the range, of which byte `start` is `from[position]`. */
  copyIntoEdge({ offset, bytes }: EdgeBlock, from: Buffer, position: number): void {
    const start = Math.max(this.start, offset)
    const end = Math.min(this.end, offset + CHECKED_BLOCK_BYTES)
    const at = position + start - this.start
    from.copy(bytes, start - offset, at, at + end - start)
  }

  /** Makes zeros of what an edge has of the range. */
  clearInEdge({ offset, bytes }: EdgeBlock): void {
    const start = Math.max(this.start, offset)
    bytes.fill(0, start - offset, Math.min(this.end - offset, CHECKED_BLOCK_BYTES))
  }

  #addEdge(offset: number): void {
    this.edges[this.edgeCount]!.offset = offset
    this.edgeCount++
  }
}

function roundDown(offset: number): number {
  return offset - (offset & (CHECKED_BLOCK_BYTES - 1))
}
