/** What all copies of a mirror must take: writes, discards and flushes. */
import { type IoCompletion, type Volume, VolumeError } from '../volume.ts'
import type { Member, MemberFailures } from './member.ts'
import { hasInSync, isReplaced, type Mirror, wholeBlocks } from './mirror.ts'
import { edgesAreRight, mendEdges } from './mirror-edges.ts'
import type { LockedRange } from './range-locks.ts'

export type UpdateOp = 'write' | 'discard' | 'flush'

const NO_BYTES = Buffer.alloc(0)

/** Makes and keeps the records of updates. */
export class MirrorUpdates {
  readonly #mirror: Mirror
  readonly #free: MirrorUpdate[] = []

  constructor(mirror: Mirror) {
    this.#mirror = mirror
  }

  /** Reports null when a member that is in sync has it, and all that failed are out of the array. */
  start(
    op: UpdateOp,
    offset: number,
    from: Buffer | null,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    const update = this.#free.pop() ?? new MirrorUpdate(this.#mirror, this.#free)
    update.start(op, offset, from ?? NO_BYTES, position, length, completion)
  }
}

/** One member's part: first the operation itself, then, if that failed, taking the member out. */
class CopyUpdate implements IoCompletion {
  /** What the operation was started on; null if the member was absent. */
  volume: Volume | null = null
  error: VolumeError | null = null
  readonly #member: Member
  readonly #failures: MemberFailures
  readonly #update: MirrorUpdate
  #beingFailed = false

  constructor(member: Member, failures: MemberFailures, update: MirrorUpdate) {
    this.#member = member
    this.#failures = failures
    this.#update = update
  }

  /** Takes up the member's volume as it is now. */
  open(): Volume | null {
    this.volume = this.#member.volume
    return this.volume
  }

  forget(): void {
    this.volume = null
    this.error = null
  }

  /** Whether this is a copy that counts. */
  get isGood(): boolean {
    const { state, volume } = this.#member
    const done = this.volume !== null && this.error === null
    // It may have been taken out by another operation meanwhile.
    return done && state === 'in-sync' && volume === this.volume
  }

  ioCompleted(error: VolumeError | null): void {
    if (this.#beingFailed) {
      this.#beingFailed = false
      this.#update.copyEnded(error)
      return
    }
    this.error = error
    this.#beingFailed = error !== null && !isReplaced(this.#member, this.volume!)
    if (this.#beingFailed) this.#failures.fail(this.#member.number, error!, this)
    else this.#update.copyEnded(null)
  }
}

/**
 * One update on its way: its range is locked, blocks that it covers in part are made sure of, then the intent
 * to write there is recorded, then all members that are there take it, rebuilding ones too. A flush needs
 * neither lock nor intent. The range stays locked until
 * the last member has ended, so that all get overlapping writes in the same order.
 */
class MirrorUpdate implements LockedRange, IoCompletion {
  /** What is locked: with checksums, whole blocks. */
  offset = 0
  length = 0
  #writeOffset = 0
  #writeLength = 0
  #op: UpdateOp = 'write'
  #from: Buffer = NO_BYTES
  #position = 0
  #completion: IoCompletion | null = null
  #pending = 0
  /** Why a member that failed is in the array still. */
  #refusal: VolumeError | null = null
  readonly #mirror: Mirror
  readonly #copies: readonly CopyUpdate[]
  readonly #free: MirrorUpdate[]

  constructor(mirror: Mirror, free: MirrorUpdate[]) {
    this.#mirror = mirror
    this.#copies = mirror.members.map((member) => new CopyUpdate(member, mirror.failures, this))
    this.#free = free
  }

  start(
    op: UpdateOp,
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#op = op
    this.#writeOffset = offset
    this.#writeLength = length
    this.#from = from
    this.#position = position
    this.#completion = completion
    this.#refusal = null
    if (op === 'flush') this.#startCopies()
    else this.#lock()
  }

  lockGranted(): void {
    const offset = this.#writeOffset
    const length = this.#writeLength
    if (edgesAreRight(this.#mirror, offset, length)) {
      this.#begin()
      return
    }
    mendEdges(this.#mirror, offset, length).then(
      () => this.#begin(),
      (error) => this.#giveUp(error),
    )
  }

  /** The intent has been recorded, or cannot be. */
  ioCompleted(error: VolumeError | null): void {
    if (error === null) this.#startCopies()
    else this.#giveUp(error)
  }

  copyEnded(refusal: VolumeError | null): void {
    if (refusal !== null) this.#mirror.intents.holdMarks()
    this.#refusal ??= refusal
    this.#pending--
    if (this.#pending === 0) this.#finish()
  }

  #lock(): void {
    const { offset, length } = wholeBlocks(this.#mirror, this.#writeOffset, this.#writeLength)
    this.offset = offset
    this.length = length
    if (this.#mirror.locks.acquire(this)) this.lockGranted()
  }

  #begin(): void {
    this.#mirror.intents.begin(this.#writeOffset, this.#writeLength, this)
  }

  #giveUp(error: VolumeError): void {
    this.#mirror.locks.release(this)
    this.#answer(this.#error(error))
  }

  #startCopies(): void {
    // Members that are being rebuilt alone would take bytes that nobody may read.
    if (!hasInSync(this.#mirror.members)) {
      this.#pending = 1
      process.nextTick(endCopy, this)
      return
    }
    for (const copy of this.#copies) {
      const volume = copy.open()
      if (volume === null) continue
      this.#pending++
      this.#startCopy(volume, copy)
    }
  }

  #startCopy(volume: Volume, copy: CopyUpdate): void {
    const offset = this.#writeOffset
    const length = this.#writeLength
    if (this.#op === 'write') volume.write(offset, this.#from, this.#position, length, copy)
    else if (this.#op === 'discard') volume.discard(offset, length, copy)
    else volume.flush(copy)
  }

  #finish(): void {
    const error = this.#judge()
    for (const copy of this.#copies) copy.forget()
    if (this.#op !== 'flush') {
      this.#mirror.intents.end(this.#writeOffset, this.#writeLength)
      this.#mirror.locks.release(this)
    }
    this.#answer(error)
  }

  #judge(): VolumeError | null {
    if (this.#refusal !== null) return this.#error(this.#refusal)
    if (this.#copies.some((copy) => copy.isGood)) return null
    const failed = this.#copies.find((copy) => copy.error !== null)
    return this.#error(failed?.error ?? new Error('no member is in sync'))
  }

  #error(cause: Error): VolumeError {
    return new VolumeError(this.#op, this.#mirror.name, this.#writeOffset, cause)
  }

  #answer(error: VolumeError | null): void {
    const completion = this.#completion!
    this.#completion = null
    this.#from = NO_BYTES
    this.#free.push(this)
    completion.ioCompleted(error)
  }
}

function endCopy(update: MirrorUpdate): void {
  update.copyEnded(null)
}
