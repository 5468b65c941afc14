/**
 * The disks of an array and what their labels say: every change of the array's description, members that
 * come and go included, is made here, one after another, and counts when all disks there have it.
 */
import {
  type ArrayDescription,
  type DiskArea,
  isUsable,
  levels,
  type MemberEntry,
} from './array-description.ts'
import { ArrayError } from './array-error.ts'
import { writeLabel } from './label-slots.ts'
import { type Clock, systemClock } from './raid/clock.ts'
import type { Member, MemberFailures, MemberState, MemberVolume } from './raid/member.ts'
import { TimedDisks } from './raid/timed-disks.ts'
import { SliceVolume } from './slice-volume.ts'
import { type IoCompletion, type Volume, VolumeError } from './volume.ts'

export interface ArrayMembersOptions {
  /** As it stands in the labels of all disks given, or is about to: see `complete`. */
  readonly description: ArrayDescription
  /** In member order; null for members that are absent. */
  readonly disks: readonly (Volume | null)[]
  /** A member has been taken out, durably. */
  readonly onLost?: (memberNumber: number, disk: Volume, cause: Error) => void
  readonly clock?: Clock | undefined
  /** How long a disk may take to answer if the array can do without it; see TimedVolume. */
  readonly answerTimeoutMs?: number | undefined
}

/** Makes a member's volume of its disk. */
export type OpenMember = (disk: Volume) => MemberVolume

/** The disks stay the caller's. With redundancy they have to answer: see `accessTo`. */
export class ArrayMembers implements MemberFailures {
  readonly #disks: (Volume | null)[]
  /** What is used in place of each disk. */
  readonly #accesses: (Volume | null)[]
  readonly #timed: TimedDisks
  readonly #onLost: ArrayMembersOptions['onLost']
  #description: ArrayDescription
  #last: Promise<unknown> = Promise.resolve()
  #sealed: string | null = null

  constructor(options: ArrayMembersOptions) {
    const { description, disks, onLost, clock = systemClock, answerTimeoutMs } = options
    const { level, members } = description
    const canLose = levels[level].redundancy(members.length) > 0
    this.#timed = new TimedDisks(canLose ? { clock, timeoutMs: answerTimeoutMs } : null)
    this.#description = description
    this.#disks = [...disks]
    this.#accesses = disks.map((disk) => disk && this.#timed.of(disk))
    this.#onLost = onLost
  }

  get description(): ArrayDescription {
    return this.#description
  }

  /** Why no more changes are taken: what the labels hold is not known, or the array is gone; or null. */
  get sealed(): string | null {
    return this.#sealed
  }

  /** The disks by member number; null where a member is absent. */
  get disks(): readonly (Volume | null)[] {
    return this.#disks
  }

  /** The disks of the members that are there. */
  present(): Volume[] {
    return this.#disks.filter((disk) => disk !== null)
  }

  /**
   * What to use in place of a disk, a member or not, so that one that hangs cannot keep the array waiting for
   * ever. It is another one, and so are the volumes of the levels, each time that the disk comes to the array.
   */
  accessTo(disk: Volume): Volume {
    return this.#timed.of(disk)
  }

  /** Whether the disk was given up, and what it was asked may still happen. */
  isHanging(disk: Volume): boolean {
    return this.#timed.isHanging(disk)
  }

