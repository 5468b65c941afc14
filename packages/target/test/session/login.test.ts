import {
  decodeText,
  LoginStatus,
  Negotiation,
  standardPolicy,
  type TextPair,
} from '@platter/protocol/iscsi'
import t from 'tap'
import type { LoginIdentity } from '../../src/session/login-policy.ts'
import {
  authNone,
  chapOnly,
  initiatorName,
  names,
  pairsOf,
  policy,
  type RequestFields,
  refuses,
  send,
  target,
  targetName,
  toFullFeature,
  toOperational,
} from '../support/login-exchange.ts'

t.test('a login by security and operational stages reaches full feature phase', async (t) => {
  const login = target({ targetAlias: 'SAN' })
  const first = send(login, toOperational, [
    ...names,
    ['InitiatorAlias', 'host 1'],
    ['SessionType', 'Normal'],
    ...authNone,
  ])
  t.match(first, {
    outcome: 'continue',
    status: LoginStatus.Success,
    transit: true,
    currentStage: 0,
    nextStage: 1,
    versionMax: 0,
    versionActive: 0,
  })
  t.same(pairsOf(first), { TargetPortalGroupTag: '1', TargetAlias: 'SAN', AuthMethod: 'None' })
  const second = send(login, toFullFeature, [
    ['HeaderDigest', 'CRC32C,None'],
    ['DataDigest', 'CRC32C,None'],
    ['InitialR2T', 'No'],
    ['MaxConnections', '8'],
    ['MaxRecvDataSegmentLength', '65536'],
  ])
  t.same(pairsOf(second), {
    HeaderDigest: 'CRC32C',
    DataDigest: 'None',
    InitialR2T: 'No',
    MaxConnections: '4',
    MaxRecvDataSegmentLength: '262144',
  })
  t.match(second, {
    outcome: 'full-feature',
    status: LoginStatus.Success,
    transit: true,
    currentStage: 1,
    nextStage: 3,
    identity: {
      sessionType: 'Normal',
      initiatorName,
      initiatorAlias: 'host 1',
      targetName,
      isid: '00023d000001',
      tsih: 0,
      cid: 1,
    },
    parameters: {
      headerDigest: 'CRC32C',
      dataDigest: 'None',
      initialR2T: false,
      maxConnections: 4,
      maxRecvDataSegmentLength: 262144,
      peerMaxRecvDataSegmentLength: 65536,
    },
  })
})

t.test('a login may begin in the operational stage when no authentication is asked', async (t) => {
  const answer = send(target(), toFullFeature, names)
  t.equal(answer.outcome, 'full-feature')
  t.same(pairsOf(answer), { TargetPortalGroupTag: '1', MaxRecvDataSegmentLength: '262144' })
  refuses(
    t,
    send(target({ requirementOf: chapOnly }), toFullFeature, names),
    LoginStatus.AuthenticationFailure,
  )
})

t.test('a login may go from security to full feature phase at once', async (t) => {
  const answer = send(target(), { currentStage: 0, transit: true, nextStage: 3 }, names)
  t.match(answer, {
    outcome: 'full-feature',
    // Nothing could be declared: that belongs in the operational stage.
    parameters: { maxRecvDataSegmentLength: 8192 },
  })
})

t.test('a discovery session needs no target name, and is told no portal group', async (t) => {
  const pairs: TextPair[] = [
    ['InitiatorName', initiatorName],
    ['SessionType', 'Discovery'],
  ]
  const answer = send(target(), toFullFeature, [...pairs, ['MaxConnections', '2']])
  t.match(answer, {
    outcome: 'full-feature',
    identity: { sessionType: 'Discovery', initiatorName, targetName: undefined },
  })
  t.same(pairsOf(answer), { MaxConnections: 'Irrelevant', MaxRecvDataSegmentLength: '262144' })
})

