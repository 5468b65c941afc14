import fc from 'fast-check'
import t from 'tap'
import { NODE_ARCHITECTURE } from '../../src/iscsi/keys.ts'
import type { Negotiation, NegotiationOptions } from '../../src/iscsi/negotiation.ts'
import { type NegotiationPolicy, standardPolicy } from '../../src/iscsi/session-parameters.ts'
import { answerOf, generous, initiator, target } from '../support/negotiations.ts'

/** Lets both sides say all that they have to say, the initiator first. */
function agree(one: Negotiation, other: Negotiation): number {
  let exchanges = 0
  let pending = one.offer()
  let [speaker, listener] = [one, other]
  while (pending.length > 0 || exchanges < 2) {
    const answers = pending.flatMap(([key, value]) => {
      const answer = listener.receive(key, value, 'operational')
      return answer === undefined ? [] : [answer]
    })
    pending = [...answers, ...listener.offer()]
    ;[speaker, listener] = [listener, speaker]
    exchanges++
  }
  return exchanges
}

const segment = fc.integer({ min: 512, max: 0xffffff })
const seconds = fc.integer({ min: 0, max: 3600 })
const count = fc.integer({ min: 1, max: 65535 })
const digests = fc.constantFrom<NegotiationPolicy['headerDigest'][]>(
  ['None'],
  ['CRC32C', 'None'],
  ['None', 'CRC32C'],
)
const policies: fc.Arbitrary<NegotiationPolicy> = fc
  .record({
    maxConnections: count,
    initialR2T: fc.boolean(),
    immediateData: fc.boolean(),
    bursts: fc.tuple(segment, segment),
    maxOutstandingR2T: count,
    defaultTime2Wait: seconds,
    defaultTime2Retain: seconds,
    dataPDUInOrder: fc.boolean(),
    dataSequenceInOrder: fc.boolean(),
    errorRecoveryLevel: fc.integer({ min: 0, max: 2 }),
    taskReporting: fc.constantFrom<NegotiationPolicy['taskReporting'][]>(
      ['RFC3720'],
      ['FastAbort', 'RFC3720'],
    ),
    iSCSIProtocolLevel: fc.integer({ min: 0, max: 31 }),
    headerDigest: digests,
    dataDigest: digests,
    maxRecvDataSegmentLength: segment,
  })
  .map(({ bursts, ...rest }) => ({
    ...rest,
    maxBurstLength: Math.max(...bursts),
    firstBurstLength: Math.min(...bursts),
  }))

t.test('two sides of any policies agree, in few exchanges', async (t) => {
  const sessionType = fc.constantFrom<NegotiationOptions['sessionType'][]>('Normal', 'Discovery')
  fc.assert(
    fc.property(
      policies,
      policies,
      sessionType,
      fc.boolean(),
      (ours, theirs, sessionType, leading) => {
        const a = initiator({ policy: ours, sessionType, leading })
        const b = target({ policy: theirs, sessionType, leading })
        t.ok(agree(a, b) <= 4)
        t.notOk(a.outstanding || b.outstanding)
        const { maxRecvDataSegmentLength, peerMaxRecvDataSegmentLength, ...shared } = a.result()
        t.match(b.result(), {
          ...shared,
          maxRecvDataSegmentLength: peerMaxRecvDataSegmentLength,
          peerMaxRecvDataSegmentLength: maxRecvDataSegmentLength,
        })
        t.equal(maxRecvDataSegmentLength, ours.maxRecvDataSegmentLength)
        t.equal(peerMaxRecvDataSegmentLength, theirs.maxRecvDataSegmentLength)
        t.ok(shared.firstBurstLength <= shared.maxBurstLength)
      },
    ),
    { numRuns: 60 },
  )
})

t.test('a target with its own view agrees with an initiator that offers nothing', async (t) => {
  const policy = { ...generous, maxBurstLength: 65536, firstBurstLength: 8192, defaultTime2Wait: 7 }
  const negotiation = target({ policy })
  t.same(negotiation.offer(), [
    ['MaxRecvDataSegmentLength', '262144'],
    ['MaxBurstLength', '65536'],
    ['FirstBurstLength', '8192'],
    ['DefaultTime2Wait', '7'],
  ])
  t.ok(negotiation.outstanding)
  t.equal(answerOf(negotiation, 'MaxBurstLength', '32768'), undefined)
  t.equal(answerOf(negotiation, 'FirstBurstLength', 'Irrelevant'), undefined)
  t.equal(answerOf(negotiation, 'DefaultTime2Wait', '9'), undefined)
  t.notOk(negotiation.outstanding)
  t.match(negotiation.result(), {
    maxBurstLength: 32768,
    firstBurstLength: 32768,
    defaultTime2Wait: 9,
    initialR2T: true,
  })
})

