/**
 * Which commands are at the blocks of one logical unit, so that an atomic one (COMPARE AND WRITE, ORWRITE,
 * WRITE ATOMIC) has its own to itself from its first look to the end of its write: it waits until the commands that were
 * there before have ended, and those that come after wait for it, as far as their blocks overlap. All
 * others pass by.
 */
import { Opcode, readLba, readTransferLength } from '@platter/protocol/scsi'
import type { ScsiTask } from './scsi-task.ts'

/** Who waits for blocks, or has them alone: a task, or the unit itself. `end` is the block after the last. */
interface Entry {
  readonly owner: object
  readonly start: number
  readonly end: number
  readonly exclusive: boolean
  readonly proceed: () => void
  /** It has its blocks to itself now. */
  holds: boolean
}

export class BlockAccess {
  /** The commands at the blocks, in no order; each knows its index. */
  readonly #present: ScsiTask[] = []
  /** Who waits, or holds blocks alone, in order of arrival: empty but for atomic commands. */
  readonly #queue: Entry[] = []
  #resuming = false

  /** `enter` in the usual case that nobody asks for blocks alone: a comparison and a push; else false. */
  enterFree(task: ScsiTask): boolean {
    if (this.#queue.length > 0) return false
    this.#admit(task)
    return true
  }

  /**
   * Lets a command at the blocks that its CDB names until `leave`, or returns false and calls `proceed`
   * once it can.
   */
  enter(task: ScsiTask, proceed: () => void): boolean {
    const entry = makeEntry(task, startOf(task), endOf(task), false, proceed)
    if (this.#canProceed(entry, this.#queue.length)) {
      this.#admit(task)
      return true
    }
    this.#queue.push(entry)
    return false
  }

  /** Calls `proceed`, perhaps at once, when the blocks are the owner's alone; they are until `withdraw`. */
  exclude(owner: object, lba: number, blockCount: number, proceed: () => void): void {
    const entry = makeEntry(owner, lba, lba + blockCount, true, proceed)
    this.#queue.push(entry)
    if (!this.#canProceed(entry, this.#queue.length - 1)) return
    entry.holds = true
    proceed()
  }

  /** The task has ended, however, with every operation of it; it may never have come. */
  leave(task: ScsiTask): void {
    const index = task.blockAccessIndex
    if (index >= 0) {
      const last = this.#present.pop() as ScsiTask
      if (last !== task) {
        this.#present[index] = last
        last.blockAccessIndex = index
      }
      task.blockAccessIndex = -1
    }
    if (this.#queue.length > 0) this.withdraw(task)
  }

  /** The owner does not want its blocks any more. */
  withdraw(owner: object): void {
    const waiting = this.#queue.findIndex((entry) => entry.owner === owner)
    if (waiting >= 0) this.#queue.splice(waiting, 1)
    // Not from within: the transport may be in the middle of laying out this task's response.
    if (this.#queue.length === 0 || this.#resuming) return
    this.#resuming = true
    process.nextTick(() => this.#resume())
  }

  #admit(task: ScsiTask): void {
    task.blockAccessIndex = this.#present.length
    this.#present.push(task)
  }

  /** Lets everyone go on who can now, the oldest first. What they do may change the queue. */
  #resume(): void {
    this.#resuming = false
    for (;;) {
      const index = this.#queue.findIndex(
        (entry, at) => !entry.holds && this.#canProceed(entry, at),
      )
      const entry = this.#queue[index]
      if (entry === undefined) return
      if (entry.exclusive) entry.holds = true
      else {
        this.#queue.splice(index, 1)
        this.#admit(entry.owner as ScsiTask)
      }
      entry.proceed()
    }
  }

  /** Whether nothing that came before stands in the way of an entry that is at `index` of the queue. */
  #canProceed(entry: Entry, index: number): boolean {
    for (let before = 0; before < index; before++) {
      const other = this.#queue[before] as Entry
      const apart = other.end <= entry.start || entry.end <= other.start
      if (!apart && (other.exclusive || entry.exclusive)) return false
    }
    if (!entry.exclusive) return true
    return this.#present.every((task) => endOf(task) <= entry.start || entry.end <= startOf(task))
  }
}

function makeEntry(
  owner: object,
  start: number,
  end: number,
  exclusive: boolean,
  proceed: () => void,
): Entry {
  return { owner, start, end, exclusive, proceed, holds: false }
}

/** UNMAP has its ranges in its data, and WRITE SAME of 0 blocks no end: they count as everywhere. */
function isEverywhere(task: ScsiTask): boolean {
  const opcode = task.cdb[task.cdbPosition]
  return opcode === Opcode.Unmap || opcode === Opcode.WriteSame10 || opcode === Opcode.WriteSame16
}

function startOf(task: ScsiTask): number {
  return isEverywhere(task) ? 0 : readLba(task.cdb, task.cdbPosition)
}

function endOf(task: ScsiTask): number {
  if (isEverywhere(task)) return Number.POSITIVE_INFINITY
  return startOf(task) + readTransferLength(task.cdb, task.cdbPosition)
}
