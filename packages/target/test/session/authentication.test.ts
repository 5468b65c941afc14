import {
  Challenges,
  type ChapAlgorithm,
  chapAlgorithms,
  chapResponse,
  formatHex,
  LoginStatus,
  ProtocolError,
  parseBinary,
  type TextPair,
} from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t from 'tap'
import {
  Authentication,
  type AuthenticationPolicy,
  type AuthenticationRequirement,
  type HostCredentials,
} from '../../src/session/authentication.ts'
import { type ProtocolVersion, protocolVersions } from '../../src/session/version.ts'
import { names, pairsOf, refuses, send, target, toFullFeature } from '../support/login-exchange.ts'

const version = protocolVersions[0] as ProtocolVersion
const host: HostCredentials = { host: { user: 'host', secret: Buffer.from('secret of host') } }
const both: HostCredentials = {
  ...host,
  target: { user: 'target', secret: Buffer.from('secret of target') },
}

/** What a host that has these must show, and one that has none need not. */
const required = (credentials: HostCredentials | undefined): AuthenticationRequirement => ({
  floor: credentials === undefined ? 'none' : 'chap',
  chapAlgorithms,
  credentials,
})

const all = (some: Partial<AuthenticationRequirement>): AuthenticationRequirement => ({
  ...required(undefined),
  ...some,
})

function policyOf(credentials: HostCredentials | undefined): AuthenticationPolicy {
  return {
    challenges: new Challenges(),
    requirementOf: () => required(credentials),
  }
}

const start = (credentials: HostCredentials | undefined) =>
  new Authentication(policyOf(credentials), 'iqn.2024-01.org.example:host', version)

/** Up to the challenge; then what the host `secret` is of would answer. */
function challenged(authentication: Authentication, secret = host.host.secret): TextPair[] {
  authentication.receive([['AuthMethod', 'CHAP']], false)
  const answer = new Map(authentication.receive([['CHAP_A', '7']], false))
  const challenge = {
    identifier: Number(answer.get('CHAP_I')),
    bytes: parseBinary(answer.get('CHAP_C') as string) as Buffer,
  }
  return [
    ['CHAP_N', 'host'],
    ['CHAP_R', formatHex(chapResponse(7, challenge, secret))],
  ]
}

/** The login status that a step is refused with. */
function statusOf(step: () => unknown): number | undefined {
  try {
    step()
  } catch (error) {
    if (!(error instanceof ProtocolError) || error.answer.kind !== 'login') throw error
    return error.answer.status
  }
  return undefined
}

t.test('who has no credentials may use None, and is turned away by CHAP in the end', async (t) => {
  const free = start(undefined)
  t.ok(free.mayBeLeftOut)
  t.same(free.receive([['AuthMethod', 'CHAP,None']], true), [['AuthMethod', 'None']])
  t.match(free, { done: true, shown: 'None' })
  const unknown = start(undefined)
  const response = challenged(unknown)
  t.equal(
    statusOf(() => unknown.receive(response, true)),
    LoginStatus.AuthenticationFailure,
  )
})

t.test('who has credentials must use CHAP', async (t) => {
  t.notOk(start(host).mayBeLeftOut)
  t.same(start(host).receive([['AuthMethod', 'None,CHAP']], true), [['AuthMethod', 'CHAP']])
  for (const pairs of [[['AuthMethod', 'None']], []] as TextPair[][]) {
    const authentication = start(host)
    t.equal(
      statusOf(() => authentication.receive(pairs, true)),
      LoginStatus.AuthenticationFailure,
    )
  }
})

