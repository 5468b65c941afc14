import { DataIn, LoginStatus, ReadyToTransfer, ScsiResponse } from '@platter/protocol/iscsi'
import t from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import {
  INITIATOR_NAME,
  type LoginWish,
  makeNode,
  ScriptedInitiator,
  TARGET_NAME,
} from '../support/scripted-initiator.ts'

function start(limits = {}) {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume, {}, limits)
  const login = (wish: LoginWish = {}) => {
    const initiator = new ScriptedInitiator(node)
    initiator.login(wish)
    return initiator
  }
  return { volume, node, executor, login }
}

const write = { opcode: 0x2a, blocks: 1, write: true } as const
const read = { opcode: 0x28, blocks: 1, read: true } as const
const status = (value: number) => ({ message: `login status 0x${value.toString(16)}` })

t.test('sessions have numbers of their own, and are bounded', async (t) => {
  const { login, node } = start({ sessionsMax: 2 })
  const [one, two] = [login(), login({ isid: '400000020000' })]
  t.not(one.tsih, 0)
  t.not(one.tsih, two.tsih)
  t.throws(() => login({ isid: '400000030000' }), status(LoginStatus.OutOfResources))
  login()
  t.equal([...node.sessions()].length, 2, 'who replaces a session of its own is let in')
})

t.test('sessions and connections of one host are bounded', async (t) => {
  const { login } = start({ hostSessionsMax: 2, hostConnectionsMax: 3 })
  const keys = { MaxConnections: '4' }
  const one = login({ keys })
  login({ isid: '400000020000', keys })
  t.throws(() => login({ isid: '400000030000' }), status(LoginStatus.OutOfResources))
  login({ tsih: one.tsih, cid: 1 })
  t.throws(() => login({ tsih: one.tsih, cid: 2 }), status(LoginStatus.TooManyConnections))
  login({ tsih: one.tsih, cid: 1 })
  t.throws(() => login({ isid: '400000030000' }), status(LoginStatus.OutOfResources))
  const { login: logIn } = start({ hostConnectionsMax: 1 })
  logIn()
  t.throws(() => logIn({ isid: '400000020000' }), status(LoginStatus.OutOfResources))
})

t.test('a login of the same initiator port replaces its session', async (t) => {
  const { login, node, executor } = start()
  const before = login()
  login({ discovery: true })
  t.equal(before.sink.closed, null, 'a discovery session is another matter')
  const after = login()
  t.match(before.sink.closed, { reason: 'reinstated' })
  t.equal(before.connection.state, 'FREE')
  t.not(after.tsih, before.tsih)
  t.equal([...node.sessions()].length, 2)
  t.equal(executor.closedNexuses[0], executor.nexuses[0])
  t.equal(executor.nexuses[0]?.initiatorPort, executor.nexuses[2]?.initiatorPort)
  t.throws(() => login({ tsih: before.tsih }), status(LoginStatus.SessionDoesNotExist))
})

t.test(
  'discovery sessions that name no target are told apart by portal (RFC 7143 §7.4.2)',
  async (t) => {
    const { node, login } = start()
    const discover = (localHost: string, keys = {}) => {
      const initiator = new ScriptedInitiator(node, 0, [], 1, localHost)
      initiator.login({ discovery: true, keys })
      return initiator
    }
    const normal = login()
    const here = discover('192.0.2.1')
    const there = discover('192.0.2.2')
    t.same([normal.sink.closed, here.sink.closed], [null, null])
    discover('192.0.2.1')
    t.match(here.sink.closed, { reason: 'reinstated' })
    t.equal(there.sink.closed, null)
    const named = discover('192.0.2.2', { TargetName: TARGET_NAME })
    t.equal(there.sink.closed, null)
    t.match(normal.sink.closed, { reason: 'reinstated' }, 'who names the target is of its sessions')
    login()
    t.match(named.sink.closed, { reason: 'reinstated' })
    t.equal([...node.sessions()].length, 3)
  },
)

