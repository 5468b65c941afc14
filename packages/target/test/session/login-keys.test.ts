import { LoginStatus, type TextPair } from '@platter/protocol/iscsi'
import t from 'tap'
import {
  authNone,
  initiatorName,
  names,
  pairsOf,
  policy,
  refuses,
  send,
  target,
  toFullFeature,
  toOperational,
} from '../support/login-exchange.ts'

/** What the target answers to one key in a leading login, and how the login went on. */
function answerTo(key: string, value: string, pairs: TextPair[] = names) {
  const answer = send(target(), toFullFeature, [...pairs, [key, value]])
  t.equal(answer.outcome, 'full-feature', `${key}=${value}`)
  return pairsOf(answer)[key]
}

const discovery: TextPair[] = [
  ['InitiatorName', initiatorName],
  ['SessionType', 'Discovery'],
]
const further = { ...toFullFeature, tsih: 5, cid: 2 }

t.test('TaskReporting is agreed on as what the policy allows (RFC 7143 §13.23)', async (t) => {
  t.equal(answerTo('TaskReporting', 'RFC3720'), 'RFC3720')
  t.equal(answerTo('TaskReporting', 'FastAbort,ResponseFence,RFC3720'), 'RFC3720')
  t.equal(answerTo('TaskReporting', 'ResponseFence,FastAbort'), 'Reject')
  t.equal(answerTo('TaskReporting', 'FastAbort,RFC3720', discovery), 'Irrelevant')
  const negotiation = {
    ...policy.negotiation,
    taskReporting: ['ResponseFence', 'RFC3720'] as const,
  }
  const fence = send(target({ negotiation }), toFullFeature, [
    ...names,
    ['TaskReporting', 'FastAbort,ResponseFence,RFC3720'],
  ])
  t.equal(pairsOf(fence).TaskReporting, 'ResponseFence')
  t.match(fence, { parameters: { taskReporting: 'ResponseFence' } })
})

t.test('iSCSIProtocolLevel is the lower of both levels (RFC 7143 §13.24)', async (t) => {
  t.equal(answerTo('iSCSIProtocolLevel', '2'), '1')
  t.equal(answerTo('iSCSIProtocolLevel', '1'), '1')
  t.equal(answerTo('iSCSIProtocolLevel', '0'), '0')
  t.equal(answerTo('iSCSIProtocolLevel', '31'), '1')
  t.equal(answerTo('iSCSIProtocolLevel', '32'), 'Reject')
  t.equal(answerTo('iSCSIProtocolLevel', '2', discovery), 'Irrelevant')
  t.match(send(target(), toFullFeature, [...names, ['iSCSIProtocolLevel', '2']]), {
    parameters: { iSCSIProtocolLevel: 1 },
  })
})

t.test('FirstBurstLength is answered under MaxBurstLength in either order (§13.14)', async (t) => {
  const offers: TextPair[] = [
    ['FirstBurstLength', '65536'],
    ['MaxBurstLength', '8192'],
  ]
  for (const pairs of [offers, offers.toReversed()]) {
    const answer = send(target(), toFullFeature, [...names, ...pairs])
    t.match(pairsOf(answer), { FirstBurstLength: '8192', MaxBurstLength: '8192' })
    t.match(answer, { parameters: { firstBurstLength: 8192, maxBurstLength: 8192 } })
  }
})

t.test(
  'TaskReporting and iSCSIProtocolLevel are not for a further connection, nor for the security stage',
  async (t) => {
    for (const pair of [
      ['TaskReporting', 'RFC3720'],
      ['iSCSIProtocolLevel', '1'],
    ] as TextPair[]) {
      const late = send(target(), further, [...names, pair])
      refuses(t, late, LoginStatus.InitiatorError, /leading connection/)
      const early = send(target(), toOperational, [...names, ...authNone, pair])
      refuses(t, early, LoginStatus.InitiatorError, /security stage/)
    }
  },
)

t.test('X#NodeArchitecture is noted, and told to who tells it (RFC 7143 §13.26)', async (t) => {
  const theirs: TextPair = ['X#NodeArchitecture', 'ExampleOS/1.2,Initiator/3']
  const told = target({ nodeArchitecture: 'Platter/1' })
  const answer = send(told, toFullFeature, [...names, theirs])
  t.match(answer, { identity: { nodeArchitecture: 'ExampleOS/1.2,Initiator/3' } })
  t.equal(pairsOf(answer)['X#NodeArchitecture'], 'Platter/1')

  const untold = send(target({ nodeArchitecture: 'Platter/1' }), toFullFeature, names)
  t.match(untold, { outcome: 'full-feature', identity: { nodeArchitecture: undefined } })
  t.equal(pairsOf(untold)['X#NodeArchitecture'], undefined)

  const silent = send(target(), toFullFeature, [...names, theirs])
  t.equal(pairsOf(silent)['X#NodeArchitecture'], undefined, 'which is an answer too')
})

t.test('X#NodeArchitecture is taken in either stage of a login', async (t) => {
  const login = target({ nodeArchitecture: 'Platter/1' })
  const security = send(login, toOperational, [
    ...names,
    ['X#NodeArchitecture', 'Example/1'],
    ...authNone,
  ])
  t.equal(pairsOf(security)['X#NodeArchitecture'], 'Platter/1')
  const operational = send(login, toFullFeature)
  t.match(operational, { identity: { nodeArchitecture: 'Example/1' } })
  t.equal(pairsOf(operational)['X#NodeArchitecture'], undefined, 'told once')
})
