import {
  DataIn,
  LogoutReason,
  LogoutResponse,
  NopIn,
  ReadyToTransfer,
  ScsiResponse,
  serialAdd,
  TaskManagementFunction,
  TaskManagementResponse,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const read = { opcode: 0x28, blocks: 1, read: true } as const
const write = { opcode: 0x2a, blocks: 2, write: true } as const

/** A session of two connections whose CmdSN and StatSNs are about to wrap. ScriptedInitiator checks them all. */
function start(cmdSN: number, statSNs: readonly [number, number]) {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume, {}, { commandWindow: 8 })
  const [one, two] = statSNs.map((statSN) => new ScriptedInitiator(node, 0, undefined, statSN)) as [
    ScriptedInitiator,
    ScriptedInitiator,
  ]
  one.login({ keys: { MaxConnections: '2', ImmediateData: 'No' }, cmdSN })
  two.login({ tsih: one.tsih, cid: 1, cmdSN })
  return { volume, node, executor, one, two }
}

const starts = [
  [0xfffffff0, [0xfffffff8, 0xfffffffe]],
  [0xffffffff, [0xffffffff, 0]],
  [0, [0xfffffffd, 0xffffffff]],
] as const

t.test('CmdSN and StatSN go on across 2^32 on every connection (UNH 1.2, 2.1)', async (t) => {
  for (const [first, statSNs] of starts) {
    const { one, two, executor, volume } = start(first, statSNs)
    volume.now = () => true
    for (let i = 0; i < 40; i += 4) {
      const sn = (n: number) => serialAdd(first, i + n)
      two.command({ ...read, lba: i + 1, cmdSN: sn(1), tag: 100 })
      const tag = one.command({ ...write, lba: i + 2, cmdSN: sn(2) })
      one.command({ ...read, lba: i, cmdSN: sn(0), tag: 101 })
      const [data, r2t] = one.receive()
      t.equal(new DataIn().at(data!.header, 0).initiatorTaskTag, 101)
      t.equal(two.receiveOne(DataIn).initiatorTaskTag, 100)
      const ttt = new ReadyToTransfer().at(r2t!.header, 0).targetTransferTag
      one.dataOut({ tag, ttt, offset: 0 }, Buffer.alloc(1024, i))
      t.match(one.receiveOne(ScsiResponse), { status: 0, expCmdSN: sn(3), maxCmdSN: sn(10) })
      two.cmdSN = sn(3)
      two.ping(7, { immediate: false })
      t.match(two.receiveOne(NopIn), { expCmdSN: sn(4), maxCmdSN: sn(11) })
    }
    const inOrder = Array.from({ length: 40 }, (_, i) => i).filter((i) => i % 4 < 3)
    t.same(executor.executed, inOrder)
  }
})

t.test('the window closes and opens across 2^32', async (t) => {
  const { one, two, executor, volume } = start(0xfffffffc, [1, 1])
  for (let i = 0; i < 8; i++) {
    two.command({ ...read, lba: i, cmdSN: serialAdd(0xfffffffc, i) })
  }
  one.command({ ...read, lba: 50, cmdSN: 4, tag: 100 })
  t.same(executor.executed, [0, 1, 2, 3, 4, 5, 6, 7], 'MaxCmdSN is 3')
  volume.release()
  t.match(two.receiveOne(DataIn), { expCmdSN: 4, maxCmdSN: 4 })
  one.command({ ...read, lba: 51, cmdSN: 4, tag: 100 })
  t.equal(executor.executed.at(-1), 51)
})

t.test('a command is aborted by a RefCmdSN from before 2^32', async (t) => {
  const { one, two, executor } = start(0xfffffffe, [1, 1])
  two.command({ ...read, lba: 2, cmdSN: 0, tag: 100 })
  one.cmdSN = 1
  const refCmdSN = 0xffffffff
  one.manage({ function: TaskManagementFunction.AbortTask, referencedTaskTag: 99, refCmdSN })
  t.equal(one.receiveOne(TaskManagementResponse).response, 0)
  one.command({ ...read, lba: 1, cmdSN: 0xffffffff, tag: 99 })
  one.command({ ...read, lba: 0, cmdSN: 0xfffffffe, tag: 98 })
  t.same(executor.executed, [0, 2])
})

t.test('a reset waits for an acknowledgement, and for commands, across 2^32', async (t) => {
  const { one, two, volume } = start(0xffffffff, [0xfffffff0, 0xfffffffe])
  // The login took StatSN FFFFFFFEh; the status of this one is FFFFFFFFh, and is not yet acknowledged.
  two.command({ opcode: 0x12, blocks: 4, expected: 4, read: true, cmdSN: 0xffffffff, tag: 100 })
  one.cmdSN = 1
  one.manage({ function: TaskManagementFunction.LogicalUnitReset })
  two.command({ ...read, cmdSN: 0, tag: 101 })
  volume.releaseAll()
  t.same(one.receive(), [])
  const [data, asked] = two.receive()
  t.equal(new DataIn().at(data!.header, 0).statSN, 0xffffffff)
  const ping = new NopIn().at(asked!.header, 0)
  t.equal(ping.statSN, 0)
  two.ping(0xffffffff, { ttt: ping.targetTransferTag })
  const [answer, fence] = one.receive()
  t.equal(new TaskManagementResponse().at(answer!.header, 0).response, 0)
  one.answerPing(fence!)
  one.logout(LogoutReason.CloseSession)
  t.equal(one.receiveOne(LogoutResponse).response, 0)
})
