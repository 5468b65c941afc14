/**
 * One request of the kernel, from its arrival to its answer. The record and its buffer are used again;
 * the buffer has the request first, and then the answer. So the data of a WRITE lie there until the
 * device has taken them, those of a READ are put where the answer wants them, and neither is copied.
 */
import {
  inHeaderLayout,
  offsets,
  outHeaderLayout,
  transferInLayout,
  writeOutLayout,
} from './fuse-layout.ts'

/** The largest READ or WRITE. */
export const MAX_TRANSFER_BYTES = 1024 * 1024

/** Where what follows the header lies in a request, and in an answer. */
export const ARGUMENTS_AT = inHeaderLayout.span
export const ANSWER_AT = outHeaderLayout.span
/** Where the data of a WRITE lie. */
export const WRITE_DATA_AT = ARGUMENTS_AT + transferInLayout.span

/** The kernel wants room for a page of headers beside the largest WRITE. */
const BUFFER_BYTES = MAX_TRANSFER_BYTES + 4096

const header = offsets(inHeaderLayout)
const answerHeader = offsets(outHeaderLayout)
const writeAnswer = offsets(writeOutLayout, ANSWER_AT)

/** Takes answers and records back. */
export interface RequestOwner {
  /** Sends the first `length` bytes of the request's buffer to the kernel, and takes it back. */
  answer(request: FuseRequest, length: number): void
  /** Takes a request back that has no answer. */
  forget(request: FuseRequest): void
}

export class FuseRequest {
  readonly buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  readonly #owner: RequestOwner
  opcode = 0
  nodeId = 0
  #unique = 0

  constructor(owner: RequestOwner) {
    this.#owner = owner
  }

  /**
   * Takes up the request of `length` bytes that `buffer` has now; false if it is not a whole one. Call it
   * before anything is written to `buffer`.
   */
  begin(length: number): boolean {
    if (length < ARGUMENTS_AT || this.buffer.readUInt32LE(header.length) !== length) return false
    this.opcode = this.buffer.readUInt32LE(header.opcode)
    this.nodeId = this.u64(header.nodeId)
    this.#unique = this.u64(header.unique)
    return true
  }

  u32(at: number): number {
    return this.buffer.readUInt32LE(at)
  }

  /** A 64-bit number, which must be below 2^53 to be exact. */
  u64(at: number): number {
    return this.buffer.readUInt32LE(at) + this.buffer.readUInt32LE(at + 4) * 0x1_0000_0000
  }

  /** Answers with `length` bytes that lie at ANSWER_AT. */
  readonly succeed = (length: number): void => {
    this.#answer(0, ANSWER_AT + length)
  }

  /** @param errno negative, as Linux has it; 0 for a success that has nothing to tell. */
  readonly fail = (errno: number): void => {
    this.#answer(errno, ANSWER_AT)
  }

  /** How a READ ended: the count of bytes at ANSWER_AT, or a negative errno. */
  readonly readDone = (result: number): void => {
    if (result < 0) this.fail(result)
    else this.succeed(result)
  }

  /** How a WRITE ended: the count of bytes written, or a negative errno. */
  readonly writeDone = (result: number): void => {
    if (result < 0) {
      this.fail(result)
      return
    }
    this.buffer.writeUInt32LE(result, writeAnswer.size)
    this.buffer.writeUInt32LE(0, writeAnswer.size + 4)
    this.succeed(writeOutLayout.span)
  }

  /** Ends a request that the kernel wants no answer to. */
  forget(): void {
    this.#owner.forget(this)
  }

  #answer(errno: number, length: number): void {
    const { buffer } = this
    buffer.writeUInt32LE(length, answerHeader.length)
    buffer.writeInt32LE(errno, answerHeader.error)
    buffer.writeUInt32LE(this.#unique >>> 0, answerHeader.unique)
    buffer.writeUInt32LE(Math.floor(this.#unique / 0x1_0000_0000), answerHeader.unique + 4)
    this.#owner.answer(this, length)
  }
}
