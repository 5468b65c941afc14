/** RAID 0: chunks dealt out to the members in turn. */
import { FanInPool } from './fan-in.ts'
import { assertRange } from './range.ts'
import { arrayOffset, memberRange, StripeCursor, type StripeGeometry } from './stripe.ts'
import { joinHoles } from './stripe-holes.ts'
import { HoleMap, type IoCompletion, type Volume, VolumeError } from './volume.ts'

/** What is to be striped. The chunk size is a power of two of at least the members' block size. */
export interface StripedVolumeOptions {
  readonly name: string
  readonly members: readonly Volume[]
  readonly chunkSizeBytes: number
  /** Where the array's bytes begin on each member; 0 if not given. A multiple of the block size. */
  readonly memberOffset?: number
  /** How many bytes of each member are used; what the smallest has if not given. */
  readonly memberSizeBytes?: number
}

/**
 * Its size is whole chunks of what is used of a member, times the number of members. It owns its members:
 * closing it closes them.
 */
export class StripedVolume implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  readonly #members: readonly Volume[]
  readonly #memberOffset: number
  readonly #geometry: StripeGeometry
  readonly #cursor: StripeCursor
  readonly #fanIns = new FanInPool((error) => this.#locate(error))

  constructor(options: StripedVolumeOptions) {
    const { name, members, chunkSizeBytes, memberOffset = 0 } = options
    const blockSizeBytes = Math.max(...members.map((member) => member.blockSizeBytes))
    const powerOfTwo = (chunkSizeBytes & (chunkSizeBytes - 1)) === 0
    if (!Number.isInteger(chunkSizeBytes) || !powerOfTwo || chunkSizeBytes < blockSizeBytes) {
      throw new RangeError(
        `chunk size ${chunkSizeBytes} of ${name} is not a power of two of at least ${blockSizeBytes} bytes`,
      )
    }
    const smallest = Math.min(...members.map((member) => member.sizeBytes)) - memberOffset
    const used = options.memberSizeBytes ?? smallest
    if (used > smallest) throw new RangeError(`${used} bytes of each member of ${name} exceed it`)
    this.name = name
    this.sizeBytes = (used - (used % chunkSizeBytes)) * members.length
    this.blockSizeBytes = blockSizeBytes
    this.#members = members
    this.#geometry = { memberCount: members.length, chunkSizeBytes }
    this.#memberOffset = memberOffset
    this.#cursor = new StripeCursor(this.#geometry)
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    const cursor = this.#cursor
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const member = this.#members[cursor.member]!
      const memberOffset = this.#memberOffset + cursor.memberOffset
      const at = position + cursor.position
      if (!member.readNow(memberOffset, into, at, cursor.length)) return false
    }
    return true
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    const cursor = this.#cursor
    for (cursor.seek(offset, length); cursor.length > 0; cursor.next()) {
      const member = this.#members[cursor.member]!
      const memberOffset = this.#memberOffset + cursor.memberOffset
      const at = position + cursor.position
      if (!member.writeNow(memberOffset, from, at, cursor.length)) return false
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
      const memberOffset = this.#memberOffset + cursor.memberOffset
      member.read(memberOffset, into, position + cursor.position, cursor.length, whole)
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
      const memberOffset = this.#memberOffset + cursor.memberOffset
      member.write(memberOffset, from, position + cursor.position, cursor.length, whole)
    }
  }

  flush(completion: IoCompletion): void {
    const whole = this.#fanIns.start(this.#members.length, completion)
    for (const member of this.#members) member.flush(whole)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    const whole = this.#fanIns.start(this.#members.length, completion)
    for (const [index, member] of this.#members.entries()) {
      const range = memberRange(this.#geometry, index, offset, length)
      member.discard(this.#memberOffset + range.memberOffset, range.length, whole)
    }
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    const found = this.#members.map(() => new HoleMap(map.runsMax))
    const ioCompleted = (error: VolumeError | null) => {
      if (error === null) joinHoles(this.#geometry, offset, length, found, map)
      completion.ioCompleted(error)
    }
    const whole = this.#fanIns.start(this.#members.length, { ioCompleted })
    for (const [index, member] of this.#members.entries()) {
      const range = memberRange(this.#geometry, index, offset, length)
      member.locateHoles(
        this.#memberOffset + range.memberOffset,
        range.length,
        found[index]!,
        whole,
      )
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.close()))
  }

  /** What the pieces of a transfer report to. */
  #join(offset: number, length: number, completion: IoCompletion): IoCompletion {
    const pieces = this.#cursor.countPieces(offset, length)
    if (pieces > 0) return this.#fanIns.start(pieces, completion)
    process.nextTick(reportSuccess, completion)
    return completion
  }

  /** Where in the array an error of a member lies, if it is known which member it is. */
  #locate(error: VolumeError): VolumeError {
    const { op, volume, offset } = error
    const members = this.#members.filter(({ name }) => name === volume)
    if (members.length !== 1 || op === 'flush' || offset < this.#memberOffset) return error
    const member = this.#members.indexOf(members[0]!)
    const at = arrayOffset(this.#geometry, member, offset - this.#memberOffset)
    return new VolumeError(op, this.name, at, error)
  }
}

function reportSuccess(completion: IoCompletion): void {
  completion.ioCompleted(null)
}
