/**
 * One SCSI command's life at the initiator: made once by its user, filled in, executed, and used
 * again after `done`. The part above the line is its user's, the part below is the session's.
 */
import type { Connection } from './connection.ts'

/** Where a command's data go: `Read` is from the target to us. */
export const Direction = { None: 0, Read: 1, Write: 2 } as const
export type Direction = (typeof Direction)[keyof typeof Direction]

/** Sense data are kept up to this length (SPC-4 section 4.5). */
export const SENSE_BYTES_MAX = 252

const NO_DATA = Buffer.alloc(0)

export class ScsiTask {
  /** Eight-byte LUN (SAM-5 section 4.7). */
  readonly lun = Buffer.alloc(8)
  /** Padded with zeros. */
  readonly cdb = Buffer.alloc(16)
  direction: Direction = Direction.None
  /**
   * Where read data land, or write data come from: `length` bytes at `buffer[position]`, which
   * belong to the session from `execute` until `done`. Nothing is ever written beyond them.
   */
  buffer: Buffer = NO_DATA
  position = 0
  length = 0
  /** After this long in the target's hands the command is aborted, and ends with an error. */
  timeoutMs = 60_000
  /** Called once, when the command has ended. It may execute the task again. */
  done: (task: ScsiTask) => void = () => {}

  /** Why there is no status: the connection or the command failed. Null when `status` is valid. */
  error: Error | null = null
  status = 0
  /** Bytes that the target says it moved, of `length`; what was moved beyond is not counted. */
  transferredLength = 0
  readonly sense = Buffer.alloc(SENSE_BYTES_MAX)
  senseLength = 0

  // ----------------------------------------------------------------------------------------------

  /** When its user last executed it; sessions that come back do so again for the same. */
  executedMs = 0
  initiatorTaskTag = 0
  cmdSN = 0
  connection: Connection | null = null
  deadlineMs = 0
  /** An ABORT TASK is under way. */
  aborting = false
  /** Data come in order, so this is both how much has come and where the next must lie. */
  received = 0
  dataSN = 0
  r2tSN = 0
  /** Of a write: up to where its data have been sent, go without being asked for, and were asked for. */
  sendOffset = 0
  unsolicitedEnd = 0
  solicitedEnd = 0
  /** DataSN of the next Data-Out, and the tag of the R2T that it answers. */
  sendDataSN = 0
  targetTransferTag = 0
  /** When the connection has sent so many bytes, none of the task's are still in its hands. */
  lentUntilBytes = 0
  /** It has its outcome, and waits for that. */
  answered = false
  /** Link of the queue that it is in, if any. */
  next: ScsiTask | null = null

  /** Forgets an earlier execution. */
  reset(): void {
    this.error = null
    this.status = 0
    this.transferredLength = 0
    this.senseLength = 0
    this.connection = null
    this.aborting = false
    this.received = 0
    this.dataSN = 0
    this.r2tSN = 0
    this.sendOffset = 0
    this.unsolicitedEnd = 0
    this.solicitedEnd = 0
    this.sendDataSN = 0
    this.lentUntilBytes = 0
    this.answered = false
    this.next = null
  }
}

/** A first-in first-out queue of tasks, linked through themselves. */
export class TaskQueue {
  #head: ScsiTask | null = null
  #tail: ScsiTask | null = null
  length = 0

  get head(): ScsiTask | null {
    return this.#head
  }

  push(task: ScsiTask): void {
    task.next = null
    if (this.#tail === null) this.#head = task
    else this.#tail.next = task
    this.#tail = task
    this.length += 1
  }

  shift(): ScsiTask | null {
    const task = this.#head
    if (task === null) return null
    this.#head = task.next
    if (this.#head === null) this.#tail = null
    task.next = null
    this.length -= 1
    return task
  }

  /** Takes one out of the midst; whether it was there. */
  remove(task: ScsiTask): boolean {
    let before: ScsiTask | null = null
    for (let at = this.#head; at !== null; before = at, at = at.next) {
      if (at !== task) continue
      if (before === null) this.#head = task.next
      else before.next = task.next
      if (this.#tail === task) this.#tail = before
      task.next = null
      this.length -= 1
      return true
    }
    return false
  }
}
