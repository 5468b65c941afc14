import {
  AsyncEvent,
  AsyncMessage,
  DataOut,
  LoginResponse,
  LogoutRequest,
  LogoutResponse,
  NopIn,
  NopOut,
  Opcode,
  RESERVED_TAG,
  Reject,
  RejectReason,
  ScsiCommand,
  TaskManagementFunction,
  TaskManagementRequest,
  TaskManagementResponse,
  TaskManagementResponseCode,
} from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { CommandError, ConnectionLostError } from '../../src/session/errors.ts'
import {
  loggedIn,
  pattern,
  readTask,
  type Script,
  type ScriptedTarget,
  type WatchedTask,
  writeTask,
} from '../support/scripted-target.ts'

/** A session with a read under way. */
function reading(script: Script = {}) {
  const target = loggedIn(script)
  const task = readTask(512)
  target.session.execute(task)
  const command = target.receive()[0]?.header ?? Buffer.alloc(0)
  return { target, task, tag: task.initiatorTaskTag, command }
}

function endsWith(t: Test, target: ScriptedTarget, reason: RegExp, unanswered: WatchedTask[]) {
  t.match(target.ended?.error?.message, reason)
  t.strictSame(target.ended?.unanswered, unanswered)
  t.equal(target.endings, 1)
  t.equal(target.sink.closed, 1)
  for (const task of unanswered) t.equal(task.times, 0)
}

t.test(
  'a NOP-In that asks is answered with its tag and LUN; StatSN does not move on',
  async (t) => {
    const { target, task, tag } = reading()
    const view = new NopIn()
    const fields = { initiatorTaskTag: RESERVED_TAG, targetTransferTag: 0x55 }
    const bytes = target.encode(view, fields)
    bytes.writeUInt16BE(9, view.lunPosition)
    target.send(bytes)
    const answer = target.only(new NopOut())
    t.match(answer, {
      immediate: true,
      initiatorTaskTag: RESERVED_TAG,
      targetTransferTag: 0x55,
      cmdSN: 2,
      expStatSN: target.statSN,
    })
    t.equal(answer.buffer.readUInt16BE(8), 9)
    target.sendPdu(new NopIn(), { initiatorTaskTag: RESERVED_TAG, targetTransferTag: RESERVED_TAG })
    t.equal(target.receive().length, 0)
    target.dataIn(tag, { status: 0 }, pattern(512))
    t.equal(task.times, 1)
  },
)

t.test('an R2T carries the next StatSN and does not use it up', async (t) => {
  const target = loggedIn({ policy: { initialR2T: true, immediateData: false } })
  const task = writeTask(pattern(512))
  target.session.execute(task)
  target.receive()
  target.readyToTransfer(task.initiatorTaskTag, { desiredDataTransferLength: 512 })
  t.match(target.only(new DataOut()), { data: pattern(512), expStatSN: target.statSN })
  target.response(task.initiatorTaskTag)
  t.equal(task.times, 1)
})

t.test('each PDU may open the window, and a command that waited goes out', async (t) => {
  const { target } = reading({ windowSize: 1 })
  const next = readTask(4)
  target.session.execute(next)
  t.equal(target.receive().length, 0)
  target.windowSize = 2
  target.sendPdu(new NopIn(), { initiatorTaskTag: RESERVED_TAG, targetTransferTag: RESERVED_TAG })
  t.equal(target.only(new ScsiCommand()).cmdSN, 2)
})

t.test('an answer to a ping that was not sent ends the connection', async (t) => {
  const { target, task } = reading()
  target.sendStatus(new NopIn(), { initiatorTaskTag: 3, targetTransferTag: RESERVED_TAG })
  endsWith(t, target, /NOP-In: an answer to no ping/, [task])
})

t.test('a target that asks and asks, and reads no answers, is given up', async (t) => {
  const { target, task } = reading()
  target.sink.holding = true
  target.sink.backlogLimitBytes = 480
  const ask = { initiatorTaskTag: RESERVED_TAG, targetTransferTag: 1 }
  for (let round = 0; target.ended === null && round < 100; round++) {
    target.sendPdu(new NopIn(), ask)
  }
  endsWith(t, target, /asks, and does not read our answers/, [task])
  t.ok(target.sink.backlogBytes <= 1008)
})

