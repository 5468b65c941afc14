import {
  chapAlgorithms,
  LoginRequest,
  LoginResponse,
  LoginStatus,
  NopOut,
  ScsiCommand,
  TextRequest,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { defaultLimits, TargetNode } from '../../src/session/target-node.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import {
  INITIATOR_NAME,
  makeNode,
  ScriptedInitiator,
  TARGET_NAME,
} from '../support/scripted-initiator.ts'

const start = () => new ScriptedInitiator(makeNode(new MemoryVolume('m', 65536)).node)

/** A Login Request that stays in the operational stage. */
function beginLogin(initiator: ScriptedInitiator): void {
  const text = `InitiatorName=${INITIATOR_NAME}\0TargetName=${TARGET_NAME}\0`
  const fill = (pdu: LoginRequest) => {
    Buffer.from('400000010000', 'hex').copy(pdu.buffer, pdu.isidPosition)
    pdu.initiatorTaskTag = 0x1091
    pdu.currentStage = 1
    pdu.cmdSN = 1
  }
  initiator.sendPdu(new LoginRequest(), fill, Buffer.from(text))
}

t.test('what is no login gets no answer before one has begun (RFC 7143 §6.3)', async (t) => {
  for (const View of [NopOut, ScsiCommand, TextRequest]) {
    const initiator = start()
    initiator.sendPdu(new View() as NopOut, () => {})
    t.same(initiator.receive(), [])
    t.match(initiator.sink.closed, { reason: 'login-failed' })
  }
})

t.test('what is no login in the midst of one gets status 020B (RFC 7143 §6.3)', async (t) => {
  for (const View of [NopOut, ScsiCommand, TextRequest]) {
    const initiator = start()
    beginLogin(initiator)
    t.equal(initiator.receiveOne(LoginResponse).statusClass, 0)
    initiator.sendPdu(new View() as NopOut, () => {})
    const answer = initiator.receiveOne(LoginResponse)
    t.equal((answer.statusClass << 8) | answer.statusDetail, LoginStatus.InvalidDuringLogin)
    t.match(answer, { transit: false, initiatorTaskTag: 0x1091, tsih: 0, dataSegmentLength: 0 })
    t.match(initiator.sink.closed, { reason: 'login-failed' })
  }
})

t.test(
  'digests begin with the full feature phase, not with the response that ends a login',
  async (t) => {
    const initiator = start()
    // `login` reads the response without digests, and throws if there is more than that.
    initiator.login({ keys: { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' } })
    t.equal(initiator.answers.get('HeaderDigest'), 'CRC32C')
    initiator.ping(7, {}, Buffer.from('echo'))
    const [answer] = initiator.receive()
    t.same(answer?.data, Buffer.from('echo'), 'both ways with digests, from the next PDU on')
  },
)

/** A server on which nobody can authenticate, and its connections as they come from one address. */
function unfriendly() {
  const loginFailures = { ...defaultLimits.loginFailures, freeFailures: 2, waitMaxMs: 1500 }
  const { node: open } = makeNode(new MemoryVolume('m', 65536), {}, { loginFailures })
  const node = new TargetNode({
    ...open.options,
    requirementOf: () => ({ floor: 'chap', chapAlgorithms, credentials: undefined }),
  })
  return { node, connect: (nowMs: number) => new ScriptedInitiator(node, nowMs) }
}

t.test('after a few failures the logins of an address wait for each other', async (t) => {
  const { node, connect } = unfriendly()
  const statusOf = (initiator: ScriptedInitiator) => {
    const answer = initiator.receiveOne(LoginResponse)
    return (answer.statusClass << 8) | answer.statusDetail
  }
  for (let count = 1; count <= 2; count++) {
    const initiator = connect(0)
    beginLogin(initiator)
    t.equal(statusOf(initiator), LoginStatus.AuthenticationFailure)
    t.match(initiator.sink.closed?.detail, new RegExp(`failure ${count} of this address`))
  }
  t.match(node.loginFailures.list(0), [{ address: '192.0.2.9', count: 2, slowedDown: true }])

  const waiting = connect(0)
  beginLogin(waiting)
  t.ok(waiting.connection.paused)
  const refused = connect(0)
  beginLogin(refused)
  t.equal(statusOf(refused), LoginStatus.ServiceUnavailable, 'too many wait')
  t.match(refused.sink.closed, { reason: 'login-failed' })
  waiting.connection.onTimer(999)
  t.same(waiting.receive(), [])
  waiting.connection.onTimer(1000)
  t.equal(statusOf(waiting), LoginStatus.AuthenticationFailure)
  t.match(waiting.sink.closed?.detail, /failure 3 of this address, whose logins are slowed down/)

  const gone = connect(1000)
  beginLogin(gone)
  gone.connection.transportLost()
  gone.connection.onTimer(9000)
  t.same(gone.receive(), [], 'who has left gets no answer')
})
