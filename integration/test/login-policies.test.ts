/**
 * Every pair of what a host and a server may ask of each other, without a network: who gets in, and with
 * which status the others are turned away. Then what either of them may have done to its requests.
 */
import {
  type AuthenticationFloor,
  Challenges,
  type ChapAlgorithm,
  chapAlgorithms,
  type TextPair,
} from '@platter/protocol/iscsi'
import t from 'tap'
import {
  type PairOptions,
  type PairOutcome,
  type RequestFields,
  runLogin,
  targetName,
} from '../lib/login-pair.ts'

const secret = (text: string) => Buffer.from(text)
const hostIdentity = { user: 'host', secret: secret('secret of the host') }
const targetIdentity = { user: 'target', secret: secret('secret of the server') }
const wrong = secret('not that secret')

type Host = PairOptions['host']
type Requirement = PairOptions['requirement']

/** What a host may have been told, and what it can get in by. */
interface HostCase {
  readonly title: string
  readonly host: Omit<Host, 'chapAlgorithms'>
  readonly offers: 'None' | 'CHAP,None' | 'CHAP'
  /** It shows what the server knows; it asks, and believes what the server would show. */
  readonly shows: boolean
  readonly asks: boolean
  readonly believes: boolean
}

const floors = ['none', 'chap', 'chap-mutual'] as const satisfies readonly AuthenticationFloor[]
const oneWay = { floor: 'chap', host: hostIdentity } as const
const mutual = { floor: 'chap-mutual', host: hostIdentity, target: targetIdentity } as const
const open = { asks: false, believes: false } as const
const hosts: readonly HostCase[] = [
  { title: 'no secret', host: { floor: 'none' }, offers: 'None', shows: false, ...open },
  {
    ...{ title: 'a secret if asked', offers: 'CHAP,None', shows: true, ...open },
    host: { floor: 'none', host: hostIdentity },
  },
  { title: 'a secret', host: oneWay, offers: 'CHAP', shows: true, ...open },
  {
    ...{ title: 'a wrong secret', offers: 'CHAP', shows: false, ...open },
    host: { ...oneWay, host: { ...hostIdentity, secret: wrong } },
  },
  {
    ...{ title: 'a wrong name', offers: 'CHAP', shows: false, ...open },
    host: { ...oneWay, host: { ...hostIdentity, user: 'other' } },
  },
  { title: 'both', host: mutual, offers: 'CHAP', shows: true, asks: true, believes: true },
  {
    ...{ title: 'both, the own wrong', offers: 'CHAP', shows: false, asks: true, believes: true },
    host: { ...mutual, host: { ...hostIdentity, secret: wrong } },
  },
  {
    ...{ title: 'both, the other wrong', offers: 'CHAP', shows: true, asks: true, believes: false },
    host: { ...mutual, target: { ...targetIdentity, secret: wrong } },
  },
  {
    ...{ title: 'both, another target', offers: 'CHAP', shows: true, asks: true, believes: false },
    host: { ...mutual, target: { ...targetIdentity, user: 'other' } },
  },
]

const credentials: Readonly<Record<string, Requirement['credentials']>> = {
  'no secret': undefined,
  'a secret': { host: hostIdentity },
  'a secret both ways': { host: hostIdentity, target: targetIdentity },
}
const algorithmLists: readonly (readonly ChapAlgorithm[])[] = [
  chapAlgorithms,
  [8, 7],
  ...chapAlgorithms.map((algorithm) => [algorithm]),
]

/** What must come of a pair: the rules of docs/platterd.md, and no code of the login. */
function verdict(host: HostCase, algorithms: Host['chapAlgorithms'], requirement: Requirement) {
  const { floor, credentials: known, chapAlgorithms: allowed } = requirement
  const offersNone = host.offers !== 'CHAP'
  const offersChap = host.offers !== 'None'
  const refused = { target: 0x0201, admitted: false, initiator: 'LoginError' }
  const accepted = { target: 0, admitted: true, initiator: 'session' }
  // CHAP stands first in every offer, but leads nowhere where the server knows no secret.
  const none = floor === 'none' && offersNone && (known === undefined || !offersChap)
  if (none) return accepted
  const common = algorithms.some((it) => allowed.includes(it))
  if (!offersChap || !common || known === undefined || !host.shows) return refused
  const shown = known.target !== undefined
  if (shown !== host.asks || (floor === 'chap-mutual' && !shown)) return refused
  if (!host.asks || host.believes) return accepted
  return { target: 0, admitted: false, initiator: 'AuthenticationError' }
}

function told({ initiator, ...outcome }: PairOutcome) {
  return { ...outcome, initiator: initiator === 'session' ? initiator : initiator.name }
}

