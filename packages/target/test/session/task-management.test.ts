import {
  AsyncEvent,
  AsyncMessage,
  DataIn,
  NopIn,
  ReadyToTransfer,
  ScsiResponse,
  TaskManagementFunction,
  TaskManagementResponse,
  TaskManagementResponseCode,
} from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const Code = TaskManagementResponseCode
const Fn = TaskManagementFunction

/** Two initiators of one target, and a volume whose operations end when the test says so. */
function start() {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume, {}, { commandWindow: 8 })
  const [initiator, other] = [new ScriptedInitiator(node), new ScriptedInitiator(node)]
  initiator.login({ keys: { InitialR2T: 'No' } })
  other.login({ isid: '400000020000' })
  return { volume, node, executor, initiator, other }
}

const read = { opcode: 0x28, blocks: 1, read: true } as const
const write = { opcode: 0x2a, blocks: 2, write: true } as const
const inquiry = { opcode: 0x12, blocks: 4, expected: 4, read: true } as const

function answers(t: Test, initiator: ScriptedInitiator, response: number): void {
  t.match(initiator.receiveOne(TaskManagementResponse), { response, initiatorTaskTag: 0x7a5c })
}

/** All places of the window can be used, and were given back once: `size` more commands go, and no more. */
function windowIsWhole(t: Test, initiator: ScriptedInitiator): void {
  initiator.ping(1)
  const { expCmdSN, maxCmdSN } = initiator.receiveOne(NopIn)
  t.equal(maxCmdSN, expCmdSN + 7)
}

t.test('a task that waits for the medium is aborted when that is done with it', async (t) => {
  for (const command of [read, write]) {
    const { initiator, volume, executor } = start()
    const tag = initiator.command(command, command === write ? Buffer.alloc(1024) : undefined)
    initiator.manage({ function: Fn.AbortTask, referencedTaskTag: tag, refCmdSN: 1 })
    t.same(initiator.receive(), [], 'not before')
    initiator.manage({ function: Fn.AbortTask, referencedTaskTag: tag, refCmdSN: 1, tag: 0x7a5d })
    volume.releaseAll()
    const responses = initiator.receiveAll(TaskManagementResponse).map((pdu) => pdu.response)
    t.same(responses, [Code.FunctionComplete, Code.FunctionComplete])
    t.equal(executor.abortedTasks.length, 1)
    t.equal(initiator.sink.lent.size, 0)
    windowIsWhole(t, initiator)
    volume.now = () => true
    initiator.command({ ...read, tag })
    t.equal(initiator.receiveOne(DataIn).initiatorTaskTag, tag, 'its tag is free')
  }
})

t.test(
  'a task that waits for data is aborted at once, and its data are dropped (UNH 11.1)',
  async (t) => {
    const { initiator, volume } = start()
    const tag = initiator.command(write)
    const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
    const second = initiator.command({ ...write, lba: 8, immediate: true })
    const r2t = initiator.receiveOne(ReadyToTransfer)
    initiator.manage({ function: Fn.AbortTask, referencedTaskTag: tag, refCmdSN: 1 })
    answers(t, initiator, Code.FunctionComplete)
    initiator.dataOut({ tag, ttt, offset: 0 }, Buffer.alloc(1024, 1))
    t.same(volume.writes, [])
    volume.now = () => true
    const { targetTransferTag } = r2t
    initiator.dataOut({ tag: second, ttt: targetTransferTag, offset: 0 }, Buffer.alloc(1024, 2))
    t.match(initiator.receiveOne(ScsiResponse), { initiatorTaskTag: second, status: 0 })
    t.same(volume.writes, [{ offset: 4096, length: 1024 }])
    windowIsWhole(t, initiator)
  },
)

t.test('a task that has failed and awaits the rest of its data is aborted', async (t) => {
  const { initiator } = start()
  const tag = initiator.command({ opcode: 0xc7, write: true, expected: 1024, final: false })
  initiator.manage({ function: Fn.AbortTask, referencedTaskTag: tag, refCmdSN: 1 })
  answers(t, initiator, Code.FunctionComplete)
  initiator.dataOut({ tag, offset: 0 }, Buffer.alloc(1024))
  t.same(initiator.receive(), [])
  windowIsWhole(t, initiator)
})