t.test('an offer is given out once', async (t) => {
  const negotiation = initiator()
  t.ok(negotiation.offer().length > 10)
  t.same(negotiation.offer(), [])
})

t.test(
  'an initiator offers keys younger than RFC 3720 only when it wants what they bring',
  async (t) => {
    const young = ['TaskReporting', 'iSCSIProtocolLevel']
    const offered = (policy: NegotiationPolicy) =>
      initiator({ policy })
        .offer()
        .filter(([key]) => young.includes(key))
    t.same(offered(generous), [])
    t.same(
      offered({ ...generous, taskReporting: ['FastAbort', 'RFC3720'], iSCSIProtocolLevel: 2 }),
      [
        ['TaskReporting', 'FastAbort,RFC3720'],
        ['iSCSIProtocolLevel', '2'],
      ],
    )
  },
)

t.test('each key is agreed on by its result function', async (t) => {
  const cases: [key: string, offered: string, answer: string][] = [
    ['InitialR2T', 'No', 'No'],
    ['ImmediateData', 'Yes', 'Yes'],
    ['DataPDUInOrder', 'No', 'Yes'],
    ['MaxBurstLength', '0x40000', '262144'],
    ['MaxOutstandingR2T', '65535', '16'],
    ['DefaultTime2Wait', '5', '5'],
    ['DefaultTime2Retain', '3600', '60'],
    ['HeaderDigest', 'None,CRC32C', 'None'],
    ['DataDigest', 'CRC64,CRC32C,None', 'CRC32C'],
    ['TaskReporting', 'FastAbort,RFC3720', 'RFC3720'],
    ['iSCSIProtocolLevel', '2', '1'],
  ]
  const negotiation = target()
  for (const [key, offered, answer] of cases)
    t.equal(answerOf(negotiation, key, offered), answer, key)
  t.match(negotiation.result(), {
    initialR2T: false,
    dataPDUInOrder: true,
    maxBurstLength: 262144,
    maxOutstandingR2T: 16,
    defaultTime2Wait: 5,
    headerDigest: 'None',
    dataDigest: 'CRC32C',
  })
})

t.test('an inadmissible offer is answered Reject, and the default stays', async (t) => {
  const cases: [key: string, offered: string][] = [
    ['InitialR2T', 'no'],
    ['MaxBurstLength', '511'],
    ['FirstBurstLength', '16777216'],
    ['MaxConnections', '0'],
    ['ErrorRecoveryLevel', '3'],
    ['DefaultTime2Wait', '-1'],
    ['HeaderDigest', 'CRC64'],
    ['DataDigest', ''],
    ['MaxOutstandingR2T', 'many'],
  ]
  const negotiation = target()
  for (const [key, offered] of cases) t.equal(answerOf(negotiation, key, offered), 'Reject', key)
  t.match(negotiation.result(), {
    initialR2T: true,
    maxBurstLength: 262144,
    firstBurstLength: 65536,
    maxConnections: 1,
    headerDigest: 'None',
  })
})

t.test('FirstBurstLength never exceeds MaxBurstLength', async (t) => {
  const negotiation = target()
  answerOf(negotiation, 'FirstBurstLength', '262144')
  answerOf(negotiation, 'MaxBurstLength', '4096')
  t.match(negotiation.result(), { firstBurstLength: 4096, maxBurstLength: 4096 })
  const bounded = target()
  t.equal(answerOf(bounded, 'MaxBurstLength', '4096'), '4096')
  t.equal(answerOf(bounded, 'FirstBurstLength', '262144'), '4096', 'nor is it answered so')
})

t.test('unknown keys are answered NotUnderstood, obsolete ones No or Reject', async (t) => {
  const negotiation = target()
  t.equal(answerOf(negotiation, 'X-com.example.Speed', 'high'), 'NotUnderstood')
  t.equal(answerOf(negotiation, 'Unheard', ''), 'NotUnderstood')
  t.equal(answerOf(negotiation, 'IFMarker', 'Yes'), 'No')
  t.equal(answerOf(negotiation, 'OFMarker', 'No'), 'No')
  t.equal(answerOf(negotiation, 'IFMarkInt', '2048~8192'), 'Reject')
  t.equal(answerOf(negotiation, 'OFMarkInt', '2048'), 'Reject')
})

