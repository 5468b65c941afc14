import { BHS_LENGTH, ScsiCommand } from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t from 'tap'
import { ConnectionLostError } from '../../src/session/errors.ts'
import { Session } from '../../src/session/session.ts'
import type { ScsiTask } from '../../src/session/task.ts'
import { FakeSink } from '../support/fake-sink.ts'
import {
  identity,
  loggedIn,
  pattern,
  readTask,
  ScriptedTarget,
  WatchedTask,
} from '../support/scripted-target.ts'

function commands(target: ScriptedTarget): ScsiCommand[] {
  return target.receive().map(({ header }) => new ScsiCommand().at(header, 0))
}

t.test('commands wait for the login, and then go out in their order', async (t) => {
  const target = new ScriptedTarget({ cmdSN: 9 })
  const tasks = [readTask(4), readTask(8), readTask(12)]
  for (const task of tasks) target.session.execute(task)
  target.login()
  t.strictSame(
    commands(target).map((pdu) => [pdu.cmdSN, pdu.expectedDataTransferLength]),
    [
      [9, 4],
      [10, 8],
      [11, 12],
    ],
  )
  t.ok(tasks.every(({ times }) => times === 0))
})

t.test('no more commands are sent than the window has room for, across 2^32 too', async () => {
  const step = fc.record({ answers: fc.nat(5), windowSize: fc.integer({ min: 1, max: 9 }) })
  const start = fc.constantFrom(1, 0xfffffff0, 0xffffffff, 0x7ffffffe)
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 12 }), (cmdSN, steps) => {
      const target = new ScriptedTarget({ cmdSN, windowSize: 3 }).login()
      let limit = target.maxCmdSN
      let expected = cmdSN
      const waiting: number[] = []
      for (let count = 0; count < 40; count++) target.session.execute(readTask(4))
      for (const { answers, windowSize } of [...steps, { answers: 0, windowSize: 1 }]) {
        for (const pdu of commands(target)) {
          if (pdu.cmdSN !== expected || ((limit - pdu.cmdSN) | 0) < 0) return false
          waiting.push(pdu.initiatorTaskTag)
          expected = (expected + 1) >>> 0
        }
        target.windowSize = windowSize
        for (const tag of waiting.splice(0, answers)) target.dataIn(tag, { status: 0 }, pattern(4))
        if (answers > 0 && ((target.maxCmdSN - limit) | 0) > 0) limit = target.maxCmdSN
      }
      return target.ended === null
    }),
  )
})

t.test('more commands than there are tags wait for one', async (t) => {
  const target = loggedIn({ windowSize: 1000 })
  const tasks = Array.from({ length: 300 }, () => readTask(4))
  for (const task of tasks) target.session.execute(task)
  const sent = commands(target)
  t.equal(sent.length, 256)
  t.equal(new Set(sent.map(({ initiatorTaskTag }) => initiatorTaskTag)).size, 256)
  for (const { initiatorTaskTag } of sent)
    target.dataIn(initiatorTaskTag, { status: 0 }, pattern(4))
  t.equal(commands(target).length, 44)
})

t.test('a tag is not used again soon', async (t) => {
  const target = loggedIn()
  const tags = new Set<number>()
  for (let round = 0; round < 100; round++) {
    const task = readTask(4)
    target.session.execute(task)
    const [command] = commands(target)
    tags.add(command?.initiatorTaskTag ?? 0)
    target.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(4))
  }
  t.equal(tags.size, 100)
})

t.test('a command may be executed anew from its own done', async (t) => {
  const target = loggedIn({ windowSize: 1 })
  const task = readTask(4)
  let rounds = 0
  task.done = () => {
    rounds += 1
    if (rounds < 3) target.session.execute(task)
  }
  target.session.execute(task)
  for (let round = 0; round < 3; round++) {
    t.equal(commands(target).length, 1)
    target.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(4, round))
    t.strictSame(task.buffer.subarray(32, 36), pattern(4, round))
  }
  t.equal(rounds, 3)
  t.equal(commands(target).length, 0)
})

t.test('done is never called from within execute', async (t) => {
  const target = loggedIn()
  const task = readTask(0)
  task.direction = 0
  target.session.execute(task)
  t.equal(task.times, 0)
})

t.test('a lost connection hands back what is under way by CmdSN, then what waits', async (t) => {
  const target = loggedIn({ cmdSN: 0xfffffffd, windowSize: 6 })
  const tasks = Array.from({ length: 10 }, () => readTask(4))
  for (const task of tasks) target.session.execute(task)
  // Slots come free in another order than that of the commands.
  for (const index of [4, 0, 2]) {
    target.dataIn(tasks[index]?.initiatorTaskTag ?? 0, { status: 0 }, pattern(4))
    target.receive()
  }
  target.connection.transportLost('reset by peer')
  t.ok(target.ended?.error instanceof ConnectionLostError)
  t.match(target.ended?.error?.message, /reset by peer/)
  const left = [1, 3, 5, 6, 7, 8, 9].map((index) => tasks[index] as ScsiTask)
  t.strictSame(
    target.ended?.unanswered.map((task) => tasks.indexOf(task as WatchedTask)),
    left.map((task) => tasks.indexOf(task as WatchedTask)),
  )
  t.strictSame(
    tasks.map(({ times }) => times),
    [1, 0, 1, 0, 1, 0, 0, 0, 0, 0],
  )
  t.equal(target.session.ended, true)
  t.equal(target.connection.state, 'FREE')
  t.equal(target.sink.closed, 1)
})

