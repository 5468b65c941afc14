import {
  BHS_LENGTH,
  decodeText,
  encodeText,
  LoginRequest,
  LoginStatus,
  Negotiation,
  standardPolicy,
  type TextPair,
} from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  type LoginAnswer,
  type LoginIdentity,
  type LoginPolicy,
  TargetLogin,
} from '../../src/session/login.ts'

const initiatorName = 'iqn.2024-01.org.example:host'
const targetName = 'iqn.2024-01.org.platter:san'

const policy: LoginPolicy = {
  targetName,
  targetPortalGroupTag: 1,
  negotiation: {
    ...standardPolicy,
    maxConnections: 4,
    initialR2T: false,
    headerDigest: ['CRC32C', 'None'],
    maxRecvDataSegmentLength: 262144,
  },
  authMethods: ['None'],
  loginRequestsMax: 16,
  textBytesMax: 65536,
  admit: () => undefined,
}

function target(overrides: Partial<LoginPolicy> = {}): TargetLogin {
  return new TargetLogin({ ...policy, ...overrides })
}

const names: TextPair[] = [
  ['InitiatorName', initiatorName],
  ['TargetName', targetName],
]
const authNone: TextPair[] = [['AuthMethod', 'None']]
const toOperational = { currentStage: 0, transit: true, nextStage: 1 }
const toFullFeature = { currentStage: 1, transit: true, nextStage: 3 }

type RequestFields = Partial<
  Pick<
    LoginRequest,
    | 'versionMin'
    | 'versionMax'
    | 'currentStage'
    | 'nextStage'
    | 'transit'
    | 'continued'
    | 'tsih'
    | 'cid'
    | 'initiatorTaskTag'
  >
> & { isid?: string }

function request({ isid = '00023d000001', ...fields }: RequestFields): LoginRequest {
  const pdu = new LoginRequest().init(Buffer.alloc(BHS_LENGTH), 0)
  pdu.buffer.write(isid, pdu.isidPosition, 'hex')
  return Object.assign(pdu, { cid: 1, initiatorTaskTag: 7, ...fields })
}

function send(login: TargetLogin, fields: RequestFields, pairs: TextPair[] = []): LoginAnswer {
  return login.receive(request(fields), encodeText(pairs))
}

function refuses(t: Test, answer: LoginAnswer, status: LoginStatus, reason?: RegExp): void {
  t.match(answer, { outcome: 'failed', status, transit: false })
  t.equal(answer.text.length, 0)
  if (reason !== undefined) t.match(answer.outcome === 'failed' && answer.detail, reason)
}

function pairsOf(answer: LoginAnswer): Record<string, string> {
  return Object.fromEntries(decodeText(answer.text))
}

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
    send(target({ authMethods: [] }), toFullFeature, names),
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

t.test('names are compared without regard to case', async (t) => {
  const answer = send(target(), toFullFeature, [
    ['InitiatorName', initiatorName.toUpperCase()],
    ['TargetName', targetName.toUpperCase()],
  ])
  t.match(answer, { outcome: 'full-feature', identity: { initiatorName, targetName } })
})

t.test('the first request must name both nodes (RFC 7143 section 6.3)', async (t) => {
  const first = (pairs: TextPair[]) => send(target(), toOperational, [...pairs, ...authNone])
  refuses(t, first([['TargetName', targetName]]), LoginStatus.MissingParameter, /InitiatorName/)
  refuses(t, first([['InitiatorName', initiatorName]]), LoginStatus.MissingParameter, /TargetName/)
  refuses(t, first([]), LoginStatus.MissingParameter)
})

t.test('wrong names and session types are refused, each with its status', async (t) => {
  const first = (pairs: TextPair[]) => send(target(), toFullFeature, pairs)
  const initiator: TextPair = ['InitiatorName', initiatorName]
  refuses(t, first([initiator, ['TargetName', `${targetName}2`]]), LoginStatus.NotFound)
  refuses(t, first([initiator, ['TargetName', 'not a name']]), LoginStatus.NotFound)
  refuses(t, first([['InitiatorName', 'host'], names[1]!]), LoginStatus.InitiatorError)
  refuses(t, first([...names, ['SessionType', 'Other']]), LoginStatus.SessionTypeNotSupported)
})

t.test('the names and the session type come in the first request only', async (t) => {
  for (const pair of [['SessionType', 'Discovery'], ...names] as TextPair[]) {
    const login = target()
    send(login, toOperational, [...names, ...authNone])
    refuses(t, send(login, toFullFeature, [pair]), LoginStatus.InitiatorError, new RegExp(pair[0]))
  }
})