t.test('in a discovery session keys of data transfer are Irrelevant', async (t) => {
  const negotiation = target({ sessionType: 'Discovery' })
  t.equal(answerOf(negotiation, 'MaxConnections', '4'), 'Irrelevant')
  t.equal(answerOf(negotiation, 'InitialR2T', 'No'), 'Irrelevant')
  t.equal(answerOf(negotiation, 'HeaderDigest', 'CRC32C'), 'CRC32C')
  t.equal(answerOf(negotiation, 'DefaultTime2Wait', '3'), '3')
  t.match(negotiation.result(), { maxConnections: 1, initialR2T: true, headerDigest: 'CRC32C' })
})

t.test('ErrorRecoveryLevel of a discovery session is 0 (RFC 7143 section 7.4.1)', async (t) => {
  for (const offered of ['0', '1', '2']) {
    const policy = { ...standardPolicy, errorRecoveryLevel: 2 }
    const negotiation = target({ sessionType: 'Discovery', policy })
    t.equal(answerOf(negotiation, 'ErrorRecoveryLevel', offered), '0')
    t.equal(negotiation.result().errorRecoveryLevel, 0)
  }
})

t.test('an offer of Irrelevant is answered alike', async (t) => {
  const negotiation = target()
  t.equal(answerOf(negotiation, 'MaxConnections', 'Irrelevant'), 'Irrelevant')
  t.equal(negotiation.result().maxConnections, 1)
})

t.test('MaxRecvDataSegmentLength is declared each way, and 8192 until then', async (t) => {
  const negotiation = target()
  t.match(negotiation.result(), {
    maxRecvDataSegmentLength: 8192,
    peerMaxRecvDataSegmentLength: 8192,
  })
  t.equal(answerOf(negotiation, 'MaxRecvDataSegmentLength', '65536'), undefined)
  t.same(negotiation.offer(), [['MaxRecvDataSegmentLength', '262144']])
  t.notOk(negotiation.outstanding)
  t.match(negotiation.result(), {
    maxRecvDataSegmentLength: 262144,
    peerMaxRecvDataSegmentLength: 65536,
  })
})

t.test('a target may give several addresses', async (t) => {
  const negotiation = initiator()
  answerOf(negotiation, 'TargetAddress', '10.0.0.1:3260,1')
  answerOf(negotiation, 'TargetAddress', '10.0.0.2:3260,1')
  t.equal(negotiation.received('TargetAddress'), '10.0.0.2:3260,1')
})

t.test('authentication keys are noted, for the authentication to act on', async (t) => {
  const negotiation = target()
  t.equal(negotiation.receive('AuthMethod', 'CHAP,None', 'security'), undefined)
  t.equal(negotiation.received('AuthMethod'), 'CHAP,None')
})

t.test('an offer that is refused leaves the default', async (t) => {
  const negotiation = initiator()
  negotiation.offer()
  t.equal(answerOf(negotiation, 'MaxBurstLength', 'Reject'), undefined)
  t.equal(answerOf(negotiation, 'InitialR2T', 'Reject'), undefined)
  t.equal(answerOf(negotiation, 'HeaderDigest', 'Reject'), undefined)
  t.match(negotiation.result(), { maxBurstLength: 262144, initialR2T: true, headerDigest: 'None' })
})

t.test('an answer that can only be one may be left out (RFC 7143 section 6.2.2)', async (t) => {
  const negotiation = initiator({ policy: { ...standardPolicy, immediateData: false } })
  for (const [key, value] of negotiation.offer()) {
    if (key !== 'ImmediateData' && key !== 'MaxRecvDataSegmentLength') {
      answerOf(negotiation, key, value)
    }
  }
  t.notOk(negotiation.outstanding)
  t.equal(negotiation.result().immediateData, false)
})

t.test('a peer may not know a declaration', async (t) => {
  const negotiation = target()
  for (const key of ['TargetAlias', NODE_ARCHITECTURE]) {
    t.same(negotiation.declare(key, 'san'), [key, 'san'])
    t.equal(answerOf(negotiation, key, 'NotUnderstood'), undefined)
  }
})
