/** When a write may be reported GOOD. */
import { Status } from '@platter/protocol/scsi'
import type { VolumeError } from '../volume/volume.ts'
import { flushThen } from './command.ts'
import type { LogicalUnit } from './logical-unit.ts'
import type { ScsiTask } from './scsi-task.ts'
import { failWithVolumeError } from './volume-failure.ts'

/**
 * Ends a command whose blocks are written, or have failed to be: GOOD at once while the write cache is
 * enabled, and else when they are on the disks.
 */
export function finishWritten(task: ScsiTask, error: VolumeError | null): void {
  if (error !== null) failWithVolumeError(task, error)
  else if ((task.unit as LogicalUnit).writeCacheEnabled) task.finish(Status.Good)
  else flushThen(task, task.unit as LogicalUnit, finishFlushed)
}

/** As `finishWritten`, but FUA: on the disks before GOOD, cache or not. */
export function flushWritten(task: ScsiTask, error: VolumeError | null): void {
  if (error === null) flushThen(task, task.unit as LogicalUnit, finishFlushed)
  else failWithVolumeError(task, error)
}

/** Ends a command after its flush. */
export function finishFlushed(task: ScsiTask, error: VolumeError | null): void {
  if (error === null) task.finish(Status.Good)
  else failWithVolumeError(task, error)
}
