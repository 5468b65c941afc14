import {
  AsyncEvent,
  AsyncMessage,
  DataIn,
  LoginStatus,
  LogoutReason,
  LogoutResponse,
} from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const read = { opcode: 0x28, blocks: 1, read: true } as const

/** A session of two connections, and a discovery session. */
function start() {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume, {}, { logoutSeconds: 5 })
  const connect = () => new ScriptedInitiator(node)
  const [one, two, discovery] = [connect(), connect(), connect()]
  one.login({ keys: { MaxConnections: '2' } })
  two.login({ tsih: one.tsih, cid: 1 })
  discovery.login({ discovery: true })
  return { volume, node, executor, connect, one, two, discovery }
}

function isAskedToLogOut(t: Test, initiator: ScriptedInitiator): void {
  t.match(initiator.receiveOne(AsyncMessage), {
    initiatorTaskTag: 0xffffffff,
    asyncEvent: AsyncEvent.LogoutRequest,
    parameter1: 0,
    parameter2: 0,
    parameter3: 5,
  })
  t.equal(initiator.connection.state, 'LOGOUT_REQUESTED')
}

t.test(
  'a node that closes asks every connection to log out, and is closed when all have',
  async (t) => {
    const { node, one, two, discovery, volume, connect } = start()
    one.command(read)
    const closed = node.close(1000)
    for (const each of [one, two, discovery]) isAskedToLogOut(t, each)
    t.throws(() => connect().login({ isid: '400000030000' }), {
      message: `login status 0x${LoginStatus.ServiceUnavailable.toString(16)}`,
    })
    volume.releaseAll()
    t.ok(one.receiveOne(DataIn), 'what is under way goes on')
    discovery.logout(LogoutReason.CloseSession)
    two.logout(LogoutReason.CloseConnection, 1)
    one.connection.onTimer(5999)
    one.logout(LogoutReason.CloseSession)
    for (const each of [one, two, discovery]) {
      t.equal(each.receiveOne(LogoutResponse).response, 0)
      t.match(each.sink.closed, { reason: 'logout' })
    }
    await closed
    t.equal([...node.sessions()].length, 0)
  },
)

t.test('an initiator that does not log out in time is told, and dropped', async (t) => {
  const { node, one, two, discovery } = start()
  const closed = node.close(1000)
  for (const each of [one, two, discovery]) {
    isAskedToLogOut(t, each)
    each.connection.onTimer(5999)
    t.same([each.receive(), each.sink.closed], [[], null])
    each.connection.onTimer(6000)
    t.match(each.receiveOne(AsyncMessage), {
      asyncEvent: AsyncEvent.ConnectionDropped,
      parameter1: each === two ? 1 : 0,
      parameter2: 2,
      parameter3: 20,
    })
    t.match(each.sink.closed, { reason: 'shutdown' })
  }
  await closed
})

t.test('a logout that is under way when its time is up gets no Async Message', async (t) => {
  const { node, one, two, discovery, volume } = start()
  one.command({ opcode: 0x2a, blocks: 1, write: true }, Buffer.alloc(512))
  void node.close(0)
  for (const each of [one, two, discovery]) isAskedToLogOut(t, each)
  one.logout(LogoutReason.CloseConnection)
  one.connection.onTimer(5000)
  t.same(one.receive(), [])
  t.match(one.sink.closed, { reason: 'shutdown' })
  volume.releaseAll()
  t.same(one.receive(), [])
})

t.test('a SCSI event is told on one connection of a Normal session', async (t) => {
  const { executor, one, two, discovery, volume } = start()
  const lun = Buffer.from('0007000000000000', 'hex')
  const sense = Buffer.from('7000060000000000000000003f0e00000000', 'hex')
  const report = () => {
    for (const transport of executor.transports) transport.reportEvent(lun, sense)
  }
  report()
  const event = one.receiveOne(AsyncMessage)
  t.match(event, { asyncEvent: AsyncEvent.ScsiEvent, asyncVCode: 0, initiatorTaskTag: 0xffffffff })
  t.ok(event.buffer.subarray(8, 16).equals(lun))
  t.ok(event.data.equals(Buffer.concat([Buffer.from([0, 18]), sense])))
  t.same([two.receive(), discovery.receive()], [[], []])
  one.command({ opcode: 0x2a, blocks: 1, write: true }, Buffer.alloc(512))
  one.logout(LogoutReason.CloseConnection)
  report()
  t.ok(two.receiveOne(AsyncMessage), 'not on one that logs out')
  volume.releaseAll()
  t.ok(one.receiveOne(LogoutResponse), 'nor after the response')
})
