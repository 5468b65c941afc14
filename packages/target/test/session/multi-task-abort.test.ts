import {
  DataIn,
  Opcode,
  ReadyToTransfer,
  Reject,
  RejectReason,
  TaskManagementFunction,
  TaskManagementResponse,
  TaskManagementResponseCode,
} from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const Code = TaskManagementResponseCode
const Fn = TaskManagementFunction
const read = { opcode: 0x28, blocks: 1, read: true } as const
const write = { opcode: 0x2a, blocks: 2, write: true } as const
const inquiry = { opcode: 0x12, blocks: 4, expected: 4, read: true } as const
const everyFunction = [
  Fn.AbortTaskSet,
  Fn.ClearTaskSet,
  Fn.LogicalUnitReset,
  Fn.TargetWarmReset,
] as const

/** A session of two connections, another initiator, and a volume that ends operations when told to. */
function start() {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume, {}, { commandWindow: 32 })
  const [one, two, other] = [1, 2, 3].map(() => new ScriptedInitiator(node)) as [
    ScriptedInitiator,
    ScriptedInitiator,
    ScriptedInitiator,
  ]
  one.login({ keys: { MaxConnections: '2' } })
  two.login({ tsih: one.tsih, cid: 1 })
  other.login({ isid: '400000020000' })
  return { volume, node, executor, one, two, other }
}

/** The function is answered, and of several connections the target asks whether that has come. */
function answers(t: Test, initiator: ScriptedInitiator, response: number): void {
  const [answer, ...more] = initiator.receive()
  t.equal(answer!.header[0], Opcode.TaskManagementResponse)
  t.match(new TaskManagementResponse().at(answer!.header, 0), {
    response,
    initiatorTaskTag: 0x7a5c,
  })
  for (const ping of more) initiator.answerPing(ping)
}

/** The target asks for the initiator's ExpStatSN, and gets it. */
function acknowledges(initiator: ScriptedInitiator): void {
  for (const ping of initiator.receive()) initiator.answerPing(ping)
}

t.test('a LUN that is not there does not exist to any function for one', async (t) => {
  for (const fn of [Fn.AbortTaskSet, Fn.ClearTaskSet, Fn.LogicalUnitReset]) {
    const { one, executor } = start()
    one.command({ ...read, lun: 1 })
    one.manage({ function: fn, lun: 0xff })
    answers(t, one, Code.LunDoesNotExist)
    t.same([executor.abortedTasks, executor.resets], [[], []])
  }
})

t.test('the response waits for tasks of every connection of the session', async (t) => {
  for (const fn of everyFunction) {
    const { one, two, volume, executor } = start()
    two.command({ ...write, cmdSN: 1, tag: 90 }, Buffer.alloc(1024, 1))
    one.command({ ...read, cmdSN: 2 })
    one.cmdSN = 3
    one.manage({ function: fn })
    t.equal(executor.abortedTasks.length, 2)
    volume.release()
    t.same(one.receive(), [])
    volume.release()
    answers(t, one, Code.FunctionComplete)
    t.same(two.receive(), [], 'an aborted task is not answered')
  }
})

t.test('the issuer answers its R2Ts before the response; another session need not', async (t) => {
  for (const fn of everyFunction) {
    const { one, two, other, volume, executor } = start()
    const tag = two.command({ ...write, cmdSN: 1 })
    const { targetTransferTag: ttt } = two.receiveOne(ReadyToTransfer)
    other.command(write)
    other.receiveOne(ReadyToTransfer)
    one.cmdSN = 2
    one.manage({ function: fn })
    t.same(one.receive(), [])
    two.dataOut({ tag, ttt, offset: 0, final: false }, Buffer.alloc(512, 1))
    two.dataOut({ tag, ttt: ttt ^ 0x10000, offset: 512, dataSN: 1 }, Buffer.alloc(512, 1))
    t.same(one.receive(), [], 'that was not the last of what the R2T asked for')
    two.dataOut({ tag, ttt, offset: 512, dataSN: 1 }, Buffer.alloc(512, 1))
    answers(t, one, Code.FunctionComplete)
    t.same(volume.writes, [])
    t.equal(executor.abortedTasks.length, fn === Fn.AbortTaskSet ? 1 : 2)
  }
})

t.test('an issuer that no longer answers its R2Ts is not waited for without end', async (t) => {
  const { one, volume } = start()
  one.command(write)
  one.receiveOne(ReadyToTransfer)
  one.manage({ function: Fn.LogicalUnitReset })
  for (const nowMs of [1000, 2000, 2999]) one.connection.onTimer(nowMs)
  t.same(one.receive(), [])
  one.connection.onTimer(3000)
  answers(t, one, Code.FunctionComplete)
  t.same(volume.writes, [])
})

t.test('data that an aborted task awaits end with their connection', async (t) => {
  const { one, two } = start()
  two.command({ ...write, cmdSN: 1 })
  two.receiveOne(ReadyToTransfer)
  one.cmdSN = 2
  one.manage({ function: Fn.AbortTaskSet })
  two.connection.transportLost()
  answers(t, one, Code.FunctionComplete)
})

t.test('a function waits for the commands before it that it is for', async (t) => {
  for (const fn of [Fn.AbortTaskSet, Fn.ClearTaskSet, Fn.LogicalUnitReset]) {
    const { one, two, volume } = start()
    one.command({ ...read, cmdSN: 1 })
    one.cmdSN = 3
    one.manage({ function: fn })
    volume.releaseAll()
    t.equal(one.receiveOne(DataIn).initiatorTaskTag, 1, 'nothing is aborted yet')
    two.command({ ...read, cmdSN: 2, tag: 90 })
    volume.releaseAll()
    acknowledges(one)
    answers(t, one, Code.FunctionComplete)
    t.same(two.receive(), [])
  }
})

