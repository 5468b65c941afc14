import t from 'tap'
import { isWithin, parseNetwork } from '../src/networks.ts'

t.test('networks and addresses are taken, and nothing else', async (t) => {
  t.equal(parseNetwork('192.0.2.0/24'), '192.0.2.0/24')
  t.equal(parseNetwork('192.0.2.7'), '192.0.2.7/32')
  t.equal(parseNetwork('2001:DB8::/032'), '2001:db8::/32')
  t.equal(parseNetwork('2001:db8::1'), '2001:db8::1/128')
  for (const text of ['', '192.0.2.0/33', '192.0.2.0/', '192.0.2/24', '::/129', 'a/8', '::/8/8']) {
    t.equal(parseNetwork(text), undefined, text)
  }
})

t.test('an address is within its networks, whichever way it is written', async (t) => {
  const networks = ['192.0.2.0/24', '2001:db8::/32']
  t.ok(isWithin(networks, '192.0.2.9'))
  t.ok(isWithin(networks, '::ffff:192.0.2.9'), 'on a socket for both families')
  t.ok(isWithin(networks, '2001:db8:1::7'))
  t.notOk(isWithin(networks, '192.0.3.9'))
  t.notOk(isWithin(networks, '2001:db9::1'))
  t.notOk(isWithin(networks, ''), 'a socket that is gone has no address')
  t.notOk(isWithin([], '192.0.2.9'))
  t.ok(isWithin(['0.0.0.0/0'], '192.0.2.9'))
  t.notOk(isWithin(['0.0.0.0/0'], '::1'))
})