t.test('nothing comes of a session after its end', async (t) => {
  const target = loggedIn()
  const task = readTask(4)
  target.session.execute(task)
  target.receive()
  const answer = Buffer.concat([Buffer.alloc(BHS_LENGTH, 0xff), Buffer.alloc(512)])
  target.connection.transportLost('closed')
  target.send(answer)
  target.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(4))
  target.connection.transportLost('again')
  target.connection.onDrain()
  target.session.onTimer(1e9)
  target.session.logout()
  t.equal(target.endings, 1)
  t.equal(target.sink.closed, 1)
  t.equal(task.times, 0)
  t.ok(task.buffer.every((byte) => byte === 0xee))
  t.throws(() => target.session.execute(task), /the session has ended/)
})

t.test('a task that was handed back may go to another session at once', async (t) => {
  const next = loggedIn()
  const target = loggedIn({
    onEnded: (session) => {
      t.throws(() => session.execute(new WatchedTask()), /the session has ended/)
      for (const task of target.ended?.unanswered ?? []) next.session.execute(task)
    },
  })
  const task = readTask(512)
  target.session.execute(task)
  const part = target.encode(new ScsiCommand(), {})
  target.dataIn(task.initiatorTaskTag, {}, pattern(256))
  target.send(part)
  t.equal(target.endings, 1)
  t.equal(commands(next).length, 1)
  next.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(512, 5))
  t.match(task, { times: 1, error: null, transferredLength: 512 })
  t.strictSame(task.buffer.subarray(32, 544), pattern(512, 5))
})

t.test('commands that waited for a login that failed are handed back', async (t) => {
  const target = new ScriptedTarget()
  const task = readTask(4)
  target.session.execute(task)
  target.connection.start()
  target.loginRequest()
  target.loginResponse({ statusClass: 3, statusDetail: 1 })
  t.match(target.ended?.error, { name: 'LoginError' })
  t.strictSame(target.ended?.unanswered, [task])
})

t.test('a logout before the login ends the session with an error', async (t) => {
  for (const begun of [false, true]) {
    const target = new ScriptedTarget()
    if (begun) target.connection.start()
    target.session.logout()
    t.match(target.ended?.error?.message, /given up before it was logged in/)
    t.equal(target.endings, 1)
    t.equal(target.sink.closed, 1)
  }
})

t.test(
  'a command that is overdue is aborted once; with no answer, the connection goes',
  async (t) => {
    const target = loggedIn()
    const task = readTask(4)
    task.timeoutMs = 4000
    target.session.onTimer(1000)
    target.session.execute(task)
    target.receive()
    target.session.onTimer(5000)
    t.equal(target.receive().length, 0)
    target.session.onTimer(5001)
    t.equal(target.receive().length, 1, 'ABORT TASK')
    // Other answers keep the connection alive meanwhile.
    for (let nowMs = 6000; nowMs <= 20_000; nowMs += 1000) {
      const other = readTask(0)
      target.session.execute(other)
      target.receive()
      target.response(other.initiatorTaskTag)
      target.session.onTimer(nowMs)
      t.equal(target.receive().length, 0)
    }
    target.session.onTimer(20_002)
    t.match(target.ended?.error?.message, /ABORT TASK was not answered within 15000 ms/)
    t.strictSame(target.ended?.unanswered, [task])
    t.equal(task.times, 0)
  },
)

t.test('a command that waits for its turn is not overdue', async (t) => {
  const target = loggedIn({ windowSize: 1 })
  const first = readTask(4)
  first.timeoutMs = 1e9
  const second = readTask(4)
  second.timeoutMs = 1000
  target.session.execute(first)
  target.session.execute(second)
  target.receive()
  target.session.onTimer(4000)
  t.equal(target.receive().length, 0)
  target.dataIn(first.initiatorTaskTag, { status: 0 }, pattern(4))
  t.equal(commands(target).length, 1)
  target.session.onTimer(5000)
  t.equal(target.receive().length, 0)
  target.session.onTimer(5001)
  t.equal(target.receive().length, 1)
})

t.test('a policy says which connection a command takes, if any', async (t) => {
  let allow = false
  const session = new Session({
    identity: identity(),
    cmdSN: 1,
    nowMs: 0,
    place: (connections) => (allow ? connections[0] : undefined),
    loggedIn: () => {},
    ended: () => {},
  })
  const sink = new FakeSink()
  session.connect(sink)
  session.window.update(1, 9)
  session.execute(readTask(4))
  t.equal(sink.take({ header: false, data: false }).length, 0)
  allow = true
  t.throws(() => session.resume(), /connection 0 is not logged in/)
})
