import {
  DataIn,
  LogoutReason,
  LogoutResponse,
  LogoutResponseCode,
  NopIn,
  Reject,
  RejectReason,
  ScsiResponse,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

/** Two connections of one session, and a volume whose operations end when the test says so. */
function start() {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume)
  const [one, two] = [new ScriptedInitiator(node), new ScriptedInitiator(node)]
  one.login({ keys: { MaxConnections: '2' } })
  two.login({ tsih: one.tsih, cid: 1 })
  return { volume, node, executor, one, two }
}

const write = { opcode: 0x2a, blocks: 1, write: true } as const
const block = Buffer.alloc(512, 0xab)

t.test(
  'a session that is closed is answered, and all its connections end (UNH 13.2)',
  async (t) => {
    const { one, two, node, executor } = start()
    one.logout(LogoutReason.CloseSession)
    t.match(one.receiveOne(LogoutResponse), {
      response: LogoutResponseCode.Success,
      initiatorTaskTag: 0x1060,
      time2Wait: 2,
      time2Retain: 20,
    })
    for (const { sink, connection } of [one, two]) {
      t.match(sink.closed, { reason: 'logout' })
      t.equal(connection.state, 'FREE')
    }
    t.equal([...node.sessions()].length, 0)
    t.equal(executor.closedNexuses.length, 1)
  },
)

t.test(
  'a connection that is closed leaves the other be, until that one goes (UNH 13.1)',
  async (t) => {
    const { one, two, node, executor, volume } = start()
    two.command({ ...write, cmdSN: 2, tag: 50 }, block)
    one.command({ ...write, cmdSN: 1, tag: 51 })
    one.receive()
    one.logout(LogoutReason.CloseConnection)
    t.equal(one.receiveOne(LogoutResponse).response, LogoutResponseCode.Success)
    t.match(one.sink.closed, { reason: 'logout' })
    t.equal(two.sink.closed, null)
    t.equal([...node.sessions()].length, 1)
    t.equal(executor.abortedTasks.length, 1)
    two.logout(LogoutReason.CloseConnection, 1)
    volume.releaseAll()
    t.equal([...node.sessions()].length, 0)
  },
)

t.test('one connection may log the other out', async (t) => {
  const { one, two } = start()
  one.logout(LogoutReason.CloseConnection, 1)
  t.equal(one.receiveOne(LogoutResponse).response, LogoutResponseCode.Success)
  t.match(two.sink.closed, { reason: 'logout' })
  t.equal(one.sink.closed, null)
})

t.test('what a logged out connection sent before its turn has never come', async (t) => {
  const { one, two, executor, volume } = start()
  volume.now = () => true
  const read = { opcode: 0x28, blocks: 1, read: true } as const
  two.command({ ...read, lba: 3, cmdSN: 3, tag: 70 })
  two.cmdSN = 4
  two.ping(71, { immediate: false })
  one.logout(LogoutReason.CloseConnection, 1)
  t.equal(one.receiveOne(LogoutResponse).response, LogoutResponseCode.Success)
  t.same(executor.lostTags, [], 'no task of the medium was lost')
  for (const lba of [1, 2, 3]) {
    one.command({ ...read, lba, cmdSN: lba, tag: 69 + lba })
    t.equal(one.receiveOne(DataIn).expCmdSN, lba + 1, 'sent again, it is executed')
  }
  t.same(executor.executed, [1, 2, 3])
})

t.test('tasks that end with their connection are told of, if the session goes on', async (t) => {
  const { one, two, executor, volume } = start()
  two.command({ ...write, tag: 80 }, block)
  one.command({ ...write, lba: 1, cmdSN: 2, tag: 81 }, block)
  two.connection.transportLost()
  t.same(executor.lostTags, [80])
  t.same(one.receive(), [])
  volume.releaseAll()
  one.receiveOne(ScsiResponse)
})

