/** A session of several connections: how they join it, what goes over them, and what ends it. */
import {
  AsyncEvent,
  AsyncMessage,
  DataOut,
  LogoutRequest,
  LogoutResponse,
  ReadyToTransfer,
  ScsiCommand,
  TaskManagementRequest,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { placementPolicies } from '../../src/session/placement.ts'
import {
  loggedIn,
  pattern,
  readTask,
  type Script,
  ScriptedTarget,
  type WatchedTask,
  writeTask,
} from '../support/scripted-target.ts'

const roundRobin = placementPolicies['round-robin']

/** A session of `count` connections; the first target is that of the leading one. */
function connected(count: number, script: Script = {}): [ScriptedTarget, ...ScriptedTarget[]] {
  const several = { maxConnections: 8 }
  const leading = loggedIn({ ...script, policy: several, wishes: several })
  const others = Array.from({ length: count - 1 }, () =>
    new ScriptedTarget({ ...script, of: leading }).login(),
  )
  return [leading, ...others]
}

function commands(target: ScriptedTarget): ScsiCommand[] {
  return target.receive().map(({ header }) => new ScsiCommand().at(header, 0))
}

t.test(
  'a further connection joins with the TSIH of the session, and says only what is its own',
  async (t) => {
    const [leading] = connected(1)
    const target = new ScriptedTarget({ of: leading })
    target.connection.start()
    const first = target.loginRequest()
    t.match(first, { tsih: 7, cid: 1 })
    target.loginResponse({ transit: true, currentStage: 0, nextStage: 1, tsih: 7 })
    const { pairs } = target.loginRequest()
    const keys = pairs.map(([key]) => key)
    t.strictSame(
      keys.filter((key) => !/Digest|MaxRecvDataSegmentLength/.test(key)),
      [],
    )
    t.ok(keys.includes('MaxRecvDataSegmentLength'))
    const answers = target.negotiate(pairs)
    target.loginResponse({ transit: true, currentStage: 1, nextStage: 3, tsih: 7 }, answers)
    t.strictSame(leading.joined, [target.connection])
    t.equal(leading.loggedIn, 1)
    t.equal(leading.session.parameters?.maxConnections, 8)
  },
)

t.test(
  'commands are numbered in one order, and each stays on its connection to the end',
  async (t) => {
    const [one, other] = connected(2, { place: roundRobin() }) as [ScriptedTarget, ScriptedTarget]
    const [read, write] = [readTask(512), writeTask(pattern(200_000))]
    one.session.execute(read)
    one.session.execute(write)
    const [readCommand] = commands(one)
    const [writeCommand] = other.receive()
    t.equal(readCommand?.cmdSN, 1)
    t.equal(writeCommand && new ScsiCommand().at(writeCommand.header, 0).cmdSN, 2)
    // What the session agreed on holds for the connection that joined it: first bursts, and R2Ts.
    const { firstBurstLength } = one.parameters
    other.readyToTransfer(write.initiatorTaskTag, {
      targetTransferTag: 5,
      bufferOffset: firstBurstLength,
      desiredDataTransferLength: 200_000 - firstBurstLength,
    })
    t.ok(other.receive().every(({ header }) => new DataOut().at(header, 0).opcode === 5))
    t.equal(one.receive().length, 0)
    other.response(write.initiatorTaskTag)
    one.dataIn(read.initiatorTaskTag, { status: 0 }, pattern(512))
    t.strictSame([read.times, write.times], [1, 1])
    t.strictSame(
      [one, other].map(({ commandsEnded }) => commandsEnded),
      [[read], [write]],
    )
    t.strictSame(
      [one, other].map(({ connection }) => connection.bytesInFlight),
      [0, 0],
    )
    t.equal(one.session.bytesInFlight, 0)
  },
)

t.test('by default a command goes where the least is under way', async (t) => {
  const [one, other] = connected(2) as [ScriptedTarget, ScriptedTarget]
  for (const length of [4096, 512, 512, 512]) one.session.execute(readTask(length))
  t.strictSame(
    commands(one).map((pdu) => pdu.expectedDataTransferLength),
    [4096],
  )
  t.strictSame(
    commands(other).map((pdu) => pdu.expectedDataTransferLength),
    [512, 512, 512],
  )
})

t.test('a connection that is congested gets nothing, and the others do', async (t) => {
  const [one, other] = connected(2, { place: roundRobin() }) as [ScriptedTarget, ScriptedTarget]
  one.sink.backlogBytes = one.sink.backlogLimitBytes + 1
  for (let count = 0; count < 3; count++) one.session.execute(readTask(4))
  t.equal(commands(one).length, 0)
  t.equal(commands(other).length, 3)
})

t.test('the loss of one of several ends the session, and nothing comes to its tasks', async (t) => {
  const targets = connected(3, { place: roundRobin(), cmdSN: 0xfffffffe })
  const tasks = Array.from({ length: 9 }, () => readTask(4))
  for (const task of tasks) targets[0].session.execute(task)
  for (const target of targets) target.receive()
  // 0, 3, 6 are on the first; 4 of the second is answered.
  targets[1]?.dataIn(tasks[4]?.initiatorTaskTag ?? 0, { status: 0 }, pattern(4))
  targets[2]?.connection.transportLost('reset by peer')
  const { ended } = targets[0]
  t.match(ended?.error?.message, /reset by peer/)
  t.strictSame(
    ended?.unanswered.map((task) => tasks.indexOf(task as WatchedTask)),
    [0, 1, 2, 3, 5, 6, 7, 8],
    'in the order of their CmdSN',
  )
  t.ok(targets.every(({ sink }) => sink.closed === 1))
  targets[0].dataIn(tasks[0]?.initiatorTaskTag ?? 0, { status: 0 }, pattern(4))
  t.equal(tasks[0]?.times, 0)
  t.equal(targets[0].endings, 1)
})

t.test('a connection that cannot join leaves the session as it is', async (t) => {
  const [leading] = connected(1)
  const refused = new ScriptedTarget({ of: leading })
  refused.connection.start()
  refused.loginRequest()
  refused.loginResponse({ statusClass: 2, statusDetail: 6 })
  const broken = new ScriptedTarget({ of: leading })
  broken.connection.transportLost('no route')
  t.strictSame(
    leading.left.map(({ connection }) => connection),
    [refused.connection, broken.connection],
  )
  t.match(leading.left[0]?.error, { name: 'LoginError' })
  t.equal(leading.ended, null)
  const again = new ScriptedTarget({ of: leading }).login()
  t.equal(again.connection.cid, 3)
  t.strictSame(leading.joined, [again.connection])
})

t.test(
  'the logout of one connection, when the target asks, does not end the session',
  async (t) => {
    const [one, other] = connected(2, { place: roundRobin() }) as [ScriptedTarget, ScriptedTarget]
    const [first, second] = [readTask(4), readTask(4)]
    one.session.execute(first)
    one.session.execute(second)
    for (const target of [one, other]) target.receive()
    other.sendStatus(new AsyncMessage(), { asyncEvent: AsyncEvent.LogoutRequest, parameter3: 2 })
    one.session.execute(readTask(4))
    t.equal(commands(one).length, 1, 'it goes over the one that stays')
    t.equal(other.receive().length, 0)
    other.dataIn(second.initiatorTaskTag, { status: 0 }, pattern(4))
    const logout = other.only(new LogoutRequest())
    t.match(logout, { reasonCode: 1, cid: 1 })
    other.sendStatus(new LogoutResponse(), { initiatorTaskTag: logout.initiatorTaskTag })
    t.strictSame(one.left, [{ connection: other.connection, error: null }])
    t.equal(other.sink.closed, 1)
    t.equal(one.ended, null)
    one.dataIn(first.initiatorTaskTag, { status: 0 }, pattern(4))
    t.equal(first.times, 1)
  },
)

t.test('when the target asks for the logout of all, the last one closes the session', async (t) => {
  const targets = connected(2)
  for (const target of targets) {
    target.sendStatus(new AsyncMessage(), { asyncEvent: AsyncEvent.LogoutRequest })
  }
  const reasons = targets.map((target) => target.only(new LogoutRequest()))
  t.strictSame(
    reasons.map(({ reasonCode }) => reasonCode),
    [1, 0],
  )
  for (const [index, target] of targets.entries()) {
    const { initiatorTaskTag } = reasons[index] as LogoutRequest
    target.sendStatus(new LogoutResponse(), { initiatorTaskTag })
  }
  t.strictSame(targets[0].ended, { error: null, unanswered: [] })
})

t.test('a logout of the session goes over one connection, and ends all', async (t) => {
  const [one, other] = connected(2) as [ScriptedTarget, ScriptedTarget]
  one.session.logout()
  const { reasonCode, initiatorTaskTag } = one.only(new LogoutRequest())
  t.equal(reasonCode, 0)
  t.equal(other.receive().length, 0)
  // The target may close the others before its answer has come.
  other.connection.transportLost('closed by peer')
  t.equal(one.ended, null)
  one.sendStatus(new LogoutResponse(), { initiatorTaskTag })
  t.strictSame(one.ended, { error: null, unanswered: [] })
})

t.test('the loss of the connection that was to log the session out ends it', async (t) => {
  const [one] = connected(2)
  one.session.logout()
  one.connection.transportLost('reset by peer')
  t.match(one.ended?.error?.message, /reset by peer/)
})

t.test('a command that is overdue is aborted on the connection that has it', async (t) => {
  const [one, other] = connected(2, { place: roundRobin() }) as [ScriptedTarget, ScriptedTarget]
  const [quick, slow] = [readTask(4), readTask(4)]
  slow.timeoutMs = 1000
  one.session.execute(quick)
  one.session.execute(slow)
  for (const target of [one, other]) target.receive()
  one.session.onTimer(1001)
  t.equal(one.receive().length, 0)
  t.equal(other.only(new TaskManagementRequest()).referencedTaskTag, slow.initiatorTaskTag)
})

t.test('an R2T on another connection than its command ends the session', async (t) => {
  const [one, other] = connected(2, { place: roundRobin() }) as [ScriptedTarget, ScriptedTarget]
  const write = writeTask(pattern(200_000))
  one.session.execute(write)
  one.receive()
  other.sendPdu(new ReadyToTransfer(), {
    initiatorTaskTag: write.initiatorTaskTag,
    targetTransferTag: 1,
    desiredDataTransferLength: 512,
    bufferOffset: one.parameters.firstBurstLength,
  })
  t.match(one.ended?.error?.message, /no command has the tag/)
})
