import {
  Challenges,
  type ChapAlgorithm,
  type ChapIdentity,
  chapAlgorithms,
  chapResponse,
  formatBase64,
  formatHex,
  ProtocolError,
  parseBinary,
  type TextPair,
} from '@platter/protocol/iscsi'
import t from 'tap'
import {
  type AuthenticationPolicy,
  faultOf,
  InitiatorAuthentication,
} from '../../src/session/authentication.ts'
import { AuthenticationError } from '../../src/session/errors.ts'

const host: ChapIdentity = { user: 'host', secret: Buffer.from('secret of host') }
const target = { user: 'target', secret: Buffer.from('secret of target') }

function policy(more: Partial<AuthenticationPolicy> = {}): AuthenticationPolicy {
  const all = { floor: 'none', chapAlgorithms, challenges: new Challenges() } as const
  return { ...all, ...more }
}

const start = (more: Partial<AuthenticationPolicy>) => new InitiatorAuthentication(policy(more))

const challenge = { identifier: 9, bytes: Buffer.from('0102030405060708', 'hex') }
const asks: TextPair[] = [
  ['CHAP_A', '7'],
  ['CHAP_I', '9'],
  ['CHAP_C', formatHex(challenge.bytes)],
]

/** Up to its CHAP_R; what it says there. */
function responded(authentication: InitiatorAuthentication, pairs = asks): Map<string, string> {
  authentication.receive([['AuthMethod', 'CHAP']])
  return new Map(authentication.receive(pairs))
}

/** What a target with `secret` shows to who has asked by `keys`. */
function shown(
  keys: Map<string, string>,
  secret: Buffer = target.secret,
  user = target.user,
): TextPair[] {
  const asked = {
    identifier: Number(keys.get('CHAP_I')),
    bytes: parseBinary(keys.get('CHAP_C') as string) as Buffer,
  }
  return [
    ['CHAP_N', user],
    ['CHAP_R', formatHex(chapResponse(7, asked, secret))],
  ]
}

t.test('what is offered follows from what there is to show, and from the floor', async (t) => {
  t.same(start({}).offer(), ['AuthMethod', 'None'])
  t.same(start({ host }).offer(), ['AuthMethod', 'CHAP,None'])
  t.same(start({ host, floor: 'chap' }).offer(), ['AuthMethod', 'CHAP'])
  t.same(start({ host, target, floor: 'chap-mutual' }).offer(), ['AuthMethod', 'CHAP'])
})

t.test('a policy that cannot be kept, or gives its secrets away, is refused', async (t) => {
  const faults: [Partial<AuthenticationPolicy>, RegExp][] = [
    [{ target }, /own secret is missing/],
    [{ floor: 'chap' }, /chap takes a secret/],
    [{ floor: 'chap-mutual', host }, /takes a secret of the target/],
    [{ host, target: { user: 'target', secret: Buffer.from(host.secret) } }, /the same secret/],
    [{ host, chapAlgorithms: [] }, /no CHAP algorithm/],
  ]
  for (const [fault, message] of faults) {
    t.match(faultOf(policy(fault)), message)
    t.throws(() => start(fault), RangeError)
  }
  t.equal(faultOf(policy({ host, target })), undefined)
})

t.test('one way and both ways, with a challenge in hex or in base64', async (t) => {
  for (const write of [formatHex, formatBase64]) {
    const pairs: TextPair[] = [...asks.slice(0, 2), ['CHAP_C', write(challenge.bytes)]]
    const one = start({ host, floor: 'chap' })
    t.same(one.receive([['AuthMethod', 'CHAP']]), [['CHAP_A', '5,6,7,8']])
    t.notOk(one.mayEnd)
    t.same(one.receive(pairs), [
      ['CHAP_N', 'host'],
      ['CHAP_R', formatHex(chapResponse(7, challenge, host.secret))],
    ])
    t.ok(one.done && one.mayEnd)
    t.same(one.receive([]), [])

    const mutual = start({ host, target })
    const said = responded(mutual, pairs)
    t.notOk(mutual.done)
    t.ok(mutual.mayEnd)
    t.same(mutual.receive(shown(said)), [])
    t.ok(mutual.done)
  }
  const anyName = start({ host, target: { user: undefined, secret: target.secret } })
  anyName.receive(shown(responded(anyName), target.secret, 'some name'))
  t.ok(anyName.done)
})