t.test('later commands of the session are for resets only', async (t) => {
  for (const fn of everyFunction) {
    const { one, two, volume } = start()
    one.command({ ...read, cmdSN: 1 })
    two.command({ ...read, cmdSN: 2, tag: 91, immediate: true })
    two.command({ ...read, cmdSN: 2, tag: 90 })
    one.cmdSN = 2
    one.manage({ function: fn })
    const resets = fn !== Fn.AbortTaskSet && fn !== Fn.ClearTaskSet
    for (let i = 0; i < (resets ? 3 : 2); i++) volume.release()
    answers(t, one, Code.FunctionComplete)
    volume.releaseAll()
    const spared = two.receiveAll(DataIn).map((pdu) => pdu.initiatorTaskTag)
    t.same(spared, resets ? [] : [90])
  }
})

t.test('a target reset takes commands that have not come as come and aborted', async (t) => {
  const { one, two, executor } = start()
  two.command({ ...inquiry, cmdSN: 2, tag: 90 })
  one.cmdSN = 4
  one.manage({ function: Fn.TargetWarmReset })
  answers(t, one, Code.FunctionComplete)
  for (const cmdSN of [1, 2, 3]) one.command({ ...inquiry, cmdSN, tag: 91 })
  t.same([one.receive(), two.receive(), executor.executed], [[], [], []])
  one.command(inquiry)
  t.match(one.receiveOne(DataIn), { expCmdSN: 5, maxCmdSN: 36 })
})

t.test('the response waits until statuses sent before it are acknowledged', async (t) => {
  const { one, two, other, volume } = start()
  two.command({ ...inquiry, cmdSN: 1 })
  two.command({ ...read, cmdSN: 2 })
  other.command(inquiry)
  one.cmdSN = 3
  one.manage({ function: Fn.ClearTaskSet })
  volume.releaseAll()
  t.same(one.receive(), [])
  t.equal(other.receive().length, 1, 'a session without affected tasks is not asked')
  const [answered, ping, ...more] = two.receive()
  t.same([answered!.header[0], more.length], [0x25, 0])
  two.answerPing(ping!)
  answers(t, one, Code.FunctionComplete)
})

t.test('without an affected task the response waits for acknowledgements as well', async (t) => {
  for (const fn of everyFunction) {
    const { one, two } = start()
    two.command({ ...inquiry, cmdSN: 1 })
    one.cmdSN = 2
    one.manage({ function: fn })
    t.same(one.receive(), [])
    const [, ping] = two.receive()
    two.answerPing(ping!)
    answers(t, one, Code.FunctionComplete)
  }
})

t.test('another session need not acknowledge anything before the response', async (t) => {
  const { one, other, volume } = start()
  other.command(inquiry)
  other.command(read)
  one.manage({ function: Fn.LogicalUnitReset })
  volume.releaseAll()
  answers(t, one, Code.FunctionComplete)
})

t.test('of a connection that is lost no acknowledgement is waited for', async (t) => {
  const { one, two, volume } = start()
  two.command({ ...inquiry, cmdSN: 1 })
  two.command({ ...read, cmdSN: 2 })
  one.cmdSN = 3
  one.manage({ function: Fn.AbortTaskSet })
  volume.releaseAll()
  t.same(one.receive(), [])
  two.connection.transportLost()
  answers(t, one, Code.FunctionComplete)
})

t.test('a reset waits for writes of sessions that are gone', async (t) => {
  for (const fn of [Fn.ClearTaskSet, Fn.LogicalUnitReset, Fn.TargetWarmReset]) {
    const { one, other, volume, executor, node } = start()
    other.command(write, Buffer.alloc(1024, 1))
    other.connection.transportLost()
    t.equal([...node.sessions()].length, 1)
    one.manage({ function: fn })
    t.same([one.receive(), executor.resets], [[], []])
    volume.release()
    answers(t, one, Code.FunctionComplete)
  }
})

t.test('CLEAR TASK SET names those that lost tasks by it', async (t) => {
  const { one, other, node, executor, volume } = start()
  const idle = new ScriptedInitiator(node)
  idle.login({ isid: '400000030000' })
  one.command(read)
  other.command(read)
  idle.command({ ...read, lun: 3 })
  one.manage({ function: Fn.ClearTaskSet })
  volume.releaseAll()
  answers(t, one, Code.FunctionComplete)
  t.same(executor.cleared, [executor.nexuses[1]])
})

t.test('functions that wait for commands are bounded, and end with their connection', async (t) => {
  const { one, two, executor } = start()
  one.cmdSN = 2
  for (let tag = 1; tag <= 8; tag++) one.manage({ function: Fn.LogicalUnitReset, tag })
  t.same(one.receive(), [])
  one.manage({ function: Fn.LogicalUnitReset, tag: 8 })
  t.equal(one.receiveOne(Reject).reason, RejectReason.TaskInProgress)
  one.manage({ function: Fn.LogicalUnitReset, tag: 9 })
  t.equal(one.receiveOne(Reject).reason, RejectReason.ImmediateCommandReject)
  one.connection.transportLost()
  two.command({ ...inquiry, cmdSN: 1 })
  two.receiveOne(DataIn)
  t.same(executor.resets, [])
})

t.test('a function with a CmdSN far ahead waits for nothing', async (t) => {
  const { one } = start()
  one.cmdSN = 34
  one.manage({ function: Fn.LogicalUnitReset })
  answers(t, one, Code.FunctionComplete)
})
