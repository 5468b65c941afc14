/** Parity arrays on disks in memory, with what an array has around its level played by the test. */
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import type { Member, MemberFailures, MemberState } from '../../../src/volume/raid/member.ts'
import {
  dataCountOf,
  memberOf,
  type ParityGeometry,
} from '../../../src/volume/raid/parity-layout.ts'
import { ParityVolume } from '../../../src/volume/raid/parity-volume.ts'
import { RingJournal } from '../../../src/volume/raid/stripe-journal.ts'
import type { WriteIntents } from '../../../src/volume/raid/write-intents.ts'
import { type IoCompletion, type Volume, VolumeError } from '../../../src/volume/volume.ts'
import { io, readAll } from '../io.ts'
import { bytesOf, modelParities } from './parity-model.ts'

export const ARRAY_ID = '6f1c2a4e-9d3b-4c57-8e21-0b7d5a9c3f10'
const REGION_BYTES = 4096

export class TestMember implements Member {
  readonly number: number
  state: MemberState = 'in-sync'
  volume: Volume | null

  constructor(number: number, volume: Volume | null) {
    this.number = number
    this.volume = volume
    if (volume === null) this.state = 'absent'
  }
}

/** Remembers for ever which regions have been written, as if on a disk of its own. */
export class RecordedIntents implements WriteIntents {
  readonly regions: Set<number>
  /** Writes begun, and not ended. */
  active = 0
  /** Makes `begin` fail. */
  error: VolumeError | null = null

  constructor(regions = new Set<number>()) {
    this.regions = regions
  }

  beginNow(offset: number, length: number): boolean {
    this.#mark(offset, length)
    return true
  }

  begin(offset: number, length: number, completion: IoCompletion): void {
    this.active++
    const { error } = this
    if (error !== null) this.active--
    setImmediate(() => {
      if (error === null) this.#mark(offset, length)
      completion.ioCompleted(error)
    })
  }

  holdMarks(): void {}

  end(offset: number, length: number): void {
    this.active--
    if (!this.has(offset, length)) throw new Error('the end of a write that has not begun')
  }

  has(offset: number, length: number): boolean {
    for (let at = offset - (offset % REGION_BYTES); at < offset + length; at += REGION_BYTES) {
      if (!this.regions.has(at)) return false
    }
    return true
  }

  #mark(offset: number, length: number): void {
    for (let at = offset - (offset % REGION_BYTES); at < offset + length; at += REGION_BYTES) {
      this.regions.add(at)
    }
  }
}

export interface TestArrayOptions {
  readonly geometry: ParityGeometry
  readonly memberSizeBytes: number
  /** By member number; null where there is none. */
  readonly disks: readonly (Volume | null)[]
  readonly areas: readonly (Volume | null)[]
  readonly areaSizeBytes: number
  readonly intents?: RecordedIntents
  /** Whether the labels of the others can be written. */
  readonly canFail?: () => boolean
}

export class TestArray implements MemberFailures {
  readonly geometry: ParityGeometry
  readonly memberSizeBytes: number
  readonly members: readonly TestMember[]
  readonly areas: readonly TestMember[]
  readonly intents: RecordedIntents
  readonly journal: RingJournal
  readonly volume: ParityVolume
  /** The members that have been failed, in order. */
  readonly failed: number[] = []
  readonly #canFail: () => boolean

  constructor(options: TestArrayOptions) {
    const { geometry, memberSizeBytes, disks, areas, areaSizeBytes, intents } = options
    const name = 'array'
    this.geometry = geometry
    this.memberSizeBytes = memberSizeBytes
    this.members = disks.map((disk, number) => new TestMember(number, disk))
    this.areas = areas.map((area, number) => new TestMember(number, area))
    this.intents = intents ?? new RecordedIntents()
    this.#canFail = options.canFail ?? (() => true)
    this.journal = new RingJournal({
      name,
      arrayId: ARRAY_ID,
      areas: this.areas,
      areaSizeBytes,
      members: this.members,
      failures: this,
      parityCount: geometry.parityCount,
    })
    this.volume = new ParityVolume({
      name,
      geometry,
      memberSizeBytes,
      members: this.members,
      failures: this,
      intents: this.intents,
      journal: this.journal,
    })
  }

  fail(memberNumber: number, cause: VolumeError, completion: IoCompletion): void {
    setImmediate(() => {
      const lost = this.members.filter(({ state, number }) => {
        return state !== 'in-sync' || number === memberNumber
      })
      if (!this.#canFail() || lost.length > this.geometry.parityCount) {
        completion.ioCompleted(new VolumeError('write', 'array', 0, cause))
        return
      }
      this.remove(memberNumber)
      this.failed.push(memberNumber)
      completion.ioCompleted(null)
    })
  }

  /** Takes a disk out. */
  remove(memberNumber: number): void {
    for (const records of [this.members, this.areas]) {
      records[memberNumber]!.state = 'absent'
      records[memberNumber]!.volume = null
    }
  }

  /** Puts a disk in that is still to be rebuilt. */
  insert(memberNumber: number, disk: Volume, area: Volume): void {
    for (const [records, volume] of [
      [this.members, disk],
      [this.areas, area],
    ] as const) {
      records[memberNumber]!.state = 'rebuilding'
      records[memberNumber]!.volume = volume
    }
  }

  /** Fills the rebuilding members, which are in-sync then. */
  async rebuild(): Promise<void> {
    await this.volume.resync(0, this.memberSizeBytes)
    await io((done) => this.volume.flush(done))
    for (const member of [...this.members, ...this.areas]) {
      if (member.state === 'rebuilding') member.state = 'in-sync'
    }
  }

  /** Resyncs what has been written at any time. */
  async resyncRegions(): Promise<void> {
    for (const offset of this.intents.regions) await this.volume.resync(offset, REGION_BYTES)
  }

  /** Rows in which the members that are in-sync do not hold what the model says. */
  async findWrongRows(model: Buffer): Promise<string[]> {
    const { geometry } = this
    const { chunkSizeBytes, memberCount } = geometry
    const dataCount = dataCountOf(geometry)
    const wrong: string[] = []
    for (let row = 0; row < this.memberSizeBytes / chunkSizeBytes; row++) {
      const data = Array.from({ length: dataCount }, (_, index) => {
        const start = (row * dataCount + index) * chunkSizeBytes
        return model.subarray(start, start + chunkSizeBytes)
      })
      const chunks = [...data, ...modelParities(data, geometry.parityCount)]
      for (let index = 0; index < memberCount; index++) {
        const { state, volume, number } = this.members[memberOf(geometry, row, index)]!
        if (state !== 'in-sync') continue
        const found = await readAll(volume!, row * chunkSizeBytes, chunkSizeBytes)
        if (!found.equals(chunks[index]!)) wrong.push(`chunk ${index} of row ${row} on ${number}`)
      }
    }
    return wrong
  }
}

/** A disk in memory full of something. */
export function garbageDisk(name: string, sizeBytes: number): MemoryVolume {
  const disk = new MemoryVolume(name, sizeBytes)
  disk.writeNow(0, bytesOf(name.length, sizeBytes), 0, sizeBytes)
  return disk
}
