/** What executes SCSI commands: a session, one that comes back by itself, or a test's. */
import type { ScsiTask } from './task.ts'

export interface ScsiTransport {
  /**
   * Sends the command when its turn comes; `task.done` is called when it has ended, never from within
   * this call. Commands are sent in the order of these calls. Bounding their number is the caller's.
   */
  execute(task: ScsiTask): void
}
