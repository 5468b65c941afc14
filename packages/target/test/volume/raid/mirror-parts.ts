/** A mirror of disks that fail when told to, with what an array would have around it. */
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { checksumAreaBytes } from '../../../src/volume/raid/checksum-page.ts'
import { IntegrityVolume } from '../../../src/volume/raid/integrity-volume.ts'
import type { Member, MemberFailures, MemberState } from '../../../src/volume/raid/member.ts'
import {
  MirroredVolume,
  type MirroredVolumeOptions,
} from '../../../src/volume/raid/mirrored-volume.ts'
import type { WriteIntents } from '../../../src/volume/raid/write-intents.ts'
import { type IoCompletion, type Volume, VolumeError } from '../../../src/volume/volume.ts'

export const KIB = 1024
export const MIB = 1024 * KIB

/** Runs something, but not at once. */
export type Later = (run: () => void) => void

export class TestMember implements Member {
  readonly number: number
  state: MemberState = 'in-sync'
  volume: Volume | null

  constructor(number: number, volume: Volume) {
    this.number = number
    this.volume = volume
  }

  leave(): void {
    this.state = 'absent'
    this.volume = null
  }

  /** A new disk comes in its place. */
  replace(volume: Volume): void {
    this.state = 'rebuilding'
    this.volume = volume
  }
}

/** Takes members out as long as another one is in sync, and refuses otherwise, or if told to. */
export class TestFailures implements MemberFailures {
  /** The numbers of the members taken out. */
  readonly failed: number[] = []
  refuses = false
  readonly #members: readonly TestMember[]
  readonly #later: Later

  constructor(members: readonly TestMember[], later: Later) {
    this.#members = members
    this.#later = later
  }

  fail(memberNumber: number, cause: VolumeError, completion: IoCompletion): void {
    this.#later(() => completion.ioCompleted(this.#takeOut(memberNumber, cause)))
  }

  #takeOut(memberNumber: number, cause: VolumeError): VolumeError | null {
    const member = this.#members.find(({ number }) => number === memberNumber)!
    if (member.state === 'absent') return null
    const needed = !this.#members.some((other) => other !== member && other.state === 'in-sync')
    if (this.refuses || needed) {
      return new VolumeError(cause.op, 'array', 0, new Error(`member ${memberNumber} stays`))
    }
    member.leave()
    this.failed.push(memberNumber)
    return null
  }
}

interface Range {
  readonly offset: number
  readonly length: number
}

/** Knows which writes have begun. */
export class TestIntents implements WriteIntents {
  /** Begun, and not ended. */
  readonly open: Range[] = []
  /** All that `beginNow` has let begin. */
  readonly begunNow: Range[] = []
  refusesNow = false
  refuses = false
  /** Marks are to stay. */
  areHeld = false
  /** Keeps back what it would report until `letGo`. */
  holds = false
  readonly #held: (() => void)[] = []
  readonly #later: Later

  constructor(later: Later) {
    this.#later = later
  }

  beginNow(offset: number, length: number): boolean {
    if (!this.refusesNow) this.begunNow.push({ offset, length })
    return !this.refusesNow
  }

  begin(offset: number, length: number, completion: IoCompletion): void {
    const report = () => {
      if (!this.refuses) this.open.push({ offset, length })
      const error = new VolumeError('write', 'intents', offset, new Error('refused'))
      completion.ioCompleted(this.refuses ? error : null)
    }
    if (this.holds) this.#held.push(report)
    else this.#later(report)
  }

  letGo(): void {
    this.holds = false
    for (const report of this.#held.splice(0)) this.#later(report)
  }

  end(offset: number, length: number): void {
    const index = this.open.findIndex((range) => range.offset === offset && range.length === length)
    if (index < 0) throw new Error(`a write at ${offset} ended that had not begun`)
    this.open.splice(index, 1)
  }

  holdMarks(): void {
    this.areHeld = true
  }
}

export interface TestMirrorOptions {
  readonly count?: number
  readonly sizeBytes?: number
  /** Put between the mirror and a disk. */
  readonly wrap?: (disk: Volume, number: number) => Volume
  readonly later?: Later
  readonly isDoubtful?: MirroredVolumeOptions['isDoubtful']
}

export interface TestMirror {
  readonly mirror: MirroredVolume
  readonly members: readonly TestMember[]
  /** What each member holds in truth, and the faults before it. */
  readonly memories: readonly MemoryVolume[]
  readonly faults: readonly FaultVolume[]
  readonly failures: TestFailures
  readonly intents: TestIntents
}

export function makeMirror(options: TestMirrorOptions = {}): TestMirror {
  const { count = 2, sizeBytes = MIB, wrap = (disk) => disk, later = setImmediate } = options
  const memories = Array.from({ length: count }, (_, i) => new MemoryVolume(`disk${i}`, sizeBytes))
  const faults = memories.map((memory) => new FaultVolume(memory))
  const members = faults.map((fault, number) => new TestMember(number, wrap(fault, number)))
  const failures = new TestFailures(members, later)
  const intents = new TestIntents(later)
  const mirror = new MirroredVolume({
    name: 'mirror',
    sizeBytes,
    members,
    failures,
    intents,
    ...(options.isDoubtful === undefined ? {} : { isDoubtful: options.isDoubtful }),
  })
  return { mirror, members, memories, faults, failures, intents }
}

export interface CheckedMirror extends TestMirror {
  /** The members' volumes as they were made. */
  readonly checked: readonly IntegrityVolume[]
}

/** Its members have checksums, which are on disks of their own. */
export function makeCheckedMirror(options: Omit<TestMirrorOptions, 'wrap'> = {}): CheckedMirror {
  const checked: IntegrityVolume[] = []
  const wrap = (data: Volume, number: number) => {
    const checksums = new MemoryVolume(data.name, checksumAreaBytes(data.sizeBytes))
    checked[number] = new IntegrityVolume({ data, checksums })
    return checked[number]
  }
  return { ...makeMirror({ ...options, wrap }), checked }
}

/** What a memory holds from its beginning, or at an offset. */
export function held(memory: MemoryVolume, offset = 0, length = memory.sizeBytes): Buffer {
  const bytes = Buffer.alloc(length)
  if (!memory.readNow(offset, bytes, 0, length)) throw new Error(`${memory.name} is closed`)
  return bytes
}

/** Puts bytes on one disk, behind the mirror's back. */
export function plant(memory: MemoryVolume, offset: number, bytes: Buffer): void {
  if (!memory.writeNow(offset, bytes, 0, bytes.length)) throw new Error(`${memory.name} is closed`)
}

/** No two blocks of these are alike. */
export function numbered(length: number, first = 1): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 512) bytes.fill(`${first + at / 512};`, at, at + 512)
  return bytes
}
