/**
 * The UNH CHAP plan. Its public copies are for initiators; these ask of the target what RFC 7143 section
 * 12.1.3 has for the same title (docs/rfc7143.md).
 */
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import {
  AuthenticatingTarget,
  longUser,
  mutual,
  oneWay,
  own,
  shortUser,
} from '../lib/authenticating-target.ts'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { asks, type Challenge, ChapWire, type Host, hash, hex } from '../lib/chap-wire.ts'
import { cleanUp } from '../lib/cleanup.ts'
import type { LoginResponse, Pairs } from '../lib/login-wire.ts'

t.teardown(cleanUp)
sendsMalformedRequests('values that are too long')
t.setTimeout(120_000)
const target = await AuthenticatingTarget.start()
const { targetName } = target
const { port } = target.process

const open = (host: Host = oneWay) => ChapWire.open(port, host, targetName)
const accepted = { status: 0, transit: true, nextStage: 1 }

/** A login with the right answer to the challenge, and with what else the host says. */
async function logIn(host: Host, more: Pairs = []): Promise<LoginResponse> {
  const chap = await open(host)
  const answer = await chap.respond(await chap.challenge(), more)
  chap.close()
  return answer
}

/** The step instead of CHAP_A, or after it, ends the login with this status. */
async function isRefused(t: Test, status: number, pairs: Pairs, after?: 'CHAP_A'): Promise<void> {
  const chap = await open()
  if (after === 'CHAP_A') await chap.challenge()
  const answer = await chap.step(pairs)
  t.match(answer, { status, transit: false, keys: {} }, JSON.stringify(pairs).slice(0, 80))
  t.ok(await chap.wire.connection.isClosedWithin(10_000))
}

t.test('UNH CHAP 1.1: CHAP_A with a known algorithm is answered with it', async (t) => {
  for (const algorithm of ['5', '6', '7', '8']) {
    const chap = await open()
    t.equal((await chap.challenge(algorithm)).algorithm, algorithm)
    chap.close()
  }
})

t.test('UNH CHAP 1.2.1: CHAP_A with an unknown number ends the login', (t) =>
  isRefused(t, 0x0201, [['CHAP_A', '99']]),
)

t.test('UNH CHAP 1.2.2: CHAP_A that is no number ends the login', (t) =>
  isRefused(t, 0x0201, [['CHAP_A', 'MD5']]),
)

t.test('UNH CHAP 1.3: CHAP_A out of order ends the login', (t) =>
  isRefused(t, 0x0200, [['CHAP_R', '0x00']]),
)

t.test('UNH CHAP 2.1: CHAP_I is a number of one byte, as it is of the host', async (t) => {
  const chap = await open()
  const { identifier } = await chap.challenge()
  t.ok(Number.isInteger(identifier) && identifier >= 0 && identifier <= 255)
  chap.close()
  for (const value of [0, 255]) t.match(await logIn(mutual, asks(value, randomBytes(16))), accepted)
})

t.test('UNH CHAP 2.2: CHAP_I beyond a byte ends the login', async (t) => {
  for (const value of ['256', '-1', 'x']) {
    t.equal((await logIn(mutual, asks(value, randomBytes(16)))).status, 0x0200, value)
  }
})

t.test('UNH CHAP 2.3: CHAP_I out of order ends the login', (t) =>
  isRefused(t, 0x0200, [
    ['CHAP_A', '5'],
    ['CHAP_I', '1'],
  ]),
)

t.test('UNH CHAP 2.4: a host may use the same CHAP_I each time', async (t) => {
  for (let i = 0; i < 2; i++) t.match(await logIn(mutual, asks(9, randomBytes(16))), accepted)
})

t.test('UNH CHAP 2.5: a host may use the CHAP_I of the target', async (t) => {
  const chap = await open(mutual)
  const challenge = await chap.challenge()
  const answer = await chap.respond(challenge, asks(challenge.identifier, randomBytes(16)))
  t.match(answer, accepted)
  chap.close()
})

t.test('UNH CHAP 2.6: CHAP_I differs from login to login', async (t) => {
  const seen = new Set<number>()
  for (let i = 0; i < 8; i++) {
    const chap = await open()
    seen.add((await chap.challenge()).identifier)
    chap.close()
  }
  t.ok(seen.size > 1, `${[...seen]}`)
})

t.test('UNH CHAP 3.1: CHAP_C of 1024 bytes is answered', async (t) => {
  const asked: Challenge = { algorithm: '5', identifier: 1, bytes: randomBytes(1024) }
  const answer = await logIn(mutual, asks(1, asked.bytes))
  t.match(answer, { ...accepted, keys: { CHAP_R: hex(hash(asked, own.secret)) } })
})

t.test('UNH CHAP 3.2: CHAP_C of one byte is answered', async (t) => {
  const asked: Challenge = { algorithm: '5', identifier: 1, bytes: Buffer.of(3) }
  const answer = await logIn(mutual, asks(1, asked.bytes))
  t.match(answer, { ...accepted, keys: { CHAP_R: hex(hash(asked, own.secret)) } })
})

t.test('UNH CHAP 3.3: CHAP_C of more than 1024 bytes ends the login', async (t) => {
  t.equal((await logIn(mutual, asks(1, randomBytes(1025)))).status, 0x0200)
})

t.test('UNH CHAP 3.4: CHAP_C of no byte ends the login', async (t) => {
  for (const value of ['0x', '0b', '']) {
    t.equal((await logIn(mutual, asks(1, value))).status, 0x0200, value)
  }
})