t.test('a task that waits for its turn never runs, and its place is kept until then', async (t) => {
  const { initiator, executor } = start()
  const tag = initiator.command({ ...inquiry, lba: 7, cmdSN: 2 })
  initiator.cmdSN = 3
  initiator.manage({ function: Fn.AbortTask, referencedTaskTag: tag, refCmdSN: 2 })
  answers(t, initiator, Code.FunctionComplete)
  // The tag is free; the CmdSN is not.
  initiator.command({ ...inquiry, lba: 8, cmdSN: 3, tag })
  initiator.command({ ...inquiry, lba: 9, cmdSN: 2, tag: 80 })
  t.same(executor.executed, [])
  windowIsWhole(t, initiator)
  initiator.command({ ...inquiry, lba: 6, cmdSN: 1 })
  t.same(
    executor.executed.map((lba) => lba % 256),
    [6, 8],
  )
  t.equal(initiator.receiveAll(DataIn).at(-1)?.expCmdSN, 4)
  windowIsWhole(t, initiator)
})

t.test('a command that is still on its way is taken as come and aborted', async (t) => {
  const { initiator, executor } = start()
  initiator.cmdSN = 3
  initiator.manage({ function: Fn.AbortTask, referencedTaskTag: 55, refCmdSN: 2 })
  answers(t, initiator, Code.FunctionComplete)
  initiator.manage({ function: Fn.AbortTask, referencedTaskTag: 56, refCmdSN: 1 })
  answers(t, initiator, Code.FunctionComplete)
  initiator.command({ ...inquiry, cmdSN: 2, tag: 55 })
  t.same(initiator.receive(), [], 'it comes too late')
  t.same(executor.executed, [])
  initiator.command(inquiry)
  t.equal(initiator.receiveOne(DataIn).expCmdSN, 4)
  windowIsWhole(t, initiator)
})

t.test('a task that is not there, or has ended, does not exist (UNH 11.3.3)', async (t) => {
  const { initiator } = start()
  const tag = initiator.command(inquiry)
  initiator.receiveOne(DataIn)
  for (const refCmdSN of [1, 0, 2, 3, 1000, 0x80000001]) {
    initiator.manage({ function: Fn.AbortTask, referencedTaskTag: tag, refCmdSN })
    answers(t, initiator, Code.TaskDoesNotExist)
  }
  // Were each of these kept for later, they would be without a bound.
  initiator.cmdSN = 0x7ffffff0
  for (let i = 0; i < 20; i++) {
    initiator.manage({ function: Fn.AbortTask, referencedTaskTag: tag, refCmdSN: 10 + i })
    answers(t, initiator, Code.TaskDoesNotExist)
  }
  initiator.cmdSN = 2
  initiator.command(inquiry)
  initiator.receiveOne(DataIn)
  windowIsWhole(t, initiator)
})

t.test('ABORT TASK SET is for the tasks of its session on one LUN (UNH 11.3.1)', async (t) => {
  const { initiator, other, volume } = start()
  initiator.command({ ...read, lun: 1 })
  const spared = initiator.command({ ...read, lun: 2 })
  other.command({ ...read, lun: 1 })
  initiator.manage({ function: Fn.AbortTaskSet, lun: 1 })
  initiator.ping(9)
  t.equal(initiator.receiveOne(NopIn).initiatorTaskTag, 9)
  volume.releaseAll()
  const [response, data, ...more] = initiator.receive()
  t.same(more, [])
  t.equal(new TaskManagementResponse().at(response!.header, 0).response, 0)
  t.equal(new DataIn().at(data!.header, 0).initiatorTaskTag, spared)
  other.receiveOne(DataIn)
})

t.test(
  'a reset aborts the tasks of all sessions, and answers when nothing moves any more',
  async (t) => {
    const cases = [
      [Fn.ClearTaskSet, []],
      [Fn.LogicalUnitReset, ['0000000000000000']],
      [Fn.TargetWarmReset, ['target']],
    ] as const
    for (const [fn, resets] of cases) {
      const { initiator, other, volume, executor } = start()
      initiator.command(read)
      other.command(write, Buffer.alloc(1024, 1))
      other.command(write)
      other.receiveOne(ReadyToTransfer)
      initiator.manage({ function: fn, immediate: false })
      t.equal(executor.abortedTasks.length, 3)
      t.same(executor.resets, [], 'its own work comes after theirs')
      volume.release()
      t.same(initiator.receive(), [])
      volume.release()
      answers(t, initiator, Code.FunctionComplete)
      t.same(executor.resets, resets)
      const told = { initiatorTaskTag: 0xffffffff, targetTransferTag: 0xffffffff }
      t.match(other.receiveOne(NopIn), told, 'of its place, and nothing else')
      windowIsWhole(t, initiator)
      windowIsWhole(t, other)
    }
  },
)

