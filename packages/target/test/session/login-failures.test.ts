import t from 'tap'
import { LoginFailures } from '../../src/session/login-failures.ts'

const limits = {
  freeFailures: 3,
  pauseMs: 1000,
  waitMaxMs: 4000,
  forgetAfterMs: 60_000,
  addressesMax: 100,
}
const attacker = '192.0.2.66'

/** Failures of an address that has just had too many. */
function failing(): LoginFailures {
  const failures = new LoginFailures(limits)
  for (let count = 1; count <= limits.freeFailures; count++) {
    t.equal(failures.slowsDown(attacker), false)
    t.equal(failures.failed(attacker, 0, 'wrong'), count)
  }
  return failures
}

t.test('an address that fails again and again gets one login in each pause', async (t) => {
  const failures = failing()
  t.ok(failures.slowsDown(attacker))
  const waits = Array.from({ length: 6 }, () => failures.begin(attacker, 0))
  t.strictSame(waits, [1000, 2000, 3000, 4000, undefined, undefined], 'however many at once')
  t.equal(failures.begin(attacker, 5000), 0, 'it has waited')
  t.equal(failures.begin(attacker, 5000), 1000)
})

t.test('no other address waits', async (t) => {
  const failures = failing()
  for (const other of ['192.0.2.67', '2001:db8::1', '::1']) {
    t.equal(failures.begin(other, 0), 0)
    t.notOk(failures.slowsDown(other))
  }
})

t.test('what an address has failed is forgotten when it has not for a while', async (t) => {
  const failures = failing()
  failures.failed(attacker, 30_000, 'wrong again')
  t.match(failures.list(90_000), [{ address: attacker, count: 4, detail: 'wrong again' }])
  t.ok((failures.begin(attacker, 90_000) ?? 1) >= 0)
  t.strictSame(failures.list(90_001), [])
  t.equal(failures.begin(attacker, 90_001), 0)
  t.equal(failures.failed(attacker, 90_001, 'wrong'), 1)
})

t.test('the table is bounded: the oldest failures go', async (t) => {
  const failures = failing()
  for (let index = 0; index < 1000; index++) {
    failures.failed(`10.0.${index >> 8}.${index & 255}`, 1, 'wrong')
  }
  const list = failures.list(1)
  t.equal(list.length, limits.addressesMax)
  t.match(list.at(-1), { address: '10.0.3.231', count: 1, slowedDown: false })
  t.equal(failures.begin(attacker, 1), 0)
})

t.test('an address is one of IPv4, or a network of IPv6', async (t) => {
  const same = [
    ['192.0.2.1', '::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:DB8:0:0:1:2:3:4', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3::', '2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0:0:0:0:2', '0:0:0:0::/64'],
  ] as const
  for (const [one, other, address] of same) {
    const failures = new LoginFailures(limits)
    failures.failed(one, 0, 'wrong')
    t.equal(failures.failed(other, 0, 'wrong'), 2, address)
    t.match(failures.list(0), [{ address }])
  }
})
