/** Reads of a mirror, spread over the copies. */
import { type IoCompletion, type Volume, VolumeError } from '../volume.ts'
import type { Member } from './member.ts'
import { hasInSync, type Mirror } from './mirror.ts'
import { type FailedRead, healRead, settleDoubt } from './mirror-healing.ts'

/**
 * In these units the members take turns, by address: so that several disks work for one large read, and
 * each byte is looked for where it was read before, in one page cache rather than in all of them. A read
 * of no more than this goes to one member.
 */
const READ_UNIT_BYTES = 128 * 1024
const NO_BYTES = Buffer.alloc(0)

/** A part of a read that goes to one member. */
class ReadPiece implements IoCompletion, FailedRead {
  memberIndex = 0
  volume: Volume | null = null
  offset = 0
  into: Buffer = NO_BYTES
  position = 0
  length = 0
  completion: IoCompletion | null = null
  readonly #reads: MirrorReads

  constructor(reads: MirrorReads) {
    this.#reads = reads
  }

  ioCompleted(error: VolumeError | null): void {
    this.#reads.pieceRead(this, error)
  }
}

export class MirrorReads {
  readonly #mirror: Mirror
  /** Pieces in flight, by the member's place in the mirror. */
  readonly #inFlight: number[]
  readonly #free: ReadPiece[] = []

  constructor(mirror: Mirror) {
    this.#mirror = mirror
    this.#inFlight = mirror.members.map(() => 0)
  }

  /**
   * Asks the member whose turn it is, and no other: what it has not in its cache, the others hardly have
   * either, since reads of these bytes come to this one, and writes go to all. In doubt, nothing is read now.
   */
  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    const { members } = this.#mirror
    if (!hasInSync(members) || this.#mirror.isDoubtful(offset, length)) return false
    for (let done = 0; done < length; ) {
      const at = offset + done
      const count = pieceLength(at, length - done, length)
      const member = members[whoseTurn(members, at)]!
      if (!member.volume!.readNow(at, into, position + done, count)) return false
      done += count
    }
    return true
  }

  /** Of at least one byte. What is in doubt is made sure of first, so that it never reads as new, then as old. */
  start(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    if (!this.#mirror.isDoubtful(offset, length)) {
      this.#startPieces(offset, into, position, length, completion)
      return
    }
    const whole = this.#mirror.operations.start(1, completion)
    settleDoubt(this.#mirror, offset, length).then(
      () => this.#startPieces(offset, into, position, length, whole),
      (error) => whole.ioCompleted(error),
    )
  }

  pieceRead(piece: ReadPiece, error: VolumeError | null): void {
    this.#inFlight[piece.memberIndex]!--
    if (error === null) {
      this.#finish(piece, null)
      return
    }
    healRead(this.#mirror, piece, error).then(
      () => this.#finish(piece, null),
      (failure) => this.#finish(piece, failure),
    )
  }

  #startPieces(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    const { members, operations } = this.#mirror
    if (!hasInSync(members)) {
      const reason = new Error('no member is in sync')
      const error = new VolumeError('read', this.#mirror.name, offset, reason)
      const whole = operations.start(1, completion)
      process.nextTick(() => whole.ioCompleted(error))
      return
    }
    const whole = operations.start(countPieces(offset, length), completion)
    for (let done = 0; done < length; ) {
      const at = offset + done
      const count = pieceLength(at, length - done, length)
      this.#startPiece(this.#leastBusy(at), at, into, position + done, count, whole)
      done += count
    }
  }

  #startPiece(
    memberIndex: number,
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    const volume = this.#mirror.members[memberIndex]!.volume!
    const piece = this.#free.pop() ?? new ReadPiece(this)
    piece.memberIndex = memberIndex
    piece.volume = volume
    piece.offset = offset
    piece.into = into
    piece.position = position
    piece.length = length
    piece.completion = completion
    this.#inFlight[memberIndex]!++
    volume.read(offset, into, position, length, piece)
  }

  #finish(piece: ReadPiece, error: VolumeError | null): void {
    const completion = piece.completion!
    piece.completion = null
    piece.volume = null
    piece.into = NO_BYTES
    this.#free.push(piece)
    completion.ioCompleted(error)
  }

  /** Of members that are equally busy, the one whose turn it is comes first. */
  #leastBusy(offset: number): number {
    const { members } = this.#mirror
    let chosen = whoseTurn(members, offset)
    for (let index = 0; index < members.length; index++) {
      if (members[index]!.state !== 'in-sync') continue
      if (this.#inFlight[index]! < this.#inFlight[chosen]!) chosen = index
    }
    return chosen
  }
}

/** There must be one that is in sync. */
function whoseTurn(members: readonly Member[], offset: number): number {
  let count = 0
  for (const member of members) if (member.state === 'in-sync') count++
  let turn = Math.floor(offset / READ_UNIT_BYTES) % count
  for (let index = 0; ; index++) {
    if (members[index]!.state !== 'in-sync') continue
    if (turn === 0) return index
    turn--
  }
}

/** How much of the `remaining` bytes at `offset` of a read of `length` is one piece. */
function pieceLength(offset: number, remaining: number, length: number): number {
  if (length <= READ_UNIT_BYTES) return remaining
  return Math.min(remaining, READ_UNIT_BYTES - (offset & (READ_UNIT_BYTES - 1)))
}

function countPieces(offset: number, length: number): number {
  if (length <= READ_UNIT_BYTES) return 1
  return Math.ceil(((offset & (READ_UNIT_BYTES - 1)) + length) / READ_UNIT_BYTES)
}
