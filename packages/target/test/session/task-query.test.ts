import {
  DataIn,
  ReadyToTransfer,
  TaskManagementFunction,
  TaskManagementResponse,
  TaskManagementResponseCode,
} from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const Code = TaskManagementResponseCode
const Fn = TaskManagementFunction
const queries = [Fn.QueryTask, Fn.QueryTaskSet, Fn.ITNexusReset, Fn.QueryAsynchronousEvent] as const
const read = { opcode: 0x28, blocks: 1, read: true } as const
const write = { opcode: 0x2a, blocks: 2, write: true } as const

/** A session at level 2, another beside it, and a volume whose operations end when the test says so. */
function start(iSCSIProtocolLevel = '2') {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume, { iSCSIProtocolLevel: 2 }, { commandWindow: 8 })
  const [initiator, other] = [new ScriptedInitiator(node), new ScriptedInitiator(node)]
  initiator.login({ keys: { iSCSIProtocolLevel } })
  other.login({ isid: '400000020000' })
  return { volume, executor, initiator, other }
}

function answers(t: Test, initiator: ScriptedInitiator, response: number, information = 0): void {
  const wanted = { response, additionalResponseInformation: information }
  t.match(initiator.receiveOne(TaskManagementResponse), { ...wanted, initiatorTaskTag: 0x7a5c })
}

t.test('below level 2 there are no functions of RFC 7144', async (t) => {
  for (const level of ['0', '1']) {
    const { initiator, executor } = start(level)
    t.equal(executor.transports[0]?.answersQueries, false)
    for (const query of queries) {
      initiator.manage({ function: query })
      answers(t, initiator, Code.FunctionNotSupported)
    }
    t.same(executor.resets, [])
  }
  t.equal(start().executor.transports[0]?.answersQueries, true)
})

t.test('QUERY TASK tells whether the task is there, and leaves it alone', async (t) => {
  const { initiator, volume } = start()
  const tag = initiator.command(read)
  const ask = (referencedTaskTag: number, lun = 0) =>
    initiator.manage({ function: Fn.QueryTask, referencedTaskTag, refCmdSN: 1, lun })
  ask(tag)
  answers(t, initiator, Code.FunctionSucceeded)
  ask(tag + 1)
  answers(t, initiator, Code.FunctionComplete)
  ask(tag, 1)
  answers(t, initiator, Code.FunctionComplete)
  ask(tag, 0xff)
  answers(t, initiator, Code.LunDoesNotExist)
  volume.releaseAll()
  t.equal(initiator.receiveOne(DataIn).initiatorTaskTag, tag)
  ask(tag)
  answers(t, initiator, Code.FunctionComplete)
})

t.test('a task that is being aborted is not in the task set any more', async (t) => {
  const { initiator, volume } = start()
  const tag = initiator.command(read)
  initiator.manage({ function: Fn.AbortTask, referencedTaskTag: tag, refCmdSN: 1, tag: 70 })
  for (const query of [Fn.QueryTask, Fn.QueryTaskSet]) {
    initiator.manage({ function: query, referencedTaskTag: tag, refCmdSN: 1 })
    answers(t, initiator, Code.FunctionComplete)
  }
  volume.releaseAll()
  t.match(initiator.receiveOne(TaskManagementResponse), { response: 0, initiatorTaskTag: 70 })
})

t.test('QUERY TASK SET tells whether the nexus has a task on that LUN', async (t) => {
  const { initiator, other, volume } = start()
  const ask = (lun = 0) => initiator.manage({ function: Fn.QueryTaskSet, lun })
  other.command(read)
  ask()
  answers(t, initiator, Code.FunctionComplete)
  initiator.command({ ...read, lun: 1 })
  ask()
  answers(t, initiator, Code.FunctionComplete)
  ask(1)
  answers(t, initiator, Code.FunctionSucceeded)
  ask(0xff)
  answers(t, initiator, Code.LunDoesNotExist)
  volume.releaseAll()
})

t.test('QUERY TASK SET waits for the commands that were sent before it', async (t) => {
  const { initiator } = start()
  initiator.cmdSN = 2
  initiator.manage({ function: Fn.QueryTaskSet })
  t.same(initiator.receive(), [])
  initiator.command({ ...read, cmdSN: 1 })
  answers(t, initiator, Code.FunctionSucceeded)
})

t.test('QUERY ASYNCHRONOUS EVENT tells of the oldest event, and that there are more', async (t) => {
  const { initiator, executor } = start()
  const ask = (lun = 0) => initiator.manage({ function: Fn.QueryAsynchronousEvent, lun })
  ask()
  answers(t, initiator, Code.FunctionComplete)
  const powerOn = { senseKey: 6, additionalSenseCode: 0x29, additionalSenseCodeQualifier: 1 }
  executor.events.set(0, { more: false, ...powerOn })
  ask()
  answers(t, initiator, Code.FunctionSucceeded, 0x162901)
  executor.events.set(0, { more: true, ...powerOn })
  ask()
  answers(t, initiator, Code.FunctionSucceeded, 0x262901)
  ask(0xff)
  answers(t, initiator, Code.LunDoesNotExist)
})

t.test('I_T NEXUS RESET ends all tasks of its session, and then the session', async (t) => {
  const { initiator, other, volume, executor } = start()
  initiator.command(read)
  initiator.command({ ...read, lun: 1 })
  const untouched = other.command(read)
  initiator.manage({ function: Fn.ITNexusReset })
  t.same(initiator.receive(), [], 'the medium is still at work')
  t.equal(executor.abortedTasks.length, 2)
  volume.releaseAll()
  answers(t, initiator, Code.FunctionComplete)
  t.match(initiator.sink.closed, { reason: 'session-ended' })
  t.same(executor.closedNexuses, [executor.nexuses[0]], 'the SCSI layer is told of the loss')
  t.equal(other.receiveOne(DataIn).initiatorTaskTag, untouched)
})

t.test(
  'too many functions that wait are answered, not rejected (RFC 7144 section 4.1)',
  async (t) => {
    const { initiator } = start()
    const ahead = initiator.cmdSN + 3
    initiator.cmdSN = ahead
    for (let i = 0; i < 8; i++) initiator.manage({ function: Fn.QueryTaskSet, tag: i })
    t.same(initiator.receive(), [], 'commands before them have not come')
    initiator.manage({ function: Fn.QueryTaskSet })
    answers(t, initiator, Code.FunctionRejected)
  },
)

t.test('I_T NEXUS RESET waits for the data that R2Ts asked for', async (t) => {
  const { initiator } = start()
  const tag = initiator.command(write)
  const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
  initiator.manage({ function: Fn.ITNexusReset })
  t.same(initiator.receive(), [])
  initiator.dataOut({ tag, ttt, offset: 0 }, Buffer.alloc(1024))
  answers(t, initiator, Code.FunctionComplete)
})

t.test('task management itself is not queried: such a request is rejected', async (t) => {
  const { initiator, volume } = start()
  initiator.command(read)
  initiator.manage({ function: Fn.AbortTaskSet, tag: 70 })
  initiator.manage({ function: Fn.QueryTask, referencedTaskTag: 70, refCmdSN: 1 })
  answers(t, initiator, Code.FunctionRejected)
  volume.releaseAll()
})