t.test('one way and both ways, as the server has credentials', async (t) => {
  const asked: TextPair[] = [
    ['CHAP_I', '3'],
    ['CHAP_C', '0x0102030405'],
  ]
  const one = start(host)
  t.same(one.receive(challenged(one), true), [])
  t.match(one, { done: true, shown: 'CHAP sha256' })
  const mutual = start(both)
  const answer = new Map(mutual.receive([...challenged(mutual), ...asked], true))
  const challenge = { identifier: 3, bytes: Buffer.from('0102030405', 'hex') }
  t.match(mutual, { done: true, shown: 'CHAP sha256, mutual' })
  t.equal(answer.get('CHAP_N'), 'target')
  t.equal(answer.get('CHAP_R'), formatHex(chapResponse(7, challenge, both.target!.secret)))

  const unasked = start(both)
  t.equal(
    statusOf(() => unasked.receive(challenged(unasked), true)),
    LoginStatus.AuthenticationFailure,
  )
  const unable = start(host)
  t.equal(
    statusOf(() => unable.receive([...challenged(unable), ...asked], true)),
    LoginStatus.AuthenticationFailure,
  )
})

t.test('nothing is said of our own secret to who has not shown his', async (t) => {
  const authentication = start(both)
  const wrong = challenged(authentication, Buffer.from('another secret'))
  const asked: TextPair[] = [
    ['CHAP_I', '3'],
    ['CHAP_C', '0x01'],
  ]
  t.equal(
    statusOf(() => authentication.receive([...wrong, ...asked], true)),
    LoginStatus.AuthenticationFailure,
  )
})

t.test('a response is good for its own challenge only', async (t) => {
  const policy = policyOf(host)
  const first = new Authentication(policy, 'iqn.a', version)
  const replayed = challenged(first)
  const second = new Authentication(policy, 'iqn.a', version)
  challenged(second)
  t.equal(
    statusOf(() => second.receive(replayed, true)),
    LoginStatus.AuthenticationFailure,
  )
})

t.test('keys after the authentication, or half of a question, break it off', async (t) => {
  const done = start(host)
  done.receive(challenged(done), true)
  t.equal(
    statusOf(() => done.receive([['CHAP_A', '5']], false)),
    LoginStatus.InitiatorError,
  )
  t.same(done.receive([], true), [], 'no keys are no harm')
  for (const half of [
    ['CHAP_I', '1'],
    ['CHAP_C', '0x01'],
  ] as TextPair[]) {
    const authentication = start(both)
    const response = challenged(authentication)
    t.equal(
      statusOf(() => authentication.receive([...response, half], true)),
      LoginStatus.InitiatorError,
    )
  }
})

t.test('a login leads through CHAP, and only then to the target', async (t) => {
  const login = target({ requirementOf: () => required(host) })
  const stay = { currentStage: 0 }
  t.match(send(login, stay, [...names, ['AuthMethod', 'CHAP']]), { transit: false })
  const challenge = pairsOf(send(login, stay, [['CHAP_A', '5']]))
  const asked = {
    identifier: Number(challenge.CHAP_I),
    bytes: parseBinary(challenge.CHAP_C as string) as Buffer,
  }
  const answer = send(login, { currentStage: 0, transit: true, nextStage: 1 }, [
    ['CHAP_N', 'host'],
    ['CHAP_R', formatHex(chapResponse(5, asked, host.host.secret))],
  ])
  t.match(answer, { outcome: 'continue', transit: true, nextStage: 1 })
  t.match(send(login, toFullFeature), { outcome: 'full-feature' })
  const straight = send(target({ requirementOf: () => required(host) }), toFullFeature, names)
  refuses(t, straight, LoginStatus.AuthenticationFailure)
})

t.test('whatever keys a host sends, without the secret it is never done', async (t) => {
  const key = fc.constantFrom('AuthMethod', 'CHAP_A', 'CHAP_I', 'CHAP_C', 'CHAP_N', 'CHAP_R')
  const value = fc.constantFrom('CHAP', 'None', '5', '7', '0x00', '0b', 'host', '')
  const steps = fc.array(
    fc.record({
      pairs: fc.oneof(
        fc.constant<TextPair[]>([['AuthMethod', 'CHAP']]),
        fc.constant<TextPair[]>([['CHAP_A', '5']]),
        fc.array(fc.tuple(key, value), { maxLength: 4 }),
      ),
      transit: fc.boolean(),
    }),
    { maxLength: 6 },
  )
  fc.assert(
    fc.property(steps, (run) => {
      const authentication = start(host)
      for (const { pairs, transit } of run) {
        const status = statusOf(() => authentication.receive(pairs, transit))
        t.notOk(authentication.done)
        if (status !== undefined) break
      }
    }),
    { numRuns: 300 },
  )
})