t.test('a cold reset ends every session too (UNH 11.5)', async (t) => {
  const { initiator, other, node, executor } = start()
  initiator.manage({ function: Fn.TargetColdReset })
  const [response, dropped, ...more] = initiator.receive()
  t.equal(new TaskManagementResponse().at(response!.header, 0).response, Code.FunctionComplete)
  t.equal(new AsyncMessage().at(dropped!.header, 0).asyncEvent, AsyncEvent.SessionDropped)
  t.same(more, [])
  t.match(other.receiveOne(AsyncMessage), {
    asyncEvent: AsyncEvent.SessionDropped,
    parameter1: 0,
    parameter2: 2,
    parameter3: 20,
  })
  t.same(executor.resets, ['target'])
  for (const { sink } of [initiator, other]) t.match(sink.closed, { reason: 'session-ended' })
  t.equal([...node.sessions()].length, 0)
})

t.test('what is not supported is said to be so (UNH 11.2)', async (t) => {
  const { initiator } = start()
  const tag = initiator.command(read)
  initiator.manage({ function: Fn.TaskReassign, referencedTaskTag: tag })
  answers(t, initiator, Code.TaskAllegianceReassignmentNotSupported)
  for (const fn of [Fn.ClearAca, 0, 9, 127]) {
    initiator.manage({ function: fn })
    answers(t, initiator, Code.FunctionNotSupported)
  }
})

t.test('task management itself cannot be aborted: such a request is rejected', async (t) => {
  const { initiator, volume } = start()
  initiator.command(read)
  initiator.manage({ function: Fn.AbortTaskSet, tag: 70 })
  initiator.manage({ function: Fn.AbortTask, referencedTaskTag: 70, refCmdSN: 2, tag: 71 })
  const rejected = { response: Code.FunctionRejected, initiatorTaskTag: 71 }
  t.match(initiator.receiveOne(TaskManagementResponse), rejected)
  volume.releaseAll()
  const { targetTransferTag: ttt } = initiator.receiveOne(NopIn)
  initiator.ping(0xffffffff, { ttt })
  const complete = { response: Code.FunctionComplete, initiatorTaskTag: 70 }
  t.match(initiator.receiveOne(TaskManagementResponse), complete)
  initiator.manage({ function: Fn.AbortTask, referencedTaskTag: 70, refCmdSN: 1 })
  answers(t, initiator, Code.TaskDoesNotExist)
})

t.test('a connection that ends before the answer gets none', async (t) => {
  const { initiator, volume, executor } = start()
  initiator.command(read)
  initiator.manage({ function: Fn.LogicalUnitReset })
  initiator.connection.transportLost()
  volume.releaseAll()
  t.same(initiator.receive(), [])
  t.equal(executor.resets.length, 1, 'the reset takes place all the same')
})

t.test('a function that is not immediate waits for its turn', async (t) => {
  const { initiator } = start()
  initiator.cmdSN = 2
  initiator.manage({ function: Fn.AbortTaskSet, immediate: false })
  t.same(initiator.receive(), [])
  initiator.command({ ...inquiry, cmdSN: 1 })
  const [, answer] = initiator.receive()
  t.equal(new TaskManagementResponse().at(answer!.header, 0).expCmdSN, 3)
})

t.test('the SCSI layer can abort tasks of one nexus for the sake of another', async (t) => {
  const { initiator, other, volume, executor } = start()
  initiator.command(read)
  other.command(write, Buffer.alloc(1024, 1))
  other.command(read)
  let ended = false
  executor.transports[1]?.abortTasks(
    (task) => task.dataOutLength > 0,
    () => {
      ended = true
    },
  )
  t.equal(executor.abortedTasks.length, 1)
  t.equal(ended, false)
  volume.releaseAll()
  t.equal(ended, true)
  for (const each of [initiator, other]) t.ok(each.receiveOne(DataIn), 'the others go on')
  windowIsWhole(t, other)
})
