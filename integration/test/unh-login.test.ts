/**
 * The login itself: groups 1 to 8, 11 and 21 to 23 of the UNH plan. Its tests are for initiators; these ask of
 * the target what RFC 7143 has for the same title (docs/rfc7143.md).
 */
import t, { type Test } from 'tap'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp } from '../lib/cleanup.ts'
import {
  initiatorName,
  LoginWire,
  type Pairs,
  toFullFeature,
  toOperational,
} from '../lib/login-wire.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
sendsMalformedRequests('login stages that there are not')
t.setTimeout(120_000)
const target = await TargetProcess.start()
await target.admitEveryone()
const targetName = await target.targetName()
const names: Pairs = [
  ['InitiatorName', initiatorName],
  ['TargetName', targetName],
]
const discovery: Pairs = [
  ['InitiatorName', initiatorName],
  ['SessionType', 'Discovery'],
]
const none: Pairs = [['AuthMethod', 'None']]
const nop = { opcode: 0x00, immediate: true, flags: 0x80, initiatorTaskTag: 5, words: [0xffffffff] }
const patienceMs = 10_000

/** The answer to a whole login in one request. */
async function logIn(pairs: Pairs, fields: object = {}, isid = 1) {
  const login = await LoginWire.open(target.port, isid)
  const answer = await login.ask({ ...toFullFeature, ...fields }, pairs)
  return { login, answer }
}

/** A login in one request is refused, with this status, and the connection closed. */
async function isRefused(t: Test, status: number, pairs: Pairs, fields: object = {}) {
  const { login, answer } = await logIn(pairs, fields)
  t.equal(answer.status, status, JSON.stringify(pairs))
  t.equal(answer.transit, false)
  t.ok(await login.connection.isClosedWithin(patienceMs))
}

t.test('UNH login 1.1: a standard login goes through both stages', async (t) => {
  const login = await LoginWire.open(target.port)
  const security = await login.ask(toOperational, [...names, ['SessionType', 'Normal'], ...none])
  t.match(security, {
    opcode: 0x23,
    status: 0,
    transit: true,
    currentStage: 0,
    nextStage: 1,
    initiatorTaskTag: 0x10,
    expCmdSN: 1,
    keys: { AuthMethod: 'None', TargetPortalGroupTag: '1' },
  })
  const operational = await login.ask(toFullFeature, [['MaxBurstLength', '65536']])
  t.match(operational, { status: 0, transit: true, currentStage: 1, nextStage: 3 })
  t.match(operational, { initiatorTaskTag: 0x10, expCmdSN: 1, keys: { MaxBurstLength: '65536' } })
  t.ok(operational.maxCmdSN >= 1, 'commands may come')
  login.close()
})

t.test('UNH login 2.1: a new session gets a TSIH that is not 0', async (t) => {
  const login = await LoginWire.open(target.port)
  const first = await login.ask({ currentStage: 1 }, names)
  t.equal(first.tsih, 0, 'not before its end')
  t.not((await login.ask(toFullFeature)).tsih, 0)
  login.close()
})

t.test('UNH login 2.2: a TSIH that there is not is refused', (t) =>
  isRefused(t, 0x020a, names, { tsih: 0x7777 }),
)

t.test('UNH login 2.3: the TSIH of a session says where a connection belongs', async (t) => {
  const { login, answer } = await logIn([...names, ['MaxConnections', '1']], {}, 7)
  const { tsih } = answer
  await isRefused(t, 0x0208, names, { tsih, cid: 1, isid: 8 })
  await isRefused(t, 0x0206, names, { tsih, cid: 1, isid: 7 })
  const again = await logIn(names, { tsih, cid: 0 }, 7)
  t.match(again.answer, { status: 0, tsih }, 'the same CID takes the place of the connection')
  t.ok(await login.connection.isClosedWithin(patienceMs))
  again.login.close()
})

t.test(
  'UNH login 3.1: T is set when the initiator has set it, to the stage it asked for',
  async (t) => {
    const login = await LoginWire.open(target.port)
    t.match(await login.ask({ currentStage: 0 }, [...names, ...none]), { transit: false })
    const straight = { currentStage: 0, transit: true, nextStage: 3 }
    t.match(await login.ask(straight), { status: 0, transit: true, nextStage: 3 })
    login.close()
    for (const fields of [
      { currentStage: 1, nextStage: 1 },
      { currentStage: 1, nextStage: 0 },
      { currentStage: 0, nextStage: 2 },
    ]) {
      await isRefused(t, 0x0200, names, fields)
    }
  },
)