t.test(
  'a rejected command fails alone, once an abort has filled the gap of its CmdSN',
  async (t) => {
    const { target, task, command } = reading()
    const other = readTask(4)
    target.session.execute(other)
    target.receive()
    target.sendStatus(new Reject(), { reason: RejectReason.CommandNotSupported }, command)
    t.equal(task.times, 0)
    const { initiatorTaskTag, referencedTaskTag, refCmdSN } = abortRequest(target)
    t.equal(referencedTaskTag, task.initiatorTaskTag)
    t.equal(refCmdSN, task.cmdSN)
    target.sendStatus(new TaskManagementResponse(), { initiatorTaskTag, response: 0 })
    t.equal(task.times, 1)
    t.ok(task.error instanceof CommandError)
    t.match(task.error?.message, /rejected by the target: CommandNotSupported/)
    t.equal(target.ended, null)
    target.dataIn(other.initiatorTaskTag, { status: 0 }, pattern(4))
    t.match(other, { times: 1, error: null })
  },
)

t.test('a command that was spoiled on its way is for the session to execute again', async (t) => {
  const { target, task, command } = reading()
  target.sendStatus(new Reject(), { reason: RejectReason.DataDigestError }, command)
  endsWith(t, target, /rejected by the target: DataDigestError/, [task])
})

t.test('a reject of anything else, or of what cannot be told, ends the connection', async (t) => {
  const nop = new NopOut().init(Buffer.alloc(48), 0).buffer
  const unknown = new ScsiCommand().init(Buffer.alloc(48), 0).buffer
  const cases: [Buffer, RegExp][] = [
    [nop, /NopOut was rejected by the target: ProtocolError/],
    [unknown, /ScsiCommand was rejected/],
    [Buffer.alloc(19), /a PDU was rejected/],
    [Buffer.alloc(0), /a PDU was rejected/],
  ]
  for (const [header, reason] of cases) {
    const { target, task } = reading()
    target.sendStatus(new Reject(), { reason: RejectReason.ProtocolError }, header)
    endsWith(t, target, reason, [task])
  }
})

t.test('when the target asks for it, we log out, and say what was left undone', async (t) => {
  for (const asyncEvent of [AsyncEvent.LogoutRequest, AsyncEvent.NegotiationRequest]) {
    const { target, task } = reading()
    target.sendStatus(new AsyncMessage(), { asyncEvent, parameter3: 3 })
    target.session.onTimer(500)
    target.session.onTimer(1500)
    t.equal(target.receive().length, 0, 'the command has a second to end')
    target.session.onTimer(1501)
    const { initiatorTaskTag, reasonCode } = target.only(new LogoutRequest())
    t.equal(reasonCode, 0)
    t.equal(target.connection.state, 'IN_LOGOUT')
    target.sendStatus(new AsyncMessage(), { asyncEvent: AsyncEvent.LogoutRequest })
    t.equal(target.receive().length, 0)
    target.sendStatus(new LogoutResponse(), { initiatorTaskTag })
    t.equal(target.ended?.error, null)
    t.strictSame(target.ended?.unanswered, [task])
    t.equal(task.times, 0)
  }
})

t.test('the logout that the target asked for follows the last answer', async (t) => {
  const { target, task } = reading()
  target.sendStatus(new AsyncMessage(), { asyncEvent: AsyncEvent.LogoutRequest })
  const late = readTask(4)
  target.session.execute(late)
  t.equal(target.receive().length, 0, 'no command is sent any more')
  target.dataIn(task.initiatorTaskTag, { status: 0 }, pattern(task.length))
  t.equal(task.times, 1)
  const { initiatorTaskTag } = target.only(new LogoutRequest())
  target.sendStatus(new LogoutResponse(), { initiatorTaskTag })
  t.strictSame(target.ended, { error: null, unanswered: [late] })
})

t.test('a target that drops the connection or the session is believed at once', async (t) => {
  for (const asyncEvent of [AsyncEvent.ConnectionDropped, AsyncEvent.SessionDropped]) {
    const { target, task } = reading()
    target.sendStatus(new AsyncMessage(), { asyncEvent })
    endsWith(t, target, /by the target: (Connection|Session)Dropped/, [task])
    t.ok(target.ended?.error instanceof ConnectionLostError)
  }
})

t.test('an event of a unit is told to the owner of the session', async (t) => {
  const { target } = reading()
  const sense = Buffer.from([0, 18, 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3f, 0x0e, 0, 0, 0, 0])
  target.sendStatus(new AsyncMessage(), { asyncEvent: AsyncEvent.ScsiEvent }, sense)
  t.equal(target.scsiEvents, 1)
})

t.test('other events change nothing, but for their StatSN', async (t) => {
  const { target, task, tag } = reading()
  for (const asyncEvent of [AsyncEvent.ScsiEvent, AsyncEvent.VendorSpecific, 77]) {
    target.sendStatus(new AsyncMessage(), { asyncEvent }, Buffer.from([0, 2, 0x70, 0]))
  }
  target.dataIn(tag, { status: 0 }, pattern(512))
  t.equal(task.times, 1)
  t.equal(target.receive().length, 0)
})

