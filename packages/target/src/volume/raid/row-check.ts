/** Looking at all chunks of rows, and making those right that are not: resync and scrub. */
import { VolumeError } from '../volume.ts'
import type { RepairedRange, ScrubFindings } from './member.ts'
import type { ParityArray } from './parity-array.ts'
import type { LockedRange, RangeLocks } from './range-locks.ts'
import { settleDoubt } from './row-doubt.ts'
import { ended, type RowIo, type RowIoPool } from './row-io.ts'
import { computeParity, planRecovery, readForRecovery, recoverData } from './row-recovery.ts'

const SECTOR_BYTES = 512
/** How many slices are in work at once. */
const SLICES_IN_WORK = 3

/** What is found, while it is. */
interface Findings {
  differingBytes: number
  readonly repaired: RepairedRange[]
}

/**
 * Resync and scrub are the same, but for rebuilding members: resync writes what they should hold. Both are work
 * of the control plane, with promises.
 */
export class RowCheck {
  readonly #array: ParityArray
  readonly #rows: RowIoPool
  /** Where parity is computed to be compared: used and done with in one go. */
  readonly #expected: readonly Buffer[]

  constructor(array: ParityArray, rows: RowIoPool) {
    const { geometry, math, sliceSizeBytes } = array
    this.#array = array
    this.#rows = rows
    this.#expected = Array.from({ length: geometry.parityCount }, () =>
      math.allocate(sliceSizeBytes),
    )
  }

  /** `RedundantVolume.resync`. */
  async resync(offset: number, length: number): Promise<void> {
    await this.#check(offset, length, true)
  }

  /** `RedundantVolume.scrub`. */
  scrub(offset: number, length: number): Promise<ScrubFindings> {
    return this.#check(offset, length, false)
  }

  async #check(offset: number, length: number, rebuilds: boolean): Promise<ScrubFindings> {
    const { sliceSizeBytes } = this.#array
    const findings: Findings = { differingBytes: 0, repaired: [] }
    let next = offset
    const checkSlices = async () => {
      while (next < offset + length) {
        const start = next
        next = Math.min(start - (start % sliceSizeBytes) + sliceSizeBytes, offset + length)
        try {
          await this.#checkSlice(start, next - start, rebuilds, findings)
        } catch (error) {
          next = offset + length
          throw error
        }
      }
    }
    const ends = await Promise.allSettled(Array.from({ length: SLICES_IN_WORK }, checkSlices))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    findings.repaired.sort((a, b) => a.offset - b.offset || a.memberNumber - b.memberNumber)
    return findings
  }

  async #checkSlice(
    offset: number,
    length: number,
    rebuilds: boolean,
    findings: Findings,
  ): Promise<void> {
    const { geometry, locks } = this.#array
    const io = await acquireRow(this.#rows)
    const lock = await acquireLock(locks, offset, length)
    try {
      const start = offset % geometry.chunkSizeBytes
      io.seek((offset - start) / geometry.chunkSizeBytes, start, start + length)
      await this.#checkRow(io, rebuilds, findings)
    } finally {
      locks.release(lock)
      this.#rows.release(io)
    }
  }

  async #checkRow(io: RowIo, rebuilds: boolean, findings: Findings): Promise<void> {
    const { math } = this.#array
    if (rebuilds && this.#isDoubtful(io)) await settleDoubt(this.#array, io)
    if (!this.#hasWork(io, rebuilds)) return
    if (!(await this.#readAll(io))) {
      const cause = io.readError ?? this.#array.journal.failure ?? 'too few members are there'
      throw new VolumeError('read', this.#array.name, io.memberOffset(io.start), cause)
    }
    recoverData(math, io)
    const wrong = this.#verifyParity(io, findings)
    for (let index = 0; index < io.chunkCount; index++) {
      if (io.held[index] || !io.isPresent(index)) continue
      if (io.isInSync(index)) {
        wrong.push(index)
        const memberNumber = io.memberOf(index).number
        const offset = io.memberOffset(io.start)
        findings.repaired.push({ memberNumber, offset, length: io.length })
      } else if (rebuilds) {
        wrong.push(index)
      }
    }
    if (wrong.length > 0) await this.#write(io, wrong)
  }

  #isDoubtful(io: RowIo): boolean {
    const { hasChecks, isDoubtful } = this.#array
    return hasChecks && isDoubtful(io.memberOffset(io.start), io.length)
  }

  /** Without redundancy there is nothing to compare or to mend, and what is rebuilding may not be read. */
  #hasWork(io: RowIo, rebuilds: boolean): boolean {
    let inSync = 0
    let rebuilding = 0
    for (let index = 0; index < io.chunkCount; index++) {
      if (io.isInSync(index)) inSync++
      else if (io.isPresent(index)) rebuilding++
    }
    return inSync > io.dataCount || (rebuilds && rebuilding > 0)
  }

  /** Reads all there is. False if that is not enough. */
  async #readAll(io: RowIo): Promise<boolean> {
    for (;;) {
      if (this.#array.journal.failure !== null || !planRecovery(io)) return false
      readForRecovery(io)
      for (let index = io.dataCount; index < io.chunkCount; index++) {
        if (io.isReadable(index) && !isReadForRecovery(io, index)) io.read(index)
      }
      await ended(io)
      if (!io.readFailed) return true
    }
  }

  /**
   * Computes all parity into memory; which chunks that have been read held something else. The parity that
   * data were recovered with agrees by itself.
   */
  #verifyParity(io: RowIo, findings: Findings): number[] {
    const { row, memory, dataCount, chunkCount, length } = io
    const wrong: number[] = []
    for (let index = dataCount; index < chunkCount; index++) {
      row.place(index, this.#expected[index - dataCount]!, 0)
    }
    computeParity(this.#array.math, row, length)
    const differs = new Set<number>()
    for (let index = dataCount; index < chunkCount; index++) {
      const expected = this.#expected[index - dataCount]!
      if (io.held[index] && expected.compare(memory[index]!, 0, length, 0, length) !== 0) {
        wrong.push(index)
        for (let at = 0; at < length; at += SECTOR_BYTES) {
          const end = at + SECTOR_BYTES
          if (expected.compare(memory[index]!, at, end, at, end) !== 0) differs.add(at)
        }
      }
      expected.copy(memory[index]!, 0, 0, length)
    }
    findings.differingBytes += differs.size * SECTOR_BYTES
    return wrong
  }

  async #write(io: RowIo, indexes: readonly number[]): Promise<void> {
    // Or else a crash could bring back what was right by the wrong bytes of before.
    await this.#array.journal.retire(io.memberOffset(io.start), io.length)
    for (const index of indexes) if (io.isPresent(index)) io.writeMemory(index)
    await ended(io)
    if (io.error !== null) throw io.error
  }
}

function isReadForRecovery({ lost, row }: RowIo, index: number): boolean {
  if (index === row.pIndex) return lost.length > 0 && !lost.includes(index)
  return lost.length > 1
}

function acquireRow(rows: RowIoPool): Promise<RowIo> {
  return new Promise((resolve) => {
    const io = rows.acquire({ rowIoGranted: resolve, rowIoEnded: () => {} })
    if (io !== null) resolve(io)
  })
}

/** Resolves with what is to be released again. */
export function acquireLock(
  locks: RangeLocks,
  offset: number,
  length: number,
): Promise<LockedRange> {
  return new Promise((resolve) => {
    const lock: LockedRange = { offset, length, lockGranted: () => resolve(lock) }
    if (locks.acquire(lock)) resolve(lock)
  })
}
