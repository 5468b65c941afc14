import {
  LogoutReason,
  NopOut,
  opcodeName,
  RESERVED_TAG,
  ScsiResponse,
  TaskManagementFunction,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { FENCED, SENSE } from '../support/block-executor.ts'
import type { SentPdu } from '../support/fake-sink.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const Fn = TaskManagementFunction
const read = { opcode: 0x28, blocks: 1, read: true } as const
const inquiry = { opcode: 0x12, blocks: 4, expected: 4, read: true } as const
const fenced = { opcode: FENCED } as const
const failing = { opcode: 0xff } as const

/** A session of two connections, or of one, and a volume that ends operations when told to. */
function start(connections: 1 | 2 = 2) {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume)
  const [one, two] = [new ScriptedInitiator(node), new ScriptedInitiator(node)]
  one.login({ keys: { MaxConnections: '2' } })
  if (connections === 2) two.login({ tsih: one.tsih, cid: 1 })
  /** The next command of the session, on one of them. */
  const send = (
    initiator: ScriptedInitiator,
    command: Parameters<ScriptedInitiator['command']>[0],
    tag: number,
  ) => {
    initiator.command({ ...command, tag, cmdSN: one.cmdSN++ })
  }
  return { volume, node, executor, one, two, send }
}

/** What has come, by name and tag. */
function came(initiator: ScriptedInitiator, { answersPings = false } = {}): string[] {
  return initiator.receive().map((pdu: SentPdu) => {
    const { header } = pdu
    const tag = header.readInt32BE(16)
    if (tag === -1 && answersPings) initiator.answerPing(pdu)
    return `${opcodeName((header[0] as number) & 0x3f)} ${tag}`
  })
}

/** For `came`: pings are answered. */
const acknowledging = { answersPings: true }
const ping = 'NopIn -1'

t.test(
  'a fenced response waits until all before it is acknowledged, on every connection',
  async (t) => {
    const { one, two, send } = start()
    send(two, failing, 11)
    send(one, fenced, 12)
    t.same(came(one), [])
    t.same(came(two, acknowledging), ['ScsiResponse 11', ping])
    t.same(came(one), ['ScsiResponse 12', ping])
  },
)

t.test('what follows a fenced response waits until it is acknowledged', async (t) => {
  const { one, two, send, volume } = start()
  send(one, read, 10)
  send(one, fenced, 11)
  send(two, failing, 12)
  send(two, inquiry, 13)
  send(two, read, 14)
  volume.releaseAll()
  two.ping(99)
  t.same(came(two), ['DataIn 13', 'DataIn 14', 'NopIn 99'], 'data and pings pass')
  t.same(came(one, acknowledging), ['ScsiResponse 11', ping, 'DataIn 10'])
  t.same(came(two), ['ScsiResponse 12', 'ScsiResponse 13', 'ScsiResponse 14'])
  t.same(came(one), ['ScsiResponse 10'])
  send(two, inquiry, 15)
  t.same(came(two), ['DataIn 15'], 'status comes with the data again')
})

t.test('a status that waited at the fence tells what its data were', async (t) => {
  const { one, two, send } = start()
  send(one, fenced, 11)
  send(two, { ...inquiry, expected: 8 }, 12)
  two.receive()
  came(one, acknowledging)
  const underflow = { residualUnderflow: true, residualCount: 4 }
  t.match(two.receiveOne(ScsiResponse), { status: 0, expDataSN: 1, ...underflow })
})

t.test('a write that ends with its data while a fence is up is answered once', async (t) => {
  const { one, two, volume } = start()
  volume.now = () => true
  const write = { opcode: 0x2a, blocks: 1, write: true } as const
  one.command({ ...fenced, tag: 11, cmdSN: one.cmdSN++ })
  for (const tag of [12, 13]) two.command({ ...write, tag, cmdSN: one.cmdSN++ }, Buffer.alloc(512))
  t.same(came(two), [])
  t.same(came(one, acknowledging), ['ScsiResponse 11', ping])
  t.same(came(two), ['ScsiResponse 12', 'ScsiResponse 13'])
})

t.test('of several fenced responses each waits for the one before', async (t) => {
  const { one, two, send } = start()
  send(one, fenced, 11)
  send(two, fenced, 12)
  send(one, failing, 13)
  send(two, failing, 14)
  t.same(came(two), [])
  t.same(came(one, acknowledging), ['ScsiResponse 11', ping])
  t.same(came(one), [])
  t.same(came(two, acknowledging), ['ScsiResponse 12', ping])
  t.same([came(one), came(two)], [['ScsiResponse 13'], ['ScsiResponse 14']])
})

t.test('the response to a function for many tasks is fenced', async (t) => {
  for (const fn of [Fn.AbortTaskSet, Fn.ClearTaskSet, Fn.LogicalUnitReset, Fn.TargetWarmReset]) {
    const { one, two, send } = start()
    one.manage({ function: fn, tag: 1 })
    send(two, failing, 2)
    two.manage({ function: Fn.QueryTask, referencedTaskTag: 7, tag: 3 })
    t.same(came(two), [], 'nor are other functions answered')
    t.same(came(one, acknowledging), ['TaskManagementResponse 1', ping])
    t.same(came(two), ['ScsiResponse 2', 'TaskManagementResponse 3'])
  }
})