t.test('what no target may send ends the connection', async (t) => {
  const cases: [number, RegExp][] = [
    [Opcode.LoginResponse, /LoginResponse, which no target may send now/],
    [Opcode.ScsiCommand, /ScsiCommand, which no target may send now/],
    [0x3c, /opcode 0x3c, which no target may send now/],
  ]
  for (const [opcode, reason] of cases) {
    const { target, task } = reading()
    target.sendStatus(new LoginResponse(), { opcode })
    endsWith(t, target, reason, [task])
  }
})

/** The ABORT TASK that was sent, perhaps among other requests. */
function abortRequest(target: ScriptedTarget): TaskManagementRequest {
  const request = target
    .receive()
    .map(({ header }) => new TaskManagementRequest().at(header, 0))
    .find(({ opcode }) => opcode === Opcode.TaskManagementRequest)
  if (request === undefined) throw new Error('no ABORT TASK was sent')
  return request
}

/** A session whose one command has taken too long. */
function aborting() {
  const { target, task, tag } = reading()
  target.session.onTimer(60_001)
  const request = abortRequest(target)
  return { target, task, tag, request }
}

t.test(
  'ABORT TASK names the command; when it is done, the command ends with an error',
  async (t) => {
    const { FunctionComplete, TaskDoesNotExist } = TaskManagementResponseCode
    for (const response of [FunctionComplete, TaskDoesNotExist]) {
      const { target, task, tag, request } = aborting()
      t.match(request, {
        immediate: true,
        function: TaskManagementFunction.AbortTask,
        referencedTaskTag: tag,
        refCmdSN: 1,
        cmdSN: 2,
      })
      t.not(request.initiatorTaskTag, tag)
      t.equal(task.times, 0)
      const { initiatorTaskTag } = request
      target.sendStatus(new TaskManagementResponse(), { initiatorTaskTag, response })
      t.equal(task.times, 1)
      t.ok(task.error instanceof CommandError)
      t.match(task.error?.message, /aborted/)
      t.equal(target.ended, null)
    }
  },
)

t.test('a command whose status comes before that of its ABORT TASK has ended by it', async (t) => {
  const { target, task, tag, request } = aborting()
  target.dataIn(tag, { status: 0 }, pattern(512))
  t.match(task, { times: 1, error: null })
  target.session.execute(task)
  const { initiatorTaskTag } = request
  target.sendStatus(new TaskManagementResponse(), { initiatorTaskTag, response: 1 })
  t.equal(task.times, 1, 'the next execution of the task is another command')
  t.equal(target.ended, null)
})

t.test('a target that does not abort, or answers what was not asked, is given up', async (t) => {
  const { FunctionNotSupported } = TaskManagementResponseCode
  const refused = aborting()
  const { initiatorTaskTag } = refused.request
  const fields = { initiatorTaskTag, response: FunctionNotSupported }
  refused.target.sendStatus(new TaskManagementResponse(), fields)
  endsWith(t, refused.target, /ABORT TASK: FunctionNotSupported/, [refused.task])
  const unasked = reading()
  unasked.target.sendStatus(new TaskManagementResponse(), { initiatorTaskTag: 1 })
  endsWith(t, unasked.target, /Task Management Response: an answer to no request/, [unasked.task])
})

t.test('an orderly logout ends the session without an error', async (t) => {
  const { target, task } = reading()
  target.session.logout()
  const request = target.only(new LogoutRequest())
  t.match(request, { immediate: true, reasonCode: 0, cid: 0, cmdSN: 2 })
  t.notOk(target.connection.ready)
  target.session.logout()
  target.session.execute(readTask(4))
  const ask = { initiatorTaskTag: RESERVED_TAG, targetTransferTag: 1 }
  target.sendPdu(new NopIn(), ask)
  t.equal(target.receive().length, 0, 'nothing is sent after a Logout Request')
  const { initiatorTaskTag } = request
  target.sendStatus(new LogoutResponse(), { initiatorTaskTag, response: 1 })
  t.equal(target.ended?.error, null)
  t.equal(target.ended?.unanswered.length, 2)
  t.equal(target.ended?.unanswered[0], task)
  t.equal(target.connection.state, 'FREE')
  t.equal(target.sink.closed, 1)
})

t.test('a Logout Response to no request ends the connection', async (t) => {
  const { target, task } = reading()
  target.sendStatus(new LogoutResponse(), { initiatorTaskTag: 1 })
  endsWith(t, target, /Logout Response: an answer to no request/, [task])
})