t.test('a discovery session that names the target is told its portal group', async (t) => {
  const pairs: TextPair[] = [...names, ['SessionType', 'Discovery']]
  const answer = send(target(), toFullFeature, pairs)
  t.match(answer, { outcome: 'full-feature', identity: { targetPort: targetName } })
  t.match(pairsOf(answer), { TargetPortalGroupTag: '1' })
  const other = send(target({ targetName: `${targetName}2` }), toFullFeature, pairs)
  refuses(t, other, LoginStatus.NotFound)
})

t.test('a method that we do not allow fails the authentication', async (t) => {
  for (const list of ['KRB5', 'SRP,KRB5', '']) {
    const answer = send(target(), toOperational, [...names, ['AuthMethod', list]])
    refuses(t, answer, LoginStatus.AuthenticationFailure)
    t.same(pairsOf(answer), { AuthMethod: 'Reject' })
  }
  const none = send(target({ requirementOf: chapOnly }), toOperational, [...names, ...authNone])
  refuses(t, none, LoginStatus.AuthenticationFailure)
  const silent = send(target({ requirementOf: chapOnly }), toOperational, names)
  refuses(t, silent, LoginStatus.AuthenticationFailure)
  t.same(pairsOf(silent), {}, 'nothing was offered')
})

t.test('of a list of methods the first that is allowed is taken', async (t) => {
  const answer = send(target(), toOperational, [...names, ['AuthMethod', 'CHAP,None']])
  t.match(answer, { outcome: 'continue', transit: true })
  t.equal(pairsOf(answer).AuthMethod, 'None')
})

t.test('a stage ends only when the initiator wants it too', async (t) => {
  const login = target()
  t.match(send(login, { currentStage: 0 }, [...names, ...authNone]), {
    outcome: 'continue',
    transit: false,
    currentStage: 0,
  })
  t.match(send(login, toOperational), { transit: true, nextStage: 1 })
  t.match(send(login, { currentStage: 1 }, [['InitialR2T', 'No']]), { transit: false })
  t.match(send(login, toFullFeature), {
    outcome: 'full-feature',
    parameters: { initialR2T: false },
  })
})

t.test('a stage does not end while our own question is open', async (t) => {
  const negotiation = { ...policy.negotiation, maxBurstLength: 65536, firstBurstLength: 65536 }
  const login = target({ negotiation })
  const asked = send(login, toFullFeature, names)
  t.match(asked, { outcome: 'continue', transit: false })
  t.equal(pairsOf(asked).MaxBurstLength, '65536')
  t.match(send(login, toFullFeature, [['MaxBurstLength', '16384']]), {
    outcome: 'full-feature',
    parameters: { maxBurstLength: 16384, firstBurstLength: 16384 },
  })
})

t.test('a stage that does not follow from the one before is refused', async (t) => {
  const later: RequestFields[] = [
    { currentStage: 0 },
    { currentStage: 2 },
    { currentStage: 3 },
    toOperational,
  ]
  for (const fields of later) {
    const login = target()
    send(login, toOperational, [...names, ...authNone])
    refuses(t, send(login, fields), LoginStatus.InitiatorError, /CSG/)
  }
  const early = target()
  send(early, { currentStage: 0 }, names)
  refuses(t, send(early, toFullFeature), LoginStatus.InitiatorError, /CSG/)
})

t.test('a key in the wrong stage, of the wrong side, or sent twice fails the login', async (t) => {
  const wrong: [pairs: TextPair[], fields: RequestFields][] = [
    [[['InitialR2T', 'No']], toOperational],
    [[['AuthMethod', 'None']], toFullFeature],
    [[['SendTargets', 'All']], toFullFeature],
    [[['TargetPortalGroupTag', '1']], toFullFeature],
    [[['TargetAddress', '10.0.0.1']], toFullFeature],
    [
      [
        ['MaxBurstLength', '4096'],
        ['MaxBurstLength', '4096'],
      ],
      toFullFeature,
    ],
  ]
  for (const [pairs, fields] of wrong) {
    refuses(t, send(target(), fields, [...names, ...pairs]), LoginStatus.InitiatorError)
  }
})