t.test('with one connection nothing waits but for what came before a function', async (t) => {
  const { one, send } = start(1)
  send(one, fenced, 1)
  send(one, failing, 2)
  one.manage({ function: Fn.LogicalUnitReset, tag: 3 })
  send(one, failing, 4)
  t.same(came(one, acknowledging), ['ScsiResponse 1', 'ScsiResponse 2', ping])
  t.same(came(one), ['TaskManagementResponse 3', 'ScsiResponse 4'])
})

t.test('a task that is aborted at the fence is not answered', async (t) => {
  const { one, two, send, executor } = start()
  send(one, fenced, 11)
  send(two, failing, 12)
  send(two, failing, 13)
  one.manage({ function: Fn.AbortTask, referencedTaskTag: 12, refCmdSN: 2, tag: 1 })
  t.same(
    came(one, acknowledging),
    ['ScsiResponse 11', ping, 'TaskManagementResponse 1'].slice(0, 2),
  )
  t.same([came(one), came(two)], [['TaskManagementResponse 1'], ['ScsiResponse 13']])
  t.equal(executor.endedTasks.length, 3)
})

t.test('a task that is aborted before its fenced response lets the others go', async (t) => {
  const { one, two, send } = start()
  send(two, failing, 11)
  send(one, fenced, 12)
  send(one, failing, 13)
  one.manage({ function: Fn.AbortTask, referencedTaskTag: 12, refCmdSN: 2, tag: 1 })
  t.same(came(one), [])
  t.same(came(two, acknowledging), ['ScsiResponse 11', ping])
  t.same(came(one), ['ScsiResponse 13', 'TaskManagementResponse 1'])
})

t.test('tasks that fail are answered in their order', async (t) => {
  const { one, two, send, executor, volume } = start()
  send(two, read, 10)
  send(one, fenced, 11)
  executor.transports[0]?.failTasks(
    () => SENSE,
    () => {},
  )
  volume.releaseAll()
  t.same(came(two), [])
  came(one, acknowledging)
  t.match(two.receiveOne(ScsiResponse), { initiatorTaskTag: 10, status: 2 })
})

t.test('a connection that is lost takes down the fence, whichever it is', async (t) => {
  for (const lost of ['before', 'after', 'other'] as const) {
    const { one, two, node, send } = start()
    const third = new ScriptedInitiator(node)
    if (lost !== 'after') send(two, failing, 10)
    send(one, fenced, 11)
    send(one, failing, 12)
    send(two, failing, 13)
    if (lost === 'other') two.connection.transportLost()
    else one.connection.transportLost()
    if (lost === 'before')
      t.same(came(two, acknowledging), ['ScsiResponse 10', ping], 'not sent yet')
    const answered = lost === 'other' ? ['ScsiResponse 11', 'ScsiResponse 12'] : ['ScsiResponse 13']
    t.same(came(lost === 'other' ? one : two), answered)
    third.login({ tsih: one.tsih, cid: 7 })
    send(third, failing, 14)
    t.same(came(third), ['ScsiResponse 14'])
  }
})

t.test('a connection can be logged out at the fence', async (t) => {
  const { one, two, send, executor } = start()
  send(two, failing, 10)
  send(one, fenced, 11)
  send(two, failing, 12)
  two.logout(LogoutReason.CloseConnection, 1)
  t.same(came(two), ['ScsiResponse 10', ping, 'LogoutResponse 4192'])
  t.same(came(one), ['ScsiResponse 11'])
  t.same(executor.lostTags, [12], 'its unit tells of it')
})

t.test('a ping that was under way already does not count', async (t) => {
  const { one, two, send } = start()
  for (const nowMs of [1000, 40_000]) two.connection.onTimer(nowMs)
  const [first] = two.receive()
  send(two, failing, 11)
  send(one, fenced, 12)
  // Its answer was sent before the status had come.
  two.answerPing(first!)
  t.same(came(one), [])
  t.same(came(two, acknowledging), ['ScsiResponse 11', ping])
  t.same(came(one), ['ScsiResponse 12', ping])
})

t.test('an initiator that answers but acknowledges nothing is dropped', async (t) => {
  const { one, two, send } = start()
  send(two, failing, 11)
  send(one, fenced, 12)
  const unacknowledged = two.receive().at(-1)!.header.readUInt32BE(20)
  two.sendPdu(new NopOut(), (pdu) => {
    pdu.immediate = true
    pdu.initiatorTaskTag = RESERVED_TAG
    pdu.targetTransferTag = unacknowledged
    pdu.expStatSN = 1
  })
  for (const nowMs of [1000, 31_000]) two.connection.onTimer(nowMs)
  t.same([came(one), two.sink.closed], [[], null])
  two.connection.onTimer(31_001)
  t.match(two.sink.closed, { reason: 'timeout', detail: /not acknowledged within 30000 ms/ })
  t.same(came(one), ['ScsiResponse 12'])
})