  /** For a disk that was a member: resolves when nothing that it was asked then can happen any more. Rejects with ArrayError. */
  async settled(disk: Volume): Promise<void> {
    if (await this.#timed.settled(disk)) return
    throw new ArrayError('in-use', `${disk.name} has not answered yet what it was asked before`)
  }

  /** Of a member, what the levels use. */
  access(memberNumber: number): Volume | null {
    return this.#accesses[memberNumber]!
  }

  /** The members as a level sees them, each with the volume that `open` makes of its disk. */
  view(open: OpenMember): readonly Member[] {
    return this.#description.members.map((_, number) => new MemberView(this, number, open))
  }

  /** The members with this area of each disk as their volume. */
  viewArea(area: DiskArea): readonly Member[] {
    return this.view((disk) => new SliceVolume(disk, area))
  }

  /**
   * Makes what `change` returns the description of the array, durably, in the order of the calls; nothing if
   * it returns what it was given. The generation is counted here. A disk that cannot be written is taken out
   * if the array can do without it. Rejects with what `change` throws, or with ArrayError `storage-failed`:
   * then whether the change counts shows when the array is next assembled, and no more are taken.
   */
  update(change: (now: ArrayDescription) => ArrayDescription): Promise<void> {
    const result = this.#last.then(() => {
      if (this.#sealed !== null) throw new ArrayError('storage-failed', this.#sealed)
      const next = change(this.#description)
      return next === this.#description ? undefined : this.#write(next)
    })
    this.#last = result.catch(() => {})
    return result
  }

  fail(memberNumber: number, cause: VolumeError, completion: IoCompletion): void {
    this.takeOut(memberNumber, cause).then(
      () => completion.ioCompleted(null),
      (error) => completion.ioCompleted(asVolumeError(error, cause)),
    )
  }

  /** Makes a member absent, durably. Rejects with ArrayError if the array cannot do without it. */
  async takeOut(memberNumber: number, cause: Error): Promise<void> {
    const disk = this.#disks[memberNumber]!
    let wasThere = false
    await this.update((now) => {
      wasThere = now.members[memberNumber]!.state !== 'absent'
      if (!wasThere) return now
      const next = withState(now, [memberNumber], 'absent')
      if (isUsable(now.level, statesOf(next))) return next
      const name = disk?.name ?? `member ${memberNumber}`
      throw new ArrayError(
        'storage-failed',
        `array ${now.arrayName} cannot do without ${name}: ${cause.message}`,
        { cause },
      )
    })
    if (!wasThere || disk === null) return
    this.#onLost?.(memberNumber, disk, cause)
  }

  /** Puts a disk in the place of an absent member, to be rebuilt. `diskId` is a new one, or its own. */
  async bringIn(memberNumber: number, disk: Volume, diskId: string): Promise<void> {
    await this.update((now) => {
      const { state } = now.members[memberNumber]!
      if (state !== 'absent') {
        const message = `member ${memberNumber} of array ${now.arrayName} is ${state}`
        throw new ArrayError('in-use', message)
      }
      this.#disks[memberNumber] = disk
      this.#accesses[memberNumber] = this.accessTo(disk)
      const members = now.members.map((member, number) =>
        number === memberNumber ? { ...member, diskId } : member,
      )
      return withState({ ...now, members }, [memberNumber], 'rebuilding')
    })
    if (this.#description.members[memberNumber]!.state !== 'absent') return
    const { arrayName } = this.#description
    throw new ArrayError('storage-failed', `${disk.name} cannot be written by array ${arrayName}`)
  }

  /** Members that were being rebuilt hold everything now. */
  rebuilt(memberNumbers: readonly number[]): Promise<void> {
    return this.update((now) => {
      const rebuilding = memberNumbers.filter(
        (number) => now.members[number]!.state === 'rebuilding',
      )
      return rebuilding.length === 0 ? now : withState(now, rebuilding, 'in-sync')
    })
  }

  /** After assembling: brings labels up to date that are one behind, and makes missing members absent. */
  async complete(behind: readonly number[], missing: readonly number[]): Promise<void> {
    // First, or a label could come to be two behind, and its disk pass for one that is out of date.
    for (const number of behind) await this.#writeTo(number, this.#description)
    if (missing.length > 0) await this.update((now) => withState(now, missing, 'absent'))
  }

  /** No changes are taken from now on. */
  seal(reason: string): void {
    this.#sealed ??= reason
  }

  /** Resolves when the changes asked for so far are over. */
  async idle(): Promise<void> {
    await this.#last
  }

  async #write(description: ArrayDescription): Promise<void> {
    let written = this.#description
    let wanted = description
    const lost = new Map<number, Error>()
    for (;;) {
      const dated = dateMembers(wanted, written)
      const failed = await this.#writeToAll(dated)
      if (failed.size === 0) {
        this.#description = dated
        this.#dropDisks(lost)
        return
      }
      for (const [number, cause] of failed) lost.set(number, cause)
      written = dated
      wanted = withState(dated, [...failed.keys()], 'absent')
      if (!isUsable(wanted.level, statesOf(wanted))) this.#sealWith([...failed.values()][0]!)
    }
  }

  /** Labels that agree no more: a further change could leave two that differ under one number. */
  #sealWith(cause: Error): never {
    const { arrayName } = this.#description
    this.#sealed = `a change of array ${arrayName} did not reach all its disks; whether it counts shows when the array is next assembled`
    throw new ArrayError('storage-failed', `${this.#sealed}: ${cause.message}`, { cause })
  }