t.test('every pair of policies comes to what it must, in both kinds of session', async (t) => {
  let pairs = 0
  let admitted = 0
  for (const hostCase of hosts) {
    for (const mine of algorithmLists) {
      for (const [known, given] of Object.entries(credentials)) {
        for (const floor of floors) {
          for (const allowed of algorithmLists) {
            const requirement = { floor, chapAlgorithms: allowed, credentials: given }
            const wanted = verdict(hostCase, mine, requirement)
            for (const sessionType of ['Normal', 'Discovery'] as const) {
              const host = { ...hostCase.host, chapAlgorithms: mine }
              const got = told(runLogin({ host, requirement, sessionType }))
              pairs++
              if (got.admitted) admitted++
              if (JSON.stringify(got) === JSON.stringify(wanted)) continue
              const pair = `${hostCase.title} by ${mine}; ${known}, ${floor} by ${allowed}`
              t.strictSame(got, wanted, `${pair}, ${sessionType}`)
            }
          }
        }
      }
    }
  }
  t.equal(pairs, hosts.length * 6 * 3 * 3 * 6 * 2)
  t.ok(admitted > 100 && admitted < pairs / 2, `${admitted} of ${pairs} get in`)
})

const all = { host: { ...mutual, chapAlgorithms }, requirement: requires('a secret both ways') }

function requires(known: string): Requirement {
  return { floor: 'chap', chapAlgorithms, credentials: credentials[known] }
}

/** Changes the request or response that has `key`, and leaves the others alone. */
const at =
  <F>(key: string, change: (pairs: TextPair[], fields: F) => TextPair[]) =>
  (pairs: TextPair[], fields: F) =>
    pairs.some(([name]) => name === key) ? change(pairs, fields) : pairs
const without =
  (...keys: string[]) =>
  (pairs: TextPair[]) =>
    pairs.filter(([key]) => !keys.includes(key))
const put = (key: string, value: string) => (pairs: TextPair[]) =>
  [...without(key)(pairs), [key, value]] satisfies TextPair[]

/** What a host may do to its requests, and the status that it gets. */
const requests: readonly [string, number, NonNullable<PairOptions['onRequest']>][] = [
  ['no InitiatorName', 0x0207, at('InitiatorName', without('InitiatorName'))],
  ['no TargetName', 0x0207, at('TargetName', without('TargetName'))],
  ['a name that is none', 0x0200, at('InitiatorName', put('InitiatorName', 'host'))],
  [
    'a host that is not known',
    0x0201,
    at('InitiatorName', put('InitiatorName', 'iqn.2026-11.x:y')),
  ],
  ['a target that is not here', 0x0203, at('TargetName', put('TargetName', `${targetName}x`))],
  ['a session of no known type', 0x0209, at('SessionType', put('SessionType', 'Other'))],
  ['a version to come', 0x0205, at('InitiatorName', setField('versionMin', 1))],
  ['AuthMethod=None', 0x0201, at('AuthMethod', put('AuthMethod', 'None'))],
  ['no AuthMethod, and on', 0x0201, at('AuthMethod', leave(without('AuthMethod')))],
  ['no security stage', 0x0201, at('InitiatorName', begin(without('AuthMethod')))],
  ['CHAP_A with AuthMethod', 0x0200, at('AuthMethod', put('CHAP_A', '5'))],
  ['CHAP_R with AuthMethod', 0x0200, at('AuthMethod', put('CHAP_R', '0x00'))],
  ['no CHAP_A', 0x0200, at('CHAP_A', () => [['CHAP_N', 'host']])],
  ['CHAP_A of no known algorithm', 0x0201, at('CHAP_A', put('CHAP_A', '99'))],
  ['CHAP_A that is no number', 0x0201, at('CHAP_A', put('CHAP_A', 'MD5'))],
  ['CHAP_R instead of CHAP_A', 0x0200, at('CHAP_A', () => [['CHAP_R', '0x00']])],
  ['no CHAP_N', 0x0200, at('CHAP_R', without('CHAP_N'))],
  ['no CHAP_R', 0x0200, at('CHAP_R', without('CHAP_R'))],
  ['no CHAP_I of its own', 0x0200, at('CHAP_R', without('CHAP_I'))],
  ['no CHAP_C of its own', 0x0200, at('CHAP_R', without('CHAP_C'))],
  ['it does not ask', 0x0201, at('CHAP_R', without('CHAP_I', 'CHAP_C'))],
  ['CHAP_I beyond a byte', 0x0200, at('CHAP_R', put('CHAP_I', '256'))],
  ['CHAP_C of no byte', 0x0200, at('CHAP_R', put('CHAP_C', '0x'))],
  ['CHAP_C of 1025 bytes', 0x0200, at('CHAP_R', put('CHAP_C', `0x${'ab'.repeat(1025)}`))],
  ['CHAP_C of more text than a value has', 0x0200, at('CHAP_R', put('CHAP_C', '0'.repeat(8193)))],
  ['CHAP_N of 256 bytes', 0x0200, at('CHAP_R', put('CHAP_N', 'h'.repeat(256)))],
  ['CHAP_R of a byte more', 0x0201, at('CHAP_R', (pairs) => pairs.map(lengthened))],
  ['CHAP_R of nothing', 0x0201, at('CHAP_R', put('CHAP_R', ''))],
  ['CHAP_R that is no number', 0x0201, at('CHAP_R', put('CHAP_R', '0xzz'))],
  ['a name of the target', 0x0201, at('CHAP_R', put('CHAP_N', targetIdentity.user))],
  ['CHAP_A once more', 0x0200, at('CHAP_R', put('CHAP_A', '5'))],
]