t.test('version 0 is the only one (RFC 7143 section 11.12.4)', async (t) => {
  const other = { ...toFullFeature, versionMin: 1, versionMax: 2 }
  refuses(t, send(target(), other, names), LoginStatus.UnsupportedVersion)
  const range = { ...toFullFeature, versionMin: 0, versionMax: 2 }
  t.match(send(target(), range, names), { outcome: 'full-feature', versionActive: 0 })
})

t.test('a method that we do not allow fails the authentication', async (t) => {
  for (const list of ['CHAP', 'KRB5,CHAP', '']) {
    const answer = send(target(), toOperational, [...names, ['AuthMethod', list]])
    refuses(t, answer, LoginStatus.AuthenticationFailure)
  }
  const none = send(target({ authMethods: [] }), toOperational, [...names, ...authNone])
  refuses(t, none, LoginStatus.AuthenticationFailure)
  const silent = send(target({ authMethods: [] }), toOperational, names)
  refuses(t, silent, LoginStatus.AuthenticationFailure)
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

t.test('stages go from 0 to 1 or 3 and from 1 to 3, and in no other way', async (t) => {
  const first: RequestFields[] = [
    { currentStage: 2 },
    { currentStage: 3 },
    { currentStage: 0, transit: true, nextStage: 0 },
    { currentStage: 0, transit: true, nextStage: 2 },
    { currentStage: 1, transit: true, nextStage: 0 },
    { currentStage: 1, transit: true, nextStage: 1 },
  ]
  for (const fields of first) {
    refuses(t, send(target(), fields, names), LoginStatus.InitiatorError, /[CN]SG/)
  }
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

t.test('text may go on over several requests, cut anywhere', async (t) => {
  const data = encodeText([...names, ['InitialR2T', 'No']])
  for (const cut of [1, 20, data.length - 1]) {
    const login = target()
    const part = login.receive(request({ currentStage: 1, continued: true }), data.subarray(0, cut))
    t.match(part, { outcome: 'continue', transit: false, continued: false, text: Buffer.alloc(0) })
    const whole = login.receive(request(toFullFeature), data.subarray(cut))
    t.match(whole, { outcome: 'full-feature', parameters: { initialR2T: false } })
    t.equal(pairsOf(whole).TargetPortalGroupTag, '1', 'in the first answer that has text')
  }
})

t.test('a first request that goes on stays in its stage', async (t) => {
  for (const currentStage of [1, 2, 3]) {
    const login = target({ authMethods: [] })
    login.receive(request({ currentStage: 0, continued: true }), Buffer.from('Init'))
    const answer = send(login, { currentStage, transit: currentStage === 1, nextStage: 3 })
    refuses(t, answer, LoginStatus.InitiatorError, /CSG/)
  }
})

t.test('a request that goes on cannot end a stage', async (t) => {
  const answer = send(target(), { ...toFullFeature, continued: true }, names)
  refuses(t, answer, LoginStatus.InitiatorError, /T and C/)
})

t.test('a long answer goes in segments that the initiator takes, and is fetched', async (t) => {
  const login = target()
  const unknown = Array.from({ length: 60 }, (_, i): TextPair => [`X-org.example.key${i}`, 'x'])
  const pairs: TextPair[] = [...names, ['MaxRecvDataSegmentLength', '512'], ...unknown]
  let answer = send(login, toFullFeature, pairs)
  const pieces: Buffer[] = []
  while (answer.continued) {
    t.match(answer, { outcome: 'continue', transit: false })
    t.equal(answer.text.length, 512)
    pieces.push(answer.text)
    answer = send(login, toFullFeature)
  }
  t.match(answer, { outcome: 'full-feature', transit: true })
  t.ok(pieces.length > 2)
  const text = Object.fromEntries(decodeText(Buffer.concat([...pieces, answer.text])))
  t.equal(text['X-org.example.key59'], 'NotUnderstood')
  t.equal(text.MaxRecvDataSegmentLength, '262144')
})

t.test('new text before the whole answer was fetched is refused', async (t) => {
  const login = target()
  const unknown = Array.from({ length: 60 }, (_, i): TextPair => [`X-org.example.key${i}`, 'x'])
  send(login, toFullFeature, [...names, ['MaxRecvDataSegmentLength', '512'], ...unknown])
  refuses(t, send(login, toFullFeature, [['InitialR2T', 'No']]), LoginStatus.InitiatorError)
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

t.test('identifiers must stay the same throughout a login', async (t) => {
  const changes: RequestFields[] = [
    { isid: '00023d000002' },
    { cid: 2 },
    { tsih: 9 },
    { initiatorTaskTag: 8 },
  ]
  for (const change of changes) {
    const login = target()
    send(login, toOperational, [...names, ...authNone])
    const answer = send(login, { ...toFullFeature, ...change })
    refuses(t, answer, LoginStatus.InitiatorError, new RegExp(`${Object.keys(change)[0]} changed`))
  }
  const cut = target()
  cut.receive(request({ currentStage: 1, continued: true }), Buffer.from('Init'))
  refuses(t, send(cut, { ...toFullFeature, cid: 2 }), LoginStatus.InitiatorError, /cid changed/)
})

t.test('the policy has the last word on a session', async (t) => {
  const asked: LoginIdentity[] = []
  const admit = (identity: LoginIdentity) => {
    asked.push(identity)
    return identity.tsih === 0 ? undefined : LoginStatus.SessionDoesNotExist
  }
  const refused = send(target({ admit }), { ...toFullFeature, tsih: 3 }, names)
  refuses(t, refused, LoginStatus.SessionDoesNotExist)
  const login = target({ admit })
  send(login, toOperational, [...names, ...authNone])
  t.equal(asked.length, 1, 'not asked before the login is complete')
  t.equal(send(login, toFullFeature).outcome, 'full-feature')
  t.match(asked[1], { initiatorName, isid: '00023d000001', tsih: 0, cid: 1 })
})

t.test('requests and text are bounded', async (t) => {
  const slow = target({ loginRequestsMax: 3 })
  for (let i = 0; i < 3; i++) {
    t.equal(send(slow, { currentStage: 0 }, i === 0 ? names : []).outcome, 'continue')
  }
  refuses(t, send(slow, { currentStage: 0 }), LoginStatus.InitiatorError, /3 requests/)
  const long = target({ textBytesMax: 1000 })
  t.equal(send(long, { currentStage: 1 }, names).outcome, 'continue')
  const answer = send(long, { currentStage: 1, continued: true }, [['A', 'x'.repeat(1000)]])
  refuses(t, answer, LoginStatus.InitiatorError, /1000 bytes/)
})

t.test('malformed text fails the login', async (t) => {
  for (const text of ['InitiatorName', '=\0', 'A B=1\0', 'InitiatorName=x']) {
    const answer = target().receive(request(toFullFeature), Buffer.from(text))
    refuses(t, answer, LoginStatus.InitiatorError)
  }
})

t.test('nothing follows the end of a login', async (t) => {
  const done = target()
  send(done, toFullFeature, names)
  refuses(t, send(done, toFullFeature, names), LoginStatus.InitiatorError, /after the end/)
  const failed = target()
  send(failed, toFullFeature)
  refuses(t, send(failed, toFullFeature, names), LoginStatus.InitiatorError, /after the end/)
})

const anyRequests = fc.array(
  fc.record({
    currentStage: fc.integer({ min: 0, max: 3 }),
    nextStage: fc.integer({ min: 0, max: 3 }),
    transit: fc.boolean(),
    continued: fc.boolean(),
    text: fc.oneof(
      fc.constant(Buffer.alloc(0)),
      fc.constant(encodeText(names)),
      fc
        .array(
          fc.tuple(
            fc.constantFrom('AuthMethod', 'InitialR2T', 'MaxBurstLength', 'TargetAddress', 'X-a.b'),
            fc.constantFrom('None', 'Yes', '4096', 'Irrelevant', ''),
          ),
          { maxLength: 2 },
        )
        .map((pairs) => encodeText(pairs)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    ),
  }),
  { minLength: 1, maxLength: 6 },
)

t.test('whatever a peer sends, a login goes on, succeeds or fails with a status', async (t) => {
  fc.assert(
    fc.property(anyRequests, (requests) => {
      const login = target()
      for (const { text, ...fields } of requests) {
        const answer = login.receive(request(fields), text)
        const failed = answer.outcome === 'failed'
        t.equal(answer.status !== LoginStatus.Success, failed)
        t.notOk(answer.transit && (!fields.transit || answer.continued))
        if (answer.outcome !== 'continue') break
      }
    }),
    { numRuns: 200 },
  )
})

t.test('whatever a peer sends, it gets past no authentication', async (t) => {
  fc.assert(
    fc.property(anyRequests, (requests) => {
      const login = target({ authMethods: [] })
      for (const { text, ...fields } of requests) {
        const answer = login.receive(request(fields), text)
        t.notOk(answer.transit)
        t.not(answer.outcome, 'full-feature')
        if (answer.outcome === 'failed') break
      }
    }),
    { numRuns: 500 },
  )
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
