/** Commands that ask a unit about itself: one at a time, as promises. */
import { encodeLun } from '@platter/protocol/scsi'
import type { ScsiTransport } from '../session/scsi-transport.ts'
import { Direction, ScsiTask } from '../session/task.ts'
import { errorOf, Verdict, verdictOf } from './scsi-outcome.ts'

const RETRIES_MAX = 16
const WAIT_MS = 100

/**
 * Runs a command that reads at most `lengthMax` bytes, and resolves with those that came. Unit
 * attentions, which the first command of a session always meets, and busy units are tried again.
 * Rejects with a BlockError that begins with `what`.
 */
export async function readParameterData(
  transport: ScsiTransport,
  lun: number,
  what: string,
  lengthMax: number,
  encodeCdb: (cdb: Buffer) => void,
): Promise<Buffer> {
  const task = new ScsiTask()
  encodeLun(task.lun, 0, lun)
  encodeCdb(task.cdb)
  task.direction = Direction.Read
  task.buffer = Buffer.alloc(lengthMax)
  task.length = lengthMax
  for (let attempt = 0; ; attempt++) {
    await new Promise<void>((resolve) => {
      task.done = () => resolve()
      transport.execute(task)
    })
    // A unit may have less to say than there is room for.
    if (task.error === null && task.status === 0) {
      return task.buffer.subarray(0, task.transferredLength)
    }
    const verdict = verdictOf(task)
    if (verdict === Verdict.Failed || attempt === RETRIES_MAX) throw errorOf(task, what)
    if (verdict === Verdict.Wait) await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
  }
}