t.test('UNH login 3.2: an initiator may take its time with T', async (t) => {
  const login = await LoginWire.open(target.port)
  await login.ask({ currentStage: 1 }, names)
  for (let i = 0; i < 5; i++) {
    t.match(await login.ask({ currentStage: 1 }), { status: 0, transit: false, currentStage: 1 })
  }
  t.match(await login.ask(toFullFeature), { status: 0, transit: true })
  login.close()
})

t.test('UNH login 4.1: ExpStatSN of a first request may be 0', async (t) => {
  const { login, answer } = await logIn(names, { expStatSN: 0 })
  t.equal(answer.status, 0)
  login.close()
})

t.test('UNH login 4.2: ExpStatSN of a first request may be anything', async (t) => {
  const { login, answer } = await logIn(names, { expStatSN: 0xfffffffe })
  t.equal(answer.status, 0)
  login.close()
})

t.test(
  'UNH login 5.1: StatSN goes up by one with each response, also past the login',
  async (t) => {
    const login = await LoginWire.open(target.port)
    const { statSN } = await login.ask({ currentStage: 1 }, names)
    const second = await login.ask({ currentStage: 1, expStatSN: statSN + 1 })
    t.equal(second.statSN, statSN + 1)
    const third = await login.ask({ ...toFullFeature, expStatSN: statSN + 2 })
    t.equal(third.statSN, statSN + 2)
    login.connection.sendPdu(nop)
    const pong = await login.connection.receive()
    t.strictSame([pong?.opcode, pong?.bhs.readUInt32BE(24)], [0x20, statSN + 3])
    login.close()
  },
)

t.test('UNH login 6.1: a key that comes twice ends the login', (t) =>
  isRefused(t, 0x0200, [...names, ['MaxBurstLength', '65536'], ['MaxBurstLength', '65536']]),
)

t.test('UNH login 6.2: ImmediateData in two requests ends the login', async (t) => {
  const login = await LoginWire.open(target.port)
  const first = await login.ask({ currentStage: 1 }, [...names, ['ImmediateData', 'Yes']])
  t.match(first, { status: 0, keys: { ImmediateData: 'Yes' } })
  t.equal((await login.ask(toFullFeature, [['ImmediateData', 'No']])).status, 0x0200)
  t.ok(await login.connection.isClosedWithin(patienceMs))
})

t.test('UNH login 6.3: ImmediateData twice in one request ends the login', (t) =>
  isRefused(t, 0x0200, [...names, ['ImmediateData', 'Yes'], ['ImmediateData', 'No']]),
)

t.test('UNH login 7.1: every key that is offered is answered', async (t) => {
  const offers: Pairs = [
    ['HeaderDigest', 'None'],
    ['DataDigest', 'None'],
    ['MaxConnections', '1'],
    ['InitialR2T', 'Yes'],
    ['ImmediateData', 'Yes'],
    ['MaxBurstLength', '65536'],
    ['FirstBurstLength', '8192'],
    ['DefaultTime2Wait', '2'],
    ['DefaultTime2Retain', '0'],
    ['MaxOutstandingR2T', '1'],
    ['DataPDUInOrder', 'Yes'],
    ['DataSequenceInOrder', 'Yes'],
    ['ErrorRecoveryLevel', '0'],
  ]
  const { login, answer } = await logIn([...names, ...offers])
  t.match(answer.keys, Object.fromEntries(offers))
  login.close()
})

t.test('UNH login 7.2: of a list the first value is taken that the target has', async (t) => {
  const lists: Pairs = [
    ['HeaderDigest', 'X-org.example.digest,CRC32C,None'],
    ['DataDigest', 'None,CRC32C'],
  ]
  const { login, answer } = await logIn([...names, ...lists])
  t.match(answer, { status: 0, keys: { HeaderDigest: 'CRC32C', DataDigest: 'None' } })
  login.close()
})

