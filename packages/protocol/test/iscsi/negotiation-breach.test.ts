import t, { type Test } from 'tap'
import { ProtocolError } from '../../src/iscsi/errors.ts'
import type { Negotiation } from '../../src/iscsi/negotiation.ts'
import type { NegotiationPolicy } from '../../src/iscsi/session-parameters.ts'
import { LoginStatus } from '../../src/iscsi/status.ts'
import { answerOf, generous, initiator, target } from '../support/negotiations.ts'

/** Asserts that a key breaks the negotiation with the login status of an initiator error. */
function refuses(t: Test, negotiation: Negotiation, key: string, value: string): void {
  try {
    negotiation.receive(key, value, 'operational')
    t.fail(`${key}=${value} was taken`)
  } catch (error) {
    t.ok(error instanceof ProtocolError, `${error}`)
    t.match(error, { answer: { kind: 'login', status: LoginStatus.InitiatorError } })
  }
}

t.test('declarations out of range break the negotiation', async (t) => {
  for (const value of ['511', '16777216', 'many', '']) {
    refuses(t, target(), 'MaxRecvDataSegmentLength', value)
  }
  refuses(t, target(), 'SessionType', 'Ordinary')
})

t.test(
  'Reject and NotUnderstood are no offers, of whatever key (RFC 7143 section 6.2)',
  async (t) => {
    for (const value of ['Reject', 'NotUnderstood']) {
      for (const key of ['HeaderDigest', 'MaxBurstLength', 'InitialR2T', 'TaskReporting']) {
        refuses(t, target(), key, value)
        refuses(t, target({ sessionType: 'Discovery' }), key, value)
        refuses(t, initiator(), key, value)
      }
    }
  },
)

t.test('a peer that does not understand a key of RFC 3720 breaks the negotiation', async (t) => {
  for (const [key] of initiator().offer()) {
    if (key === 'MaxRecvDataSegmentLength') continue
    const negotiation = initiator()
    negotiation.offer()
    refuses(t, negotiation, key, 'NotUnderstood')
  }
  const later = initiator({ policy: { ...generous, iSCSIProtocolLevel: 2 } })
  later.offer()
  t.equal(answerOf(later, 'iSCSIProtocolLevel', 'NotUnderstood'), undefined)
  t.equal(later.result().iSCSIProtocolLevel, 1)
})

t.test('a key that comes twice breaks the negotiation', async (t) => {
  for (const [key, value] of [
    ['MaxBurstLength', '4096'],
    ['MaxRecvDataSegmentLength', '4096'],
    ['TargetName', 'iqn.2024-01.org.platter:san'],
    ['Unheard', '1'],
  ] as const) {
    const negotiation = target()
    answerOf(negotiation, key, value)
    refuses(t, negotiation, key, value)
  }
})

t.test('an answer that comes twice breaks the negotiation', async (t) => {
  const negotiation = initiator()
  negotiation.offer()
  answerOf(negotiation, 'MaxConnections', '2')
  refuses(t, negotiation, 'MaxConnections', '2')
})

t.test('a key of the other side breaks the negotiation', async (t) => {
  refuses(t, target(), 'TargetPortalGroupTag', '1')
  refuses(t, target(), 'TargetAlias', 'san')
  refuses(t, initiator(), 'InitiatorName', 'iqn.2024-01.org.platter:host')
})

t.test('a key of another stage breaks the negotiation', async (t) => {
  refuses(t, target(), 'AuthMethod', 'None')
  refuses(t, target(), 'CHAP_A', '5')
  refuses(t, target(), 'SendTargets', 'All')
  const throwing = target()
  t.throws(() => throwing.receive('MaxBurstLength', '4096', 'security'), ProtocolError)
})

t.test('keys of the leading connection are refused on another', async (t) => {
  refuses(t, target({ leading: false }), 'MaxConnections', '4')
  refuses(t, target({ leading: false }), 'InitialR2T', 'No')
  const negotiation = target({ leading: false })
  t.equal(answerOf(negotiation, 'HeaderDigest', 'CRC32C'), 'CRC32C')
  t.equal(answerOf(negotiation, 'SessionType', 'Normal'), undefined)
  t.same(
    initiator({ leading: false })
      .offer()
      .map(([key]) => key),
    ['HeaderDigest', 'DataDigest', 'MaxRecvDataSegmentLength'],
  )
})

t.test('an answer outside of what was offered breaks the negotiation', async (t) => {
  const impossible: [key: string, answer: string][] = [
    ['MaxBurstLength', '2097152'],
    ['MaxBurstLength', '511'],
    ['HeaderDigest', 'CRC64'],
    ['HeaderDigest', 'CRC32C,None'],
    ['InitialR2T', 'Maybe'],
  ]
  for (const [key, answer] of impossible) {
    const negotiation = initiator()
    negotiation.offer()
    refuses(t, negotiation, key, answer)
  }
  const lesser = initiator({ policy: { ...generous, defaultTime2Wait: 5, immediateData: false } })
  lesser.offer()
  refuses(t, lesser, 'DefaultTime2Wait', '4')
})

t.test('a policy out of the range of its keys is refused at once', async (t) => {
  const wrong: Partial<NegotiationPolicy>[] = [
    { maxConnections: 0 },
    { maxRecvDataSegmentLength: 511 },
    { maxBurstLength: 1.5 },
    { headerDigest: [] },
    { firstBurstLength: 4096, maxBurstLength: 2048 },
  ]
  for (const part of wrong) t.throws(() => target({ policy: { ...generous, ...part } }), RangeError)
})