t.test('where no response is due a NOP-In tells of the place (RFC 7143 §11.4.11)', async (t) => {
  const { one, two, volume } = start()
  two.command(write, block)
  volume.releaseAll()
  t.equal(two.receiveOne(ScsiResponse).maxCmdSN, 129)
  two.command({ ...write, cmdSN: 2 }, block)
  two.connection.transportLost()
  t.same(one.receive(), [], 'the medium is still at work')
  volume.releaseAll()
  const told = { initiatorTaskTag: 0xffffffff, targetTransferTag: 0xffffffff, maxCmdSN: 130 }
  t.match(one.receiveOne(NopIn), told)
})

t.test('a CID that is not there and recovery are answered so (UNH 13.3, 17.4.2)', async (t) => {
  const { one } = start()
  one.logout(LogoutReason.CloseConnection, 9)
  t.equal(one.receiveOne(LogoutResponse).response, LogoutResponseCode.CidNotFound)
  one.logout(LogoutReason.RemoveConnectionForRecovery)
  const { response } = one.receiveOne(LogoutResponse)
  t.equal(response, LogoutResponseCode.ConnectionRecoveryNotSupported)
  one.logout(LogoutReason.RemoveConnectionForRecovery, 9)
  t.equal(one.receiveOne(LogoutResponse).response, LogoutResponseCode.CidNotFound)
  t.equal(one.sink.closed, null)
})

t.test('a reserved reason is a protocol error', async (t) => {
  const { one, two } = start()
  for (const reason of [3, 0x7f]) {
    one.logout(reason, 1)
    t.equal(one.receiveOne(Reject).reason, RejectReason.ProtocolError)
  }
  t.same([one.sink.closed, two.sink.closed], [null, null])
})

t.test('a discovery session can only be closed whole (RFC 7143 section 4.3)', async (t) => {
  const { node } = start()
  const initiator = new ScriptedInitiator(node)
  initiator.login({ discovery: true })
  for (const reason of [LogoutReason.CloseConnection, LogoutReason.RemoveConnectionForRecovery]) {
    initiator.logout(reason)
    t.equal(initiator.receiveOne(Reject).reason, RejectReason.ProtocolError)
  }
  initiator.logout(LogoutReason.CloseSession)
  t.equal(initiator.receiveOne(LogoutResponse).response, LogoutResponseCode.Success)
  t.match(initiator.sink.closed, { reason: 'logout' })
})

t.test('the response waits for writes under way, and nothing is taken in meanwhile', async (t) => {
  for (const reason of [LogoutReason.CloseSession, LogoutReason.CloseConnection]) {
    const { one, volume, executor } = start()
    one.command(write, block)
    one.command({ ...write, lba: 1 }, block)
    one.logout(reason)
    t.equal(one.connection.state, 'IN_LOGOUT')
    one.command(write, block)
    t.same(one.receive(), [])
    t.equal(one.sink.closed, null)
    t.equal(volume.held.length, 2)
    volume.release()
    t.same(one.receive(), [])
    volume.release()
    t.equal(one.receiveOne(LogoutResponse).response, LogoutResponseCode.Success)
    t.match(one.sink.closed, { reason: 'logout' })
    t.equal(executor.executed.length, 2)
  }
})

t.test('a connection that is lost before its response stays lost', async (t) => {
  const { one, volume } = start()
  one.command(write, block)
  one.logout(LogoutReason.CloseSession)
  one.connection.transportLost()
  t.equal(one.connection.state, 'FREE')
  volume.releaseAll()
  t.same(one.receive(), [])
})

t.test('tasks under way are not answered after a logout', async (t) => {
  const { one, two, volume } = start()
  one.command({ opcode: 0x28, blocks: 1, read: true, tag: 60 })
  two.command({ opcode: 0x28, blocks: 1, read: true, tag: 61, cmdSN: 2 })
  one.logout(LogoutReason.CloseConnection)
  volume.releaseAll()
  one.receiveOne(LogoutResponse)
  t.equal(two.receiveOne(DataIn).initiatorTaskTag, 61, 'those of the other connection are')
  t.equal(one.sink.lent.size, 0)
})
