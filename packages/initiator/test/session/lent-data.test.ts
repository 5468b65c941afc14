/** Large data are lent to the network: their buffer is the command's until they have been sent. */
import { DataOut, Opcode } from '@platter/protocol/iscsi'
import t from 'tap'
import { loggedIn, pattern, type Script, writeTask } from '../support/scripted-target.ts'

const LENGTH = 64 * 1024

/** A write that was sent to a network that takes nothing yet. */
function queued(script: Script = {}) {
  const target = loggedIn({ wishes: { firstBurstLength: LENGTH }, ...script })
  target.sink.holding = true
  const task = writeTask(pattern(LENGTH))
  target.session.execute(task)
  return { target, task, tag: task.initiatorTaskTag }
}

t.test('what is lent goes out as what is copied does, with and without digests', async (t) => {
  for (const headerDigest of [['None'], ['CRC32C']] as const) {
    for (const dataDigest of [['None'], ['CRC32C']] as const) {
      const policy = { headerDigest, dataDigest }
      const target = loggedIn({ policy, wishes: policy })
      const task = writeTask(pattern(1_000_000))
      target.session.execute(task)
      const parts = target.receive().map(({ header, data }, index) => {
        t.equal(header[0], index === 0 ? Opcode.ScsiCommand : Opcode.DataOut)
        return { at: index === 0 ? 0 : new DataOut().at(header, 0).bufferOffset, data }
      })
      t.ok(parts.some(({ data }) => data.length >= 32 * 1024))
      for (const { at, data } of parts) {
        t.ok(data.equals(pattern(1_000_000).subarray(at, at + data.length)))
      }
    }
  }
})

t.test('a command that is answered early ends when its data have been sent', async (t) => {
  const { target, task, tag } = queued()
  target.response(tag, { status: 2 })
  t.equal(task.times, 0, 'its buffer is not yet free')
  const small = writeTask(pattern(512))
  target.session.execute(small)
  target.response(small.initiatorTaskTag)
  t.equal(small.times, 1, 'what is copied need not wait')
  target.connection.onDrain()
  t.equal(task.times, 0, 'some is sent, not all')
  target.sink.backlogBytes = 0
  target.connection.onDrain()
  t.match(task, { times: 1, status: 2, error: null })
})

t.test('a command has one answer, though it waits to end', async (t) => {
  const { target, task, tag } = queued()
  target.response(tag)
  target.response(tag)
  t.match(target.ended?.error?.message, /no command has the tag/)
  t.strictSame(target.ended?.unanswered, [task])
  t.equal(task.times, 0)
})

t.test('no time runs out for a command that is answered', async (t) => {
  const { target, task, tag } = queued({ pathTimeoutMs: 1_000_000 })
  target.response(tag)
  target.receive()
  target.session.onTimer(task.timeoutMs + 1)
  t.equal(target.receive().length, 0, 'it is not aborted')
})
