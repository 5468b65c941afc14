/** The copies of the bitmap on the members: read when the array is assembled, and kept alike from then on. */
import { FanInPool } from '../fan-in.ts'
import { settled } from '../settled.ts'
import { type Volume, VolumeError } from '../volume.ts'
import {
  BLOCK_BITS_BYTES,
  blockOffset,
  countBlocks,
  countRegions,
  decodeBlock,
  encodeBlock,
  encodeHeader,
  INTENT_BLOCK_BYTES,
  type IntentGeometry,
  intentAreaBytes,
} from './intent-format.ts'
import type { Member, MemberFailures } from './member.ts'
import { RegionSet } from './region-set.ts'

export interface IntentCopiesOptions extends IntentGeometry {
  /** Names the bitmap in errors. */
  readonly name: string
  /** The members with the area of the bitmap as their volume. */
  readonly members: readonly Member[]
  readonly failures: MemberFailures
}

/** A stretch of the area. */
interface Stretch {
  readonly offset: number
  readonly length: number
}

/** One call at a time. */
export class IntentCopies {
  readonly #options: IntentCopiesOptions
  /** What each copy is to hold. */
  readonly #area: Buffer
  /** By member number, the volume that has been given all of it. */
  readonly #given = new Map<number, Volume>()
  readonly #fanIns = new FanInPool()

  constructor(options: IntentCopiesOptions) {
    this.#options = options
    this.#area = makeArea(options, emptyRegions(options))
  }

  /** Makes a copy that names no region, durably. Rejects with VolumeError. */
  static async format(volume: Volume, geometry: IntentGeometry): Promise<void> {
    const area = makeArea(geometry, emptyRegions(geometry))
    await settled((completion) => volume.write(0, area, 0, area.length, completion))
    await settled((completion) => volume.flush(completion))
  }

  /** Whether a member has come since the last `write`. */
  get areIncomplete(): boolean {
    return this.#options.members.some(
      ({ number, volume }) => volume !== null && this.#given.get(number) !== volume,
    )
  }

  /**
   * The regions that any copy names, which all of them name durably from then on: a region that was on its
   * way out, or not yet in, counts as one in which the members may differ. Rejects with VolumeError.
   */
  async load(): Promise<RegionSet> {
    const regions = emptyRegions(this.#options)
    const found = new Map<Volume, Buffer>()
    for (const { volume } of this.#options.members) {
      if (volume === null) continue
      const area = await this.#read(volume)
      found.set(volume, area)
      this.#decode(area, regions)
    }
    makeArea(this.#options, regions).copy(this.#area)
    for (const { number, volume } of this.#options.members) {
      if (volume !== null && found.get(volume)?.equals(this.#area)) this.#given.set(number, volume)
    }
    // What was read may not be durable yet: a process can end between the write and the flush.
    await this.write(regions, [], true)
    return regions
  }

  /**
   * Gives these blocks of the bits of `regions` to all members that are there, and everything to those that
   * have come since; durably if it is said so. A member that cannot take them is failed. Rejects with
   * VolumeError if the array cannot do without it, or if no member is left.
   */
  async write(regions: RegionSet, blocks: Iterable<number>, isDurable: boolean): Promise<void> {
    const stretches: Stretch[] = []
    for (const block of blocks) {
      encodeBlock(this.#options, block, regions, this.#area)
      stretches.push({ offset: blockOffset(block), length: INTENT_BLOCK_BYTES })
    }
    const { members, name } = this.#options
    // The area is read until all have ended.
    const outcomes = await Promise.allSettled(
      members.map((member) => this.#give(member, stretches, isDurable)),
    )
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    if (members.some(({ volume }) => volume !== null)) return
    throw new VolumeError('write', name, 0, 'none of the members is left')
  }

  async #give(member: Member, stretches: readonly Stretch[], isDurable: boolean): Promise<void> {
    const { number, volume } = member
    if (volume === null) return
    const isKnown = this.#given.get(number) === volume
    try {
      const wanted = isKnown ? stretches : [{ offset: 0, length: this.#area.length }]
      await this.#writeStretches(volume, wanted)
      if (isDurable || !isKnown) await settled((completion) => volume.flush(completion))
      this.#given.set(number, volume)
    } catch (error) {
      this.#given.delete(number)
      // Otherwise it has been failed already, and another disk may have its place.
      if (member.volume !== volume) return
      const { failures } = this.#options
      await settled((completion) => failures.fail(number, error as VolumeError, completion))
    }
  }

  async #writeStretches(volume: Volume, stretches: readonly Stretch[]): Promise<void> {
    if (stretches.length === 0) return
    await settled((completion) => {
      const whole = this.#fanIns.start(stretches.length, completion)
      for (const { offset, length } of stretches) {
        volume.write(offset, this.#area, offset, length, whole)
      }
    })
  }

  /** Blocks that cannot be read are zeros, which is not a block as it should be. */
  async #read(volume: Volume): Promise<Buffer> {
    const area = Buffer.alloc(this.#area.length)
    for (let offset = 0; offset < area.length; offset += INTENT_BLOCK_BYTES) {
      const block = Buffer.alloc(INTENT_BLOCK_BYTES)
      await settled((completion) => volume.read(offset, block, 0, block.length, completion)).then(
        () => block.copy(area, offset),
        () => {},
      )
    }
    return area
  }

  #decode(area: Buffer, regions: RegionSet): void {
    const header = area.subarray(0, INTENT_BLOCK_BYTES)
    if (!header.equals(this.#area.subarray(0, INTENT_BLOCK_BYTES))) regions.addAll()
    for (let block = 0; block < countBlocks(regions.size); block++) {
      decodeBlock(this.#options, block, area, regions)
    }
  }
}

function emptyRegions(geometry: IntentGeometry): RegionSet {
  const count = countRegions(geometry)
  return new RegionSet(count, countBlocks(count) * BLOCK_BITS_BYTES)
}

function makeArea(geometry: IntentGeometry, regions: RegionSet): Buffer {
  const area = Buffer.alloc(intentAreaBytes(regions.size))
  encodeHeader(geometry).copy(area)
  for (let block = 0; block < countBlocks(regions.size); block++) {
    encodeBlock(geometry, block, regions, area)
  }
  return area
}