t.test('UNH login 7.3: an AuthMethod that there is not ends the login', (t) =>
  isRefused(t, 0x0201, [...names, ['AuthMethod', 'X-org.example.auth']], toOperational),
)

t.test('UNH login 7.4: a FirstBurstLength beyond its range is answered Reject', async (t) => {
  const { login, answer } = await logIn([...names, ['FirstBurstLength', '16777216']])
  t.match(answer, { status: 0, keys: { FirstBurstLength: 'Reject' } })
  login.close()
})

t.test('UNH login 7.5: ImmediateData with another value is answered Reject', async (t) => {
  const { login, answer } = await logIn([...names, ['ImmediateData', 'Maybe']])
  t.match(answer, { status: 0, keys: { ImmediateData: 'Reject' } })
  login.close()
})

t.test('UNH login 7.6: a key that nobody knows is answered NotUnderstood', async (t) => {
  const { login, answer } = await logIn([...names, ['X-org.example.Key', '1'], ['Unheard', '2']])
  t.match(answer.keys, { 'X-org.example.Key': 'NotUnderstood', Unheard: 'NotUnderstood' })
  t.equal(answer.status, 0)
  login.close()
})

t.test(
  'UNH login 8.1: what is no login ends the connection, in the midst of one with 020B',
  async (t) => {
    const before = await LoginWire.open(target.port)
    before.connection.sendPdu(nop)
    t.equal(await before.connection.receive(), null, 'no answer')
    const midst = await LoginWire.open(target.port)
    await midst.ask({ currentStage: 1 }, names)
    midst.connection.sendPdu(nop)
    t.match(await midst.receive(), { opcode: 0x23, status: 0x020b, transit: false })
    t.ok(await midst.connection.isClosedWithin(patienceMs))
  },
)

t.test('UNH login 11.1: the first request names the initiator and the target', async (t) => {
  await isRefused(t, 0x0207, [['TargetName', targetName]])
  await isRefused(t, 0x0207, [['InitiatorName', initiatorName]])
  await isRefused(t, 0x0203, [...names.slice(0, 1), ['TargetName', `${targetName}x`]])
  const login = await LoginWire.open(target.port)
  t.equal(
    (await login.ask({ currentStage: 1 }, names.slice(0, 1))).status,
    0x0207,
    'not a later one',
  )
  login.close()
})

t.test('UNH login 21.1: a session is Normal, or for discovery if it says so', async (t) => {
  const plain = await logIn([...names, ['MaxConnections', '1']])
  t.match(plain.answer, { status: 0, keys: { MaxConnections: '1' } })
  plain.login.close()
  const found = await logIn([...discovery, ['MaxConnections', '1']])
  t.match(found.answer, { status: 0, keys: { MaxConnections: 'Irrelevant' } })
  found.login.close()
  await isRefused(t, 0x0209, [...names, ['SessionType', 'Other']])
})

t.test('UNH login 22.1: None is agreed on where it is offered', async (t) => {
  for (const list of ['None', 'KRB5,None']) {
    const login = await LoginWire.open(target.port)
    const answer = await login.ask(toOperational, [...names, ['AuthMethod', list]])
    t.match(answer, { status: 0, transit: true, keys: { AuthMethod: 'None' } }, list)
    login.close()
  }
  await isRefused(t, 0x0201, [...names, ['AuthMethod', 'KRB5,SRP']], toOperational)
})

t.test(
  'UNH login 23.1: TargetPortalGroupTag comes once, in the first response with text',
  async (t) => {
    const login = await LoginWire.open(target.port)
    const text = Buffer.from(`InitiatorName=${initiatorName}\0TargetName=${targetName}\0`)
    const part = await login.ask({ currentStage: 1, continued: true }, text.subarray(0, 9))
    t.strictSame(part.keys, {})
    const whole = await login.ask({ currentStage: 1 }, text.subarray(9))
    t.equal(whole.keys.TargetPortalGroupTag, '1')
    t.equal((await login.ask(toFullFeature)).keys.TargetPortalGroupTag, undefined)
    login.close()
    const found = await logIn(discovery)
    t.equal(found.answer.keys.TargetPortalGroupTag, undefined, 'nor in discovery')
    found.login.close()
  },
)
