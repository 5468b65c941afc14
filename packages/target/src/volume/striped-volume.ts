/** RAID 0: chunks dealt out to the members in turn. */
import { type FanIn, FanInPool } from './fan-in.ts'
import { assertRange } from './range.ts'
import { memberRange, StripeCursor } from './stripe.ts'
import type { IoCompletion, Volume } from './volume.ts'

/** What is to be striped. The chunk size is a power of two of at least the members' block size. */
export interface StripedVolumeOptions {
  readonly name: string
  readonly members: readonly Volume[]
  readonly chunkSizeBytes: number
}

/**
 * Its size is whole chunks of the smallest member, times the number of members. It owns its members:
 * closing it closes them.
 */
export class StripedVolume implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  readonly #members: readonly Volume[]
  readonly #chunkSizeBytes: number
  readonly #cursor: StripeCursor
  readonly #fanIns = new FanInPool()

  constructor({ name, members, chunkSizeBytes }: StripedVolumeOptions) {
    const blockSizeBytes = Math.max(...members.map((member) => member.blockSizeBytes))
    const powerOfTwo = (chunkSizeBytes & (chunkSizeBytes - 1)) === 0
    if (!Number.isInteger(chunkSizeBytes) || !powerOfTwo || chunkSizeBytes < blockSizeBytes) {
      throw new RangeError(
        `chunk size ${chunkSizeBytes} of ${name} is not a power of two of at least ${blockSizeBytes} bytes`,
      )
    }
    const smallest = Math.min(...members.map((member) => member.sizeBytes))
    this.name = name
    this.sizeBytes = (smallest - (smallest % chunkSizeBytes)) * members.length
    this.blockSizeBytes = blockSizeBytes
    this.#members = members
    this.#chunkSizeBytes = chunkSizeBytes
    this.#cursor = new StripeCursor({ memberCount: members.length, chunkSizeBytes })
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    const cursor = this.#cursor
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const member = this.#members[cursor.member]!
      const at = position + cursor.position
      if (!member.readNow(cursor.memberOffset, into, at, cursor.length)) return false
    }
    return true
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    const cursor = this.#cursor
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const member = this.#members[cursor.member]!
      const at = position + cursor.position
      if (!member.writeNow(cursor.memberOffset, from, at, cursor.length)) return false
    }
    return true
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    const cursor = this.#cursor
    const whole = this.#join(offset, length, completion)
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const member = this.#members[cursor.member]!
      member.read(cursor.memberOffset, into, position + cursor.position, cursor.length, whole)
    }
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    const cursor = this.#cursor
    const whole = this.#join(offset, length, completion)
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const member = this.#members[cursor.member]!
      member.write(cursor.memberOffset, from, position + cursor.position, cursor.length, whole)
    }
  }

  flush(completion: IoCompletion): void {
    const whole = this.#fanIns.start(this.#members.length, completion)
    for (const member of this.#members) member.flush(whole)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    const geometry = { memberCount: this.#members.length, chunkSizeBytes: this.#chunkSizeBytes }
    const whole = this.#fanIns.start(this.#members.length, completion)
    for (const [index, member] of this.#members.entries()) {
      const range = memberRange(geometry, index, offset, length)
      member.discard(range.memberOffset, range.length, whole)
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.close()))
  }

  /** What the pieces of a transfer report to: the caller itself if there is only one. */
  #join(offset: number, length: number, completion: IoCompletion): IoCompletion | FanIn {
    const pieces = this.#cursor.countPieces(offset, length)
    if (pieces === 1) return completion
    if (pieces > 1) return this.#fanIns.start(pieces, completion)
    process.nextTick(reportSuccess, completion)
    return completion
  }
}

function reportSuccess(completion: IoCompletion): void {
  completion.ioCompleted(null)
}