t.test(
  'a format error ends every connection of its session, a bad digest one (RFC 7143 §7.7)',
  async (t) => {
    for (const digest of [false, true]) {
      const { node, login } = start()
      const keys = { MaxConnections: '2', HeaderDigest: 'CRC32C' }
      const one = login({ keys })
      const two = login({ tsih: one.tsih, cid: 1, keys: { HeaderDigest: 'CRC32C' } })
      const spoil = (bytes: Buffer) => bytes.fill(0xff, 20, 24)
      if (digest) one.command({ ...read, spoil })
      else one.command({ ...read, write: true })
      t.match(one.sink.closed, { reason: 'protocol-error' })
      if (digest) t.equal(two.sink.closed, null)
      else t.match(two.sink.closed, { reason: 'session-ended' })
      t.equal([...node.sessions()].length, digest ? 1 : 0)
    }
  },
)

t.test('an old write never overtakes one of the session that replaces its own', async (t) => {
  for (const lost of [false, true]) {
    const { login, node, volume, executor } = start()
    const before = login()
    before.command(write, Buffer.alloc(512, 1))
    if (lost) before.connection.transportLost()
    const after = new ScriptedInitiator(node)
    after.sendLogin()
    t.equal(before.connection.state, 'FREE')
    t.same(after.receive(), [], 'the login is not answered yet')
    t.ok(after.connection.paused)
    t.equal(executor.nexuses.length, 1)
    after.command(write, Buffer.alloc(512, 2))
    volume.release()
    after.loggedIn()
    t.equal(executor.closedNexuses.length, 1, 'the old nexus is gone first')
    t.notOk(after.connection.paused)
    t.equal(after.sink.resumed, 1)
    volume.now = () => true
    after.resend()
    t.equal(after.receiveOne(ScsiResponse).status, 0)
    t.ok(volume.bytes.subarray(0, 512).equals(Buffer.alloc(512, 2)))
    t.equal([...node.sessions()].length, 1)
  }
})

t.test('of two logins that wait for the same session the last one stays', async (t) => {
  const { login, node, volume } = start()
  const before = login()
  before.command(write, Buffer.alloc(512, 1))
  const [gone, first, second] = [1, 2, 3].map(() => {
    const initiator = new ScriptedInitiator(node)
    initiator.sendLogin()
    return initiator
  })
  gone!.connection.transportLost()
  volume.release()
  t.same(gone!.receive(), [])
  first!.loggedIn()
  second!.loggedIn()
  t.match(first!.sink.closed, { reason: 'reinstated' })
  t.equal(second!.connection.state, 'LOGGED_IN')
  t.equal([...node.sessions()].length, 1)
})

t.test('a login with the same CID replaces the connection, and the session lives on', async (t) => {
  const { login, node, volume, executor } = start()
  const before = login()
  const tag = before.command(write, Buffer.alloc(512, 1))
  before.command(write)
  const after = new ScriptedInitiator(node)
  after.sendLogin({ tsih: before.tsih, cmdSN: 3 })
  t.match(before.sink.closed, { reason: 'reinstated' })
  t.same(after.receive(), [])
  volume.release()
  after.loggedIn()
  t.equal(after.tsih, before.tsih)
  t.same(executor.closedNexuses, [])
  t.equal(executor.abortedTasks.length, 2)
  volume.now = () => true
  after.command({ ...read, tag })
  t.match(after.receiveOne(DataIn), { initiatorTaskTag: tag, expCmdSN: 4 })
  after.connection.transportLost()
  t.equal([...node.sessions()].length, 0, 'and ends with its last connection')
})

t.test('a session does not outlive a connection whose replacement fails', async (t) => {
  const { login, node, volume, executor } = start()
  const before = login()
  before.command(write, Buffer.alloc(512, 1))
  const after = new ScriptedInitiator(node)
  after.sendLogin({ tsih: before.tsih, cmdSN: 2 })
  after.connection.transportLost()
  volume.release()
  t.same(after.receive(), [])
  t.equal([...node.sessions()].length, 0)
  t.equal(executor.closedNexuses.length, 1)
})