  /** Which disks could not be written, and why. */
  async #writeToAll(description: ArrayDescription): Promise<Map<number, Error>> {
    const failed = new Map<number, Error>()
    const writes = description.members.map(async ({ state }, number) => {
      if (state === 'absent') return
      try {
        await this.#writeTo(number, description)
      } catch (error) {
        failed.set(number, error as Error)
      }
    })
    await Promise.all(writes)
    return failed
  }

  #writeTo(memberNumber: number, description: ArrayDescription): Promise<void> {
    return writeLabel(this.#accesses[memberNumber]!, { ...description, memberNumber })
  }

  #dropDisks(lost: ReadonlyMap<number, Error>): void {
    for (const [number, { state }] of this.#description.members.entries()) {
      const disk = this.#disks[number]!
      if (state !== 'absent' || disk === null) continue
      this.#disks[number] = null
      this.#accesses[number] = null
      this.#timed.end(disk, 'it is no member any more')
      const cause = lost.get(number)
      if (cause !== undefined) this.#onLost?.(number, disk, cause)
    }
  }
}

/** A member for the levels: its state and volume are what they are when looked at. */
class MemberView implements Member {
  readonly number: number
  readonly #members: ArrayMembers
  readonly #open: OpenMember
  #disk: Volume | null = null
  #volume: MemberVolume | null = null

  constructor(members: ArrayMembers, number: number, open: OpenMember) {
    this.number = number
    this.#members = members
    this.#open = open
  }

  get state(): MemberState {
    return this.#members.description.members[this.number]!.state
  }

  get volume(): MemberVolume | null {
    if (this.state === 'absent') return null
    const disk = this.#members.access(this.number)
    if (disk !== this.#disk) {
      this.#disk = disk
      this.#volume = disk && this.#open(disk)
    }
    return this.#volume
  }
}

export function statesOf({ members }: ArrayDescription): MemberState[] {
  return members.map(({ state }) => state)
}

function withState(
  now: ArrayDescription,
  memberNumbers: readonly number[],
  state: MemberState,
): ArrayDescription {
  const members = now.members.map((member, number) =>
    memberNumbers.includes(number) ? { ...member, state } : member,
  )
  return { ...now, members }
}

/** The description with the next generation, which members that have changed bear. */
function dateMembers(next: ArrayDescription, before: ArrayDescription): ArrayDescription {
  const generation = before.generation + 1
  const members = next.members.map((member, number): MemberEntry => {
    const old = before.members[number]
    const same = old?.diskId === member.diskId && old.state === member.state
    return { ...member, since: same ? old.since : generation }
  })
  return { ...next, generation, members }
}

function asVolumeError(error: unknown, cause: VolumeError): VolumeError {
  if (error instanceof VolumeError) return error
  return new VolumeError(cause.op, cause.volume, cause.offset, error)
}