t.test('a floor is held, whatever the host offers, and whether or not it is known', async (t) => {
  const cases: [Partial<AuthenticationRequirement>, string, string | undefined][] = [
    [{ floor: 'none' }, 'None', 'None'],
    [{ floor: 'none' }, 'CHAP,None', 'None'],
    [{ floor: 'none' }, 'CHAP', 'CHAP'],
    [{ floor: 'none', credentials: host }, 'CHAP,None', 'CHAP'],
    [{ floor: 'none', credentials: host }, 'None,CHAP', 'None'],
    [{ floor: 'chap' }, 'None', undefined],
    [{ floor: 'chap' }, 'None,CHAP', 'CHAP'],
    [{ floor: 'chap', credentials: host }, 'None,CHAP', 'CHAP'],
    [{ floor: 'chap-mutual' }, 'None,CHAP', 'CHAP'],
    [{ floor: 'chap' }, 'KRB5,SRP', undefined],
  ]
  for (const [requirement, offer, taken] of cases) {
    const policy = { challenges: new Challenges(), requirementOf: () => all(requirement) }
    const authentication = new Authentication(policy, 'iqn.a', version)
    t.equal(authentication.mayBeLeftOut, requirement.floor === 'none')
    const step = () => authentication.receive([['AuthMethod', offer]], false)
    if (taken === undefined) t.equal(statusOf(step), LoginStatus.AuthenticationFailure)
    else t.same(step(), [['AuthMethod', taken]], offer)
  }
})

t.test('of the algorithms only those that version and policy both allow are used', async (t) => {
  const older: ProtocolVersion = { ...version, chapAlgorithms: [5, 7] }
  const cases: [ProtocolVersion, readonly ChapAlgorithm[], string, string | undefined][] = [
    [version, [7, 8], '5,6,7,8', '7'],
    [version, [7, 8], '8,7', '8'],
    [version, [7, 8], '5,6', undefined],
    [older, [7, 8], '8,7', '7'],
    [older, [8], '8,7,5', undefined],
  ]
  for (const [agreed, allowed, offer, taken] of cases) {
    const requirement = all({ floor: 'chap', chapAlgorithms: allowed, credentials: host })
    const policy = { challenges: new Challenges(), requirementOf: () => requirement }
    const authentication = new Authentication(policy, 'iqn.a', agreed)
    authentication.receive([['AuthMethod', 'CHAP']], false)
    const step = () => authentication.receive([['CHAP_A', offer]], false)
    if (taken === undefined) t.equal(statusOf(step), LoginStatus.AuthenticationFailure)
    else t.equal(new Map(step()).get('CHAP_A'), taken, offer)
  }
  const withoutChap = { ...version, authMethods: ['None'] as const }
  const bound = new Authentication(policyOf(host), 'iqn.a', withoutChap)
  t.equal(
    statusOf(() => bound.receive([['AuthMethod', 'CHAP,None']], true)),
    LoginStatus.AuthenticationFailure,
  )
})

t.test('where both must authenticate, a host with one secret does not get in', async (t) => {
  const requirement = all({ floor: 'chap-mutual', credentials: host })
  const policy = { challenges: new Challenges(), requirementOf: () => requirement }
  const authentication = new Authentication(policy, 'iqn.a', version)
  const response = challenged(authentication)
  t.equal(
    statusOf(() => authentication.receive(response, true)),
    LoginStatus.AuthenticationFailure,
  )
})