t.test('a key sent twice in two requests fails the login', async (t) => {
  const login = target()
  send(login, { currentStage: 1 }, [...names, ['InitialR2T', 'No']])
  const answer = send(login, toFullFeature, [['InitialR2T', 'No']])
  refuses(t, answer, LoginStatus.InitiatorError, /InitialR2T came a second time/)
})

t.test('keys that we do not know, or no longer, do not hinder a login', async (t) => {
  const answer = send(target(), toFullFeature, [
    ...names,
    ['X-org.example.Speed', 'high'],
    ['OFMarker', 'No'],
    ['IFMarkInt', '2048'],
  ])
  t.equal(answer.outcome, 'full-feature')
  t.match(pairsOf(answer), {
    'X-org.example.Speed': 'NotUnderstood',
    OFMarker: 'No',
    IFMarkInt: 'Reject',
  })
})

t.test('a further connection agrees on what belongs to it alone', async (t) => {
  const further = { ...toFullFeature, tsih: 5, cid: 2 }
  const answer = send(target(), further, [
    ...names,
    ['SessionType', 'Normal'],
    ['HeaderDigest', 'CRC32C'],
  ])
  t.match(answer, {
    outcome: 'full-feature',
    identity: { tsih: 5, cid: 2 },
    parameters: { headerDigest: 'CRC32C' },
  })
  for (const key of ['MaxConnections', 'ErrorRecoveryLevel', 'MaxBurstLength']) {
    const refused = send(target(), further, [...names, [key, '1024']])
    refuses(t, refused, LoginStatus.InitiatorError, /leading connection/)
  }
})

t.test('the policy has the last word on a session', async (t) => {
  const asked: LoginIdentity[] = []
  const admit = (identity: LoginIdentity) => {
    asked.push(identity)
    if (identity.tsih === 0) return undefined
    return { status: LoginStatus.SessionDoesNotExist, detail: 'no such session' }
  }
  const refused = send(target({ admit }), { ...toFullFeature, tsih: 3 }, names)
  refuses(t, refused, LoginStatus.SessionDoesNotExist, /no such session/)
  const login = target({ admit })
  send(login, toOperational, [...names, ...authNone])
  t.equal(asked.length, 1, 'not asked before the login is complete')
  t.equal(send(login, toFullFeature).outcome, 'full-feature')
  t.match(asked[1], { initiatorName, isid: '00023d000001', tsih: 0, cid: 1 })
})

t.test('nothing follows the end of a login', async (t) => {
  const done = target()
  send(done, toFullFeature, names)
  refuses(t, send(done, toFullFeature, names), LoginStatus.InitiatorError, /after the end/)
  const failed = target()
  send(failed, toFullFeature)
  refuses(t, send(failed, toFullFeature, names), LoginStatus.InitiatorError, /after the end/)
})

t.test('an initiator of our own negotiation logs in, and both know the same', async (t) => {
  const negotiation = new Negotiation({
    role: 'initiator',
    policy: { ...standardPolicy, initialR2T: false, maxRecvDataSegmentLength: 131072 },
    sessionType: 'Normal',
    leading: true,
  })
  const login = target({ negotiation: { ...policy.negotiation, defaultTime2Wait: 5 } })
  const first = send(login, toOperational, [...names, ...authNone])
  for (const [key, value] of decodeText(first.text)) negotiation.receive(key, value, 'security')
  const second = send(login, toFullFeature, negotiation.offer())
  for (const [key, value] of decodeText(second.text)) negotiation.receive(key, value, 'operational')
  t.notOk(negotiation.outstanding)
  const { maxRecvDataSegmentLength, peerMaxRecvDataSegmentLength, ...shared } = negotiation.result()
  t.match(second, {
    outcome: 'full-feature',
    parameters: {
      ...shared,
      maxRecvDataSegmentLength: peerMaxRecvDataSegmentLength,
      peerMaxRecvDataSegmentLength: maxRecvDataSegmentLength,
    },
  })
  t.match(shared, { initialR2T: false, defaultTime2Wait: 5 })
})