t.test('None is enough only where the floor says so', async (t) => {
  const silent = start({})
  t.ok(silent.mayEnd)
  t.same(silent.receive([]), [])
  t.ok(silent.done)
  const free = start({ host })
  t.same(free.receive([['AuthMethod', 'None']]), [])
  t.ok(free.done)
  for (const method of ['None', 'Reject', 'NotUnderstood', 'SRP', '']) {
    const bound = start({ host, floor: 'chap' })
    t.throws(() => bound.receive([['AuthMethod', method]]), AuthenticationError)
    t.notOk(bound.done)
  }
  t.throws(() => start({}).receive([['AuthMethod', 'CHAP']]), AuthenticationError)
  t.throws(() => start({ host }).receive([]), ProtocolError)
})

t.test('a target that is not who it must be is not believed', async (t) => {
  const cases: [string, (said: Map<string, string>) => TextPair[]][] = [
    ['another secret', (said) => shown(said, Buffer.from('another secret'))],
    ['our own secret', (said) => shown(said, host.secret)],
    ['another name', (said) => shown(said, target.secret, 'other')],
    ['no answer', () => []],
    [
      'no value',
      () => [
        ['CHAP_N', 'target'],
        ['CHAP_R', 'zz'],
      ],
    ],
  ]
  for (const [what, answer] of cases) {
    const mutual = start({ host, target })
    const said = responded(mutual)
    t.throws(() => mutual.receive(answer(said)), AuthenticationError, what)
    t.notOk(mutual.done)
  }
})

t.test('an algorithm that was not offered is not used', async (t) => {
  for (const algorithm of ['5', '6', '99', 'Reject', '']) {
    const strong = start({ host, chapAlgorithms: [8, 7] satisfies ChapAlgorithm[] })
    strong.receive([['AuthMethod', 'CHAP']])
    const pairs: TextPair[] = [['CHAP_A', algorithm], ...asks.slice(1)]
    t.throws(() => strong.receive(pairs), AuthenticationError, algorithm)
  }
})

t.test('a challenge of ours is not answered, on whichever connection it comes back', async (t) => {
  const shared = policy({ host, target })
  const first = new InitiatorAuthentication(shared)
  const said = responded(first)
  const second = new InitiatorAuthentication(shared)
  second.receive([['AuthMethod', 'CHAP']])
  const reflected: TextPair[] = [
    ['CHAP_A', '7'],
    ['CHAP_I', said.get('CHAP_I') as string],
    ['CHAP_C', said.get('CHAP_C') as string],
  ]
  t.throws(() => second.receive(reflected), /sent back/)
  t.not(responded(new InitiatorAuthentication(shared)).get('CHAP_C'), said.get('CHAP_C'))
})

t.test('keys that are missing, not due, or out of range end the login', async (t) => {
  const wrong: TextPair[][] = [
    asks.slice(1),
    asks.slice(0, 2),
    [...asks, ['CHAP_N', 'target']],
    [
      ['CHAP_A', '7'],
      ['CHAP_I', '256'],
      ['CHAP_C', '0x01'],
    ],
    [
      ['CHAP_A', '7'],
      ['CHAP_I', '-1'],
      ['CHAP_C', '0x01'],
    ],
    [
      ['CHAP_A', '7'],
      ['CHAP_I', '1'],
      ['CHAP_C', '0x'],
    ],
    [
      ['CHAP_A', '7'],
      ['CHAP_I', '1'],
      ['CHAP_C', `0x${'00'.repeat(1025)}`],
    ],
  ]
  for (const pairs of wrong) {
    const one = start({ host })
    one.receive([['AuthMethod', 'CHAP']])
    t.throws(() => one.receive(pairs), ProtocolError, JSON.stringify(pairs).slice(0, 60))
    t.notOk(one.done)
  }
  const half = start({ host, target })
  responded(half)
  t.throws(() => half.receive([['CHAP_N', 'target']]), ProtocolError)
  const unasked = start({ host })
  responded(unasked)
  t.throws(() => unasked.receive([['CHAP_R', '0x00']]), ProtocolError, 'nobody asked')
})
