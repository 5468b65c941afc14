/** Members with nothing but a bitmap, and what the bitmap wants of the array round it. */
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { IntentBitmap, type IntentBitmapOptions } from '../../../src/volume/raid/intent-bitmap.ts'
import { IntentCopies } from '../../../src/volume/raid/intent-copies.ts'
import {
  countBlocks,
  countRegions,
  decodeBlock,
  type IntentGeometry,
  intentAreaBytes,
} from '../../../src/volume/raid/intent-format.ts'
import type { Member, MemberFailures, MemberState } from '../../../src/volume/raid/member.ts'
import { RegionSet } from '../../../src/volume/raid/region-set.ts'
import { type IoCompletion, type Volume, VolumeError } from '../../../src/volume/volume.ts'
import { io, readAll } from '../io.ts'
import { FakeClock } from './fake-clock.ts'

export const KIB = 1024
export const REGION = 64 * KIB
export const IDLE_MS = 1000

export function geometryOf(regionCount: number): IntentGeometry {
  return {
    arrayId: '3d2f5a0c-7f0e-4a53-9d0b-1c5b0f5e6a77',
    memberSizeBytes: regionCount * REGION,
    regionSizeBytes: REGION,
  }
}

/** An area as it is before anything was written to it. */
export function blankArea(name: string, { memberSizeBytes, regionSizeBytes }: IntentGeometry) {
  return new MemoryVolume(name, intentAreaBytes(Math.ceil(memberSizeBytes / regionSizeBytes)))
}

/** Blank copies, one for each of `count` members. */
export async function formatted(count: number, geometry: IntentGeometry): Promise<MemoryVolume[]> {
  const areas = Array.from({ length: count }, (_, i) => blankArea(`m${i}`, geometry))
  for (const area of areas) await IntentCopies.format(area, geometry)
  return areas
}

/** What a copy says. */
export async function regionsOn(area: Volume, geometry: IntentGeometry): Promise<number[]> {
  const bytes = await readAll(area, 0, area.sizeBytes)
  const count = countRegions(geometry)
  const regions = new RegionSet(count)
  for (let block = 0; block < countBlocks(count); block++) {
    decodeBlock(geometry, block, bytes, regions)
  }
  return [...regionsIn(regions)]
}

export function* regionsIn(regions: RegionSet): Generator<number> {
  for (let at = regions.next(0); at >= 0; at = regions.next(at + 1)) yield at
}

export interface LiveMember extends Member {
  state: MemberState
  volume: Volume | null
}

export function membersOn(volumes: readonly Volume[]): LiveMember[] {
  return volumes.map((volume, number) => ({ number, state: 'in-sync', volume }))
}

/** Takes members out as long as one is left. */
export class Failures implements MemberFailures {
  readonly failed: number[] = []
  readonly #members: readonly LiveMember[]

  constructor(members: readonly LiveMember[]) {
    this.#members = members
  }

  fail(memberNumber: number, cause: VolumeError, completion: IoCompletion): void {
    const others = this.#members.filter(
      ({ number, volume }) => number !== memberNumber && volume !== null,
    )
    const member = this.#members[memberNumber]!
    if (others.length > 0) {
      this.failed.push(memberNumber)
      member.state = 'absent'
      member.volume = null
    }
    const error = others.length > 0 ? null : new VolumeError(cause.op, 'array', 0, cause)
    setImmediate(() => completion.ioCompleted(error))
  }
}

/** A bitmap over some members whose areas can fail. */
export class IntentArray {
  readonly geometry: IntentGeometry
  readonly clock = new FakeClock()
  readonly areas: FaultVolume[]
  readonly members: LiveMember[]
  readonly failures: Failures
  flushCount = 0
  /** What a flush of the data waits for, and whether it fails then. */
  beforeFlush: () => Promise<void> = async () => {}

  constructor(geometry: IntentGeometry, volumes: readonly Volume[]) {
    this.geometry = geometry
    this.areas = volumes.map((volume) => new FaultVolume(volume))
    this.members = membersOn(this.areas)
    this.failures = new Failures(this.members)
  }

  static async create(memberCount: number, regionCount: number): Promise<IntentArray> {
    const geometry = geometryOf(regionCount)
    return new IntentArray(geometry, await formatted(memberCount, geometry))
  }

  load(options: Partial<IntentBitmapOptions> = {}): Promise<IntentBitmap> {
    return IntentBitmap.load({
      ...this.geometry,
      name: 'array',
      members: this.members,
      failures: this.failures,
      flush: (completion) => this.flush(completion),
      idleMs: IDLE_MS,
      markAheadBytes: 0,
      clock: this.clock,
      ...options,
    })
  }

  readonly flush = (completion: IoCompletion): void => {
    this.flushCount++
    this.beforeFlush().then(
      () => setImmediate(() => completion.ioCompleted(null)),
      (error) => setImmediate(() => completion.ioCompleted(error)),
    )
  }

  /** What the copy of a member says. */
  async regionsOf(memberNumber: number): Promise<number[]> {
    return regionsOn(this.areas[memberNumber]!, this.geometry)
  }

  async regionsOfAll(): Promise<number[][]> {
    return Promise.all(this.areas.map((area) => regionsOn(area, this.geometry)))
  }

  get areaFlushes(): number[] {
    return this.areas.map(({ started }) => started.flush)
  }
}

/** Begins a write of a region, or of some. */
export function beginRegion(bitmap: IntentBitmap, region: number, count = 1): Promise<void> {
  return io((completion) => bitmap.begin(region * REGION, count * REGION, completion))
}

export function endRegion(bitmap: IntentBitmap, region: number, count = 1): void {
  bitmap.end(region * REGION, count * REGION)
}

/** A write of a region, from its begin to its end. */
export async function touch(bitmap: IntentBitmap, region: number): Promise<void> {
  await beginRegion(bitmap, region)
  endRegion(bitmap, region)
}
