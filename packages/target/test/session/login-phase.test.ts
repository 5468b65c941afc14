import {
  LoginRequest,
  LoginResponse,
  LoginStatus,
  NopOut,
  ScsiCommand,
  TextRequest,
} from '@platter/protocol/iscsi'
import t from 'tap'
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