function setField<K extends keyof RequestFields>(field: K, value: RequestFields[K]) {
  return (pairs: TextPair[], fields: RequestFields) => {
    fields[field] = value
    return pairs
  }
}

/** The request asks to leave the security stage. */
function leave(change: (pairs: TextPair[]) => TextPair[]) {
  return (pairs: TextPair[], fields: RequestFields) => {
    Object.assign(fields, { transit: true, nextStage: 1 })
    return change(pairs)
  }
}

/** The request begins with the operational stage. */
function begin(change: (pairs: TextPair[]) => TextPair[]) {
  return (pairs: TextPair[], fields: RequestFields) => {
    Object.assign(fields, { currentStage: 1, transit: true, nextStage: 3 })
    return change(pairs)
  }
}

function lengthened([key, value]: TextPair): TextPair {
  return [key, key === 'CHAP_R' ? `${value}00` : value]
}

t.test(
  'whatever a host does to its requests, it gets the right status and no session',
  async (t) => {
    t.match(
      runLogin(all),
      { target: 0, admitted: true, initiator: 'session' },
      'and else it gets in',
    )
    for (const [title, status, onRequest] of requests) {
      const { target, admitted } = runLogin({ ...all, onRequest })
      t.equal(target, status, title)
      t.notOk(admitted, title)
    }
  },
)

t.test(
  'a response to an earlier challenge, and a challenge of its own, get a host nowhere',
  async (t) => {
    const challenges = new Challenges()
    let seen: TextPair[] = []
    const onRequest = at<RequestFields>('CHAP_R', (pairs) => {
      seen = pairs
      return pairs
    })
    t.match(runLogin({ ...all, challenges, onRequest }), { initiator: 'session' })
    const replayed = runLogin({ ...all, challenges, onRequest: at('CHAP_R', () => seen) })
    t.match(replayed, { target: 0x0201, admitted: false })

    let asked: TextPair[] = []
    const reflected = runLogin({
      ...all,
      challenges,
      onResponse: at('CHAP_C', (pairs) => {
        asked = pairs.filter(([key]) => key === 'CHAP_I' || key === 'CHAP_C')
        return pairs
      }),
      onRequest: at('CHAP_R', (pairs) => [...without('CHAP_I', 'CHAP_C')(pairs), ...asked]),
    })
    t.match(reflected, { target: 0x0201, admitted: false })
  },
)

/** What a server may do to its responses, and the error that our initiator leaves with. */
const responses: readonly [string, string, NonNullable<PairOptions['onResponse']>][] = [
  ['AuthMethod=None', 'AuthenticationError', at('AuthMethod', put('AuthMethod', 'None'))],
  ['AuthMethod=Reject', 'AuthenticationError', at('AuthMethod', put('AuthMethod', 'Reject'))],
  ['no AuthMethod', 'ProtocolError', at('AuthMethod', without('AuthMethod'))],
  ['the stage ends at once', 'ProtocolError', at('AuthMethod', ended)],
  ['the stage ends with the challenge', 'ProtocolError', at('CHAP_C', ended)],
  ['an algorithm not offered', 'AuthenticationError', at('CHAP_A', put('CHAP_A', '99'))],
  ['no CHAP_A', 'ProtocolError', at('CHAP_C', without('CHAP_A'))],
  ['no CHAP_I', 'ProtocolError', at('CHAP_C', without('CHAP_I'))],
  ['no CHAP_C', 'ProtocolError', at('CHAP_C', without('CHAP_C'))],
  ['CHAP_I beyond a byte', 'ProtocolError', at('CHAP_C', put('CHAP_I', '256'))],
  ['CHAP_C of 1025 bytes', 'ProtocolError', at('CHAP_C', put('CHAP_C', `0x${'ab'.repeat(1025)}`))],
  ['CHAP_N and CHAP_R too early', 'ProtocolError', at('CHAP_C', put('CHAP_N', 'target'))],
  ['another CHAP_N', 'AuthenticationError', at('CHAP_R', put('CHAP_N', 'other'))],
  ['another CHAP_R', 'AuthenticationError', at('CHAP_R', (pairs) => pairs.map(lengthened))],
  ['no CHAP_R', 'ProtocolError', at('CHAP_R', without('CHAP_R'))],
  ['no answer at all', 'AuthenticationError', at('CHAP_R', without('CHAP_N', 'CHAP_R'))],
]

function ended(pairs: TextPair[], fields: { transit: boolean }): TextPair[] {
  fields.transit = true
  return pairs
}

t.test('whatever a server does to its responses, our initiator leaves it', async (t) => {
  for (const [title, name, onResponse] of responses) {
    t.match(runLogin({ ...all, onResponse }), { admitted: false, initiator: { name } }, title)
  }
})
