/** Copies blocks from one logical unit to another, or within one, for EXTENDED COPY. */
import type { VolumeError } from '../volume/volume.ts'
import type { LogicalUnit } from './logical-unit.ts'
import type { ScsiTask } from './scsi-task.ts'

/** What one step reads and writes. */
export const COPY_PIECE_BYTES = 1024 * 1024

/** A range to be copied, in whole blocks of both units. */
export interface CopyRange {
  readonly source: LogicalUnit
  readonly destination: LogicalUnit
  readonly sourceOffset: number
  readonly destinationOffset: number
  readonly length: number
}

/**
 * Copies a range, piece by piece; `done` is told how many bytes were copied, and the error if that is
 * not all. A range copied onto itself further up is copied from its end, so that it arrives whole.
 */
export function copyRange(
  task: ScsiTask,
  range: CopyRange,
  piece: Buffer,
  done: (copied: number, error: VolumeError | null) => void,
): void {
  const { source, destination, sourceOffset, destinationOffset, length } = range
  const backwards = source === destination && sourceOffset < destinationOffset
  let copied = 0
  const next = (error: VolumeError | null) => {
    const count = Math.min(piece.length, length - copied)
    if (error !== null || count === 0) {
      done(copied, error)
      return
    }
    const at = backwards ? length - copied - count : copied
    move(task, source, 'read', sourceOffset + at, piece, count, (error) => {
      if (error !== null) next(error)
      else {
        move(task, destination, 'write', destinationOffset + at, piece, count, (error) => {
          if (error === null) copied += count
          next(error)
        })
      }
    })
  }
  next(null)
}

/**
 * One operation, with the blocks to itself, as those of atomic commands are not to be torn. It is
 * announced to the task before it waits for them: an abort so waits for it.
 */
function move(
  task: ScsiTask,
  unit: LogicalUnit,
  op: 'read' | 'write',
  offset: number,
  piece: Buffer,
  length: number,
  then: (error: VolumeError | null) => void,
): void {
  const { blockSizeBytes, blockAccess, volume } = unit
  task.next = (_, error) => then(error)
  const io = task.awaitIo()
  const owner = {}
  blockAccess.exclude(owner, offset / blockSizeBytes, length / blockSizeBytes, () => {
    volume[op](offset, piece, 0, length, {
      ioCompleted: (error) => {
        blockAccess.withdraw(owner)
        io.ioCompleted(error)
      },
    })
  })
}
