import fc from 'fast-check'
import t from 'tap'
import { ScsiTask, TaskQueue } from '../../src/session/task.ts'

t.test('a task forgets its last execution, and not what its user filled in', async (t) => {
  const task = new ScsiTask()
  const fresh = { ...new ScsiTask() }
  const data = Buffer.alloc(8)
  const { done } = task
  const under = { status: 2, senseLength: 3, received: 4, dataSN: 1, r2tSN: 1, aborting: true }
  const sent = { sendOffset: 4, unsolicitedEnd: 4, solicitedEnd: 8, sendDataSN: 2 }
  Object.assign(task, under, sent, { error: new Error('gone'), transferredLength: 4 })
  Object.assign(task, { buffer: data, position: 2, length: 6, timeoutMs: 9 })
  task.reset()
  t.match(task, { ...fresh, buffer: data, position: 2, length: 6, timeoutMs: 9, done })
})

t.test('a queue is first in, first out, whatever is taken from its midst', async () => {
  const step = fc.oneof(
    fc.constant({ kind: 'shift' as const }),
    fc.record({ kind: fc.constantFrom('push' as const, 'remove' as const), index: fc.nat(7) }),
  )
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const tasks = Array.from({ length: 8 }, () => new ScsiTask())
      const queue = new TaskQueue()
      const model: ScsiTask[] = []
      for (const each of steps) {
        if (each.kind === 'shift') {
          if (queue.shift() !== (model.shift() ?? null)) return false
          continue
        }
        const task = tasks[each.index] as ScsiTask
        const at = model.indexOf(task)
        if (each.kind === 'remove') {
          if (queue.remove(task) !== at >= 0) return false
          if (at >= 0) model.splice(at, 1)
        } else if (at < 0) {
          queue.push(task)
          model.push(task)
        }
        if (queue.head !== (model[0] ?? null) || queue.length !== model.length) return false
      }
      return true
    }),
  )
})