t.test('UNH CHAP 3.5: CHAP_C out of order ends the login', (t) =>
  isRefused(t, 0x0200, [
    ['CHAP_A', '5'],
    ['CHAP_C', '0x01'],
  ]),
)

t.test('UNH CHAP 3.6.1: two logins at once may bring the same CHAP_C', async (t) => {
  const bytes = randomBytes(16)
  const [one, other] = [await open(mutual), await open(mutual)]
  const [first, second] = [await one.challenge(), await other.challenge()]
  t.match(await one.respond(first, asks(1, bytes)), accepted)
  t.match(await other.respond(second, asks(1, bytes)), accepted)
  one.close()
  other.close()
})

t.test('UNH CHAP 3.6.2: two logins one after the other may bring the same CHAP_C', async (t) => {
  const bytes = randomBytes(16)
  for (let i = 0; i < 2; i++) t.match(await logIn(mutual, asks(1, bytes)), accepted)
})

t.test('UNH CHAP 3.6.3: logins at once get different challenges', async (t) => {
  const chaps = await Promise.all(Array.from({ length: 8 }, () => open()))
  const challenges = await Promise.all(chaps.map((chap) => chap.challenge()))
  const seen = new Set(challenges.map(({ bytes }) => bytes.toString('hex')))
  t.equal(seen.size, 8)
  for (const { bytes } of challenges) t.ok(bytes.length >= 16 && bytes.length <= 1024)
  for (const chap of chaps) chap.close()
})

t.test('UNH CHAP 3.6.4: logins one after the other get different challenges', async (t) => {
  const seen = new Set<string>()
  for (let i = 0; i < 8; i++) {
    const chap = await open()
    seen.add((await chap.challenge()).bytes.toString('hex'))
    chap.close()
  }
  t.equal(seen.size, 8)
})

t.test('UNH CHAP 3.7: the challenge of the target sent back to it ends the login', async (t) => {
  const chap = await open(mutual)
  const challenge = await chap.challenge()
  const answer = await chap.respond(challenge, asks(challenge.identifier, challenge.bytes))
  t.match(answer, { status: 0x0201, keys: {} })
  t.ok(await chap.wire.connection.isClosedWithin(10_000))
})

t.test('UNH CHAP 3.8: nor is it answered on another connection', async (t) => {
  const [one, other] = [await open(mutual), await open(mutual)]
  const { identifier, bytes } = await one.challenge()
  const answer = await other.respond(await other.challenge(), asks(identifier, bytes))
  t.match(answer, { status: 0x0201, keys: {} })
  one.close()
})

t.test('UNH CHAP 4.1: CHAP_N is the name that the host was given', async (t) => {
  t.match(await logIn(oneWay), accepted)
})

t.test('UNH CHAP 4.2: CHAP_N may have 255 bytes', async (t) => {
  t.match(await logIn(longUser), accepted)
})

t.test('UNH CHAP 4.3: CHAP_N may have one byte', async (t) => {
  t.match(await logIn(shortUser), accepted)
})

t.test('UNH CHAP 4.4: CHAP_N of more than 255 bytes ends the login', async (t) => {
  t.equal((await logIn({ ...longUser, user: 'u'.repeat(256) })).status, 0x0200)
})

t.test('UNH CHAP 4.5: CHAP_N out of order ends the login', (t) =>
  isRefused(t, 0x0200, [
    ['CHAP_A', '5'],
    ['CHAP_N', oneWay.user],
  ]),
)

t.test('UNH CHAP 4.6: the name of the target is not that of the host', async (t) => {
  const asked = asks(1, randomBytes(16))
  t.equal((await logIn({ ...mutual, user: own.user }, asked)).status, 0x0201)
})

t.test('UNH CHAP 4.7: a host may use the same name each time', async (t) => {
  for (let i = 0; i < 2; i++) t.match(await logIn(oneWay), accepted)
})

t.test('UNH CHAP 4.8: another name does not get in, whatever its secret', async (t) => {
  for (const { user, secret } of [mutual, { ...oneWay, user: mutual.user }]) {
    t.equal((await logIn({ ...oneWay, user, secret })).status, 0x0201)
  }
})

t.test('UNH CHAP 5.1: a wrong CHAP_R does not get in', async (t) => {
  t.equal((await logIn({ ...oneWay, secret: 'not the secret' })).status, 0x0201)
  for (const CHAP_R of ['', 'zz', '0x', '0xzz']) {
    const wrong: Pairs = [
      ['CHAP_N', oneWay.user],
      ['CHAP_R', CHAP_R],
    ]
    await isRefused(t, 0x0201, wrong, 'CHAP_A')
  }
})

t.test('UNH CHAP 5.2: a CHAP_R that is too long does not get in', async (t) => {
  const chap = await open()
  const response = hash(await chap.challenge(), oneWay.secret)
  const longer: Pairs = [
    ['CHAP_N', oneWay.user],
    ['CHAP_R', `${hex(response)}00`],
  ]
  t.equal((await chap.leave(longer)).status, 0x0201)
})

t.test('UNH CHAP 5.3: a CHAP_R that is too short does not get in', async (t) => {
  const chap = await open()
  const response = hash(await chap.challenge(), oneWay.secret)
  const shorter: Pairs = [
    ['CHAP_N', oneWay.user],
    ['CHAP_R', hex(response.subarray(0, 15))],
  ]
  t.equal((await chap.leave(shorter)).status, 0x0201)
})
