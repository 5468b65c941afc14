/** A transport that keeps the commands it is given, until a test says what becomes of them. */
import { encodeFixedSense, type Sense, Status } from '@platter/protocol/scsi'
import type { ScsiTransport } from '../../src/session/scsi-transport.ts'
import type { ScsiTask } from '../../src/session/task.ts'

export class FakeTransport implements ScsiTransport {
  readonly tasks: ScsiTask[] = []
  /** Answers a command at the next turn, if there is one; else it waits in `tasks`. */
  answer: ((task: ScsiTask) => void) | null = null
  executed = 0

  execute(task: ScsiTask): void {
    this.executed += 1
    task.reset()
    const { answer } = this
    if (answer === null) this.tasks.push(task)
    else setImmediate(answer, task)
  }

  /** Takes the oldest command that waits. */
  next(): ScsiTask {
    const task = this.tasks.shift()
    if (task === undefined) throw new Error('no command waits')
    return task
  }
}

/** Ends a command well, with `data` as what it has read. */
export function endGood(task: ScsiTask, data: Buffer = Buffer.alloc(task.length)): void {
  const length = Math.min(data.length, task.length)
  if (task.direction === 1) data.copy(task.buffer, task.position, 0, length)
  task.transferredLength = length
  task.status = Status.Good
  task.done(task)
}

export function endStatus(task: ScsiTask, status: number): void {
  task.status = status
  task.done(task)
}

export function endSense(task: ScsiTask, sense: Sense): void {
  const data = encodeFixedSense(sense)
  data.copy(task.sense)
  task.senseLength = data.length
  endStatus(task, Status.CheckCondition)
}

export function endError(task: ScsiTask, error: Error): void {
  task.error = error
  task.done(task)
}