t.test('a connection joins a session of its own initiator port only', async (t) => {
  const { login } = start()
  const one = login({ keys: { MaxConnections: '2' } })
  const join = (wish: LoginWish) => () => login({ tsih: one.tsih, ...wish })
  t.throws(join({ isid: '400000020000', cid: 1 }), status(LoginStatus.CannotIncludeInSession))
  t.throws(join({ tsih: one.tsih + 1 }), status(LoginStatus.SessionDoesNotExist))
  t.throws(join({ discovery: true, cid: 0 }), status(LoginStatus.CannotIncludeInSession))
  join({ cid: 1 })()
  t.throws(join({ cid: 2 }), status(LoginStatus.TooManyConnections))
})

t.test(
  'a lost connection takes its tasks with it, once the medium is done with them',
  async (t) => {
    const { login, node, volume, executor } = start()
    const initiator = login()
    initiator.command(read)
    initiator.command(write, Buffer.alloc(512, 1))
    initiator.command(write)
    initiator.command({ opcode: 0x35 })
    initiator.command({ ...write, cmdSN: 9 }, Buffer.alloc(512))
    initiator.receiveOne(ReadyToTransfer)
    initiator.connection.transportLost()
    t.equal(executor.abortedTasks.length, 4, 'what waited for its turn never was with the executor')
    t.same(executor.closedNexuses, [])
    let closed = false
    const closing = node.close(0).then(() => {
      closed = true
    })
    t.equal(volume.held.length, 3)
    volume.releaseAll()
    await closing
    t.ok(closed)
    t.equal(executor.closedNexuses.length, 1)
    t.equal(initiator.sink.lent.size, 0)
    t.same(initiator.receive(), [])
  },
)

t.test('how many connections a session may have depends on its host', async (t) => {
  const { node } = makeNode(new HeldVolume(4096), { maxConnections: 8 }, {}, (host) =>
    host === INITIATOR_NAME ? 2 : 8,
  )
  const login = (wish: LoginWish) => {
    const initiator = new ScriptedInitiator(node)
    initiator.login(wish)
    return initiator
  }
  const one = login({ keys: { MaxConnections: '4' } })
  t.equal(one.answers.get('MaxConnections'), '2')
  login({ tsih: one.tsih, cid: 1 })
  t.throws(() => login({ tsih: one.tsih, cid: 2 }), status(LoginStatus.TooManyConnections))
  login({ tsih: one.tsih, cid: 1 })
})

t.test('of joins that wait at once only as many are let in as there is room for', async (t) => {
  const { login, node, volume } = start()
  const one = login({ keys: { MaxConnections: '2' } })
  const two = login({ tsih: one.tsih, cid: 1 })
  two.command(write, Buffer.alloc(512))
  // Connection 1 is being replaced, and so waits; meanwhile connection 2 takes its place.
  const again = new ScriptedInitiator(node)
  again.sendLogin({ tsih: one.tsih, cid: 1 })
  login({ tsih: one.tsih, cid: 2 })
  volume.release()
  t.throws(() => again.loggedIn(), status(LoginStatus.TooManyConnections))
  t.match(again.sink.closed, { reason: 'login-failed' })
})

t.test('a nexus is named by both its ports, and claims the level agreed on', async (t) => {
  for (const [level, versionDescriptor] of [
    ['0', 0x0960],
    ['1', 0x0961],
    ['2', 0x0962],
  ] as const) {
    const { node, executor } = makeNode(new HeldVolume(4096), { iSCSIProtocolLevel: 2 })
    new ScriptedInitiator(node).login({ keys: { iSCSIProtocolLevel: level }, isid: '00023d00000f' })
    t.equal(executor.nexuses[0]?.initiatorPort, `${INITIATOR_NAME},i,0x00023d00000f`)
    const targetPort = `${TARGET_NAME},t,0x0001`
    t.match(executor.transports[0], { targetDevice: TARGET_NAME, targetPort, versionDescriptor })
  }
})
