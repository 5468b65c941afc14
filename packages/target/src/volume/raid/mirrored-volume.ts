/** RAID 1: every member holds all of it. */
import { FanInPool } from '../fan-in.ts'
import { assertRange } from '../range.ts'
import { type HoleMap, type IoCompletion, VolumeError } from '../volume.ts'
import { CHECKED_BLOCK_BYTES } from './checksum-page.ts'
import type { Member, MemberFailures, RedundantVolume, ScrubFindings } from './member.ts'
import { hasInSync, type Mirror, outcome, wholeBlocks } from './mirror.ts'
import { type MendScope, mendRange, noFindings } from './mirror-copies.ts'
import { MirrorReads } from './mirror-reads.ts'
import { MirrorUpdates, type UpdateOp } from './mirror-update.ts'
import { RangeLocks } from './range-locks.ts'
import type { WriteIntents } from './write-intents.ts'

const UNHEARD: IoCompletion = { ioCompleted() {} }

export interface MirroredVolumeOptions {
  readonly name: string
  /** What is used of each member, from its beginning: whole blocks. */
  readonly sizeBytes: number
  /** Of this mirror, in the order of their numbers. One of them is there at least. */
  readonly members: readonly Member[]
  readonly failures: MemberFailures
  readonly intents: WriteIntents
  /**
   * Whether some of these bytes were left in doubt by a crash, and nobody has resynced them yet: copies may
   * differ though nobody writes, and checksums be those of what was there before. Not what only a new disk
   * lacks. Nothing is in doubt if not given.
   */
  readonly isDoubtful?: (offset: number, length: number) => boolean
}

/**
 * Its offsets are those of the members' volumes. Reads come from members in sync, and take no lock unless one
 * fails, or the bytes are in doubt; writes go to all members that are there. With checksums, a write of a part
 * of a block first makes sure of the whole: it fails if no member has it. The mirror does not own its members: closing it leaves them open.
 *
 * A member's volume must be the same object as long as it is the same disk, whatever its state.
 */
export class MirroredVolume implements RedundantVolume {
  readonly name: string
  readonly sizeBytes: number
  /** The largest of the members there were when it was made. */
  readonly blockSizeBytes: number
  readonly #mirror: Mirror
  readonly #reads: MirrorReads
  readonly #updates: MirrorUpdates
  #closed = false

  /** @throws RangeError if the size is not whole blocks, or more than a member has. */
  constructor(options: MirroredVolumeOptions) {
    const { name, sizeBytes, members, failures, intents } = options
    const volumes = members.map((member) => member.volume).filter((volume) => volume !== null)
    const blockSizeBytes = Math.max(...volumes.map((volume) => volume.blockSizeBytes))
    this.name = name
    this.sizeBytes = sizeBytes
    this.blockSizeBytes = blockSizeBytes
    if (volumes.length === 0) throw new RangeError(`${name} has no members`)
    assertRange(this, 0, sizeBytes)
    for (const volume of volumes) assertRange(volume, 0, sizeBytes)
    this.#mirror = {
      name,
      blockSizeBytes,
      members,
      failures,
      intents,
      locks: new RangeLocks(),
      operations: new FanInPool(),
      isDoubtful: options.isDoubtful ?? (() => false),
      hasChecks: volumes.some((volume) => volume.checks !== undefined),
    }
    this.#reads = new MirrorReads(this.#mirror)
    this.#updates = new MirrorUpdates(this.#mirror)
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    return !this.#closed && this.#reads.readNow(offset, into, position, length)
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (this.#closed) return false
    if (length === 0) return true
    const { members, locks, intents, hasChecks } = this.#mirror
    if (hasChecks && (offset | length) % CHECKED_BLOCK_BYTES !== 0) return false
    if (!hasInSync(members) || !locks.isFree(offset, length)) return false
    if (!intents.beginNow(offset, length)) return false
    for (const member of members) {
      const { volume } = member
      if (volume !== null && !volume.writeNow(offset, from, position, length)) return false
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
    if (this.#closed || length === 0) this.#answer('read', offset, completion)
    else this.#reads.start(offset, into, position, length, completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    this.#update('write', offset, from, position, length, completion)
  }

  /** A member that cannot flush is failed: what it has not on its medium, the others have. */
  flush(completion: IoCompletion): void {
    if (this.#closed) this.#answer('flush', 0, completion)
    else {
      const flushed = this.#mirror.operations.start(1, completion)
      this.#updates.start('flush', 0, null, 0, 0, flushed)
    }
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    this.#update('discard', offset, null, 0, length, completion)
  }

  /** As the first member in sync has them that can tell. */
  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    if (this.#closed) {
      this.#answer('locate', offset, completion)
      return
    }
    const located = this.#mirror.operations.start(1, completion)
    this.#locateHoles(offset, length, map).then(
      () => located.ioCompleted(null),
      (error) => located.ioCompleted(error),
    )
  }

  /** Every copy is read, in slices, and written only where it differs from what the first in sync holds. */
  async resync(offset: number, length: number): Promise<void> {
    await this.#mend(offset, length, 'all')
  }

  async scrub(offset: number, length: number): Promise<ScrubFindings> {
    return this.#mend(offset, length, 'in-sync')
  }

  /** Resolves when nothing is in flight; what is asked for from now on fails. */
  close(): Promise<void> {
    this.#closed = true
    return this.#mirror.operations.idle()
  }

  #update(
    op: UpdateOp,
    offset: number,
    from: Buffer | null,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    if (this.#closed || length === 0) {
      this.#answer(op, offset, completion)
      return
    }
    const updated = this.#mirror.operations.start(1, completion)
    this.#updates.start(op, offset, from, position, length, updated)
  }

  async #locateHoles(offset: number, length: number, map: HoleMap): Promise<void> {
    let first: Error | null = null
    for (const { state, volume } of this.#mirror.members) {
      if (state !== 'in-sync' || volume === null) continue
      const error = await outcome((done) => volume.locateHoles(offset, length, map, done))
      if (error === null) return
      first ??= error
      map.runs.length = 0
      map.length = 0
    }
    const cause = first ?? new Error('no member is in sync')
    throw new VolumeError('locate', this.name, offset, cause)
  }

  async #mend(offset: number, length: number, scope: MendScope): Promise<ScrubFindings> {
    assertRange(this, offset, length)
    const operation = this.#mirror.operations.start(1, UNHEARD)
    const findings = noFindings()
    const range = wholeBlocks(this.#mirror, offset, length)
    try {
      await mendRange(this.#mirror, range, scope, findings, (at) => {
        if (this.#closed) throw this.#closedError('read', at)
      })
      return findings
    } finally {
      operation.ioCompleted(null)
    }
  }

  /** Reports an operation that has nothing to do: well, if it is one without bytes. */
  #answer(op: VolumeError['op'], offset: number, completion: IoCompletion): void {
    const error = this.#closed ? this.#closedError(op, offset) : null
    process.nextTick(() => completion.ioCompleted(error))
  }

  #closedError(op: VolumeError['op'], offset: number): VolumeError {
    return new VolumeError(op, this.name, offset, new Error('the mirror is closed'))
  }
}
