import t, { type Test } from 'tap'
import { Hosts } from '../src/hosts.ts'
import { StateStore } from '../src/state.ts'
import { stateDirectory } from './support/state-directory.ts'

const name = 'iqn.2024-01.org.example:host'
const other = 'iqn.2024-01.org.example:other'

async function start(t: Test) {
  const directory = await stateDirectory(t)
  const open = async () =>
    new Hosts(await StateStore.open(directory), {
      maxConnections: 8,
      maxSessions: 4,
      dataPorts: 'fixed',
    })
  return { hosts: await open(), reopen: open }
}

t.test('what is set for a host is kept, and is for no other', async (t) => {
  const { hosts, reopen } = await start(t)
  t.same([hosts.maxConnections(name), hosts.isKnown(name)], [8, false])
  await hosts.create({ name: name.toUpperCase(), maxConnections: 2 })
  await hosts.set(name, { networks: ['192.0.2.0/24', '2001:DB8::1'] })
  await hosts.set(name, { maxConnections: 3 })
  const again = await reopen()
  const networks = ['192.0.2.0/24', '2001:db8::1/128']
  t.same(again.list(), [{ name, maxConnections: 3, networks }], 'once, in its normal form')
  t.same([again.maxConnections(name), again.maxConnections(other)], [3, 8])
  t.same([again.isKnown(name), again.isKnown(other)], [true, false])
  await again.set(name, { maxSessions: 2 })
  t.same([again.maxSessions(name), again.maxSessions(other)], [2, 4])
  await again.set(name, { dataPorts: 'dynamic' })
  t.same([again.hasDynamicPorts(name), again.hasDynamicPorts(other)], [true, false])
  t.ok(again.mayComeFrom(name, '192.0.2.9'))
  t.notOk(again.mayComeFrom(name, '192.0.3.9'))
  t.ok(again.mayComeFrom(other, '192.0.3.9'))
  await again.set(name, { networks: [] })
  t.ok(again.mayComeFrom(name, '192.0.3.9'))
  await again.delete(name.toUpperCase())
  t.equal((await reopen()).maxConnections(name), 8)
})

t.test('what makes no sense is refused', async (t) => {
  const { hosts } = await start(t)
  for (const wrong of ['host', '*']) {
    await t.rejects(hosts.create({ name: wrong }), { code: 'invalid-request', message: wrong })
  }
  const create = { name, networks: ['192.0.2.0/33'] }
  await t.rejects(hosts.create(create), {
    code: 'invalid-request',
    message: /got 192\.0\.2\.0\/33/,
  })
  await t.rejects(hosts.set(name, {}), { code: 'not-found', message: /host create iqn/ })
  await t.rejects(hosts.delete(name), { code: 'not-found', message: name })
  t.same(hosts.list(), [])
  await hosts.create({ name })
  await t.rejects(hosts.create({ name }), { code: 'already-exists', message: name })
})

t.test('of what a host must show the last that was said counts', async (t) => {
  const { hosts, reopen } = await start(t)
  await hosts.create({ name, minAuth: 'chap-mutual', maxConnections: 2 })
  await hosts.set(name, { maxConnections: 3 })
  t.match(hosts.authenticationOf(name), { minAuth: 'chap-mutual', allowUnauthenticated: undefined })
  await hosts.set(name, { allowUnauthenticated: true })
  t.same((await reopen()).list(), [{ name, maxConnections: 3, allowUnauthenticated: true }])
  await hosts.set(name, { minAuth: 'chap' })
  t.same(hosts.list(), [{ name, maxConnections: 3, minAuth: 'chap' }])
  const both = { minAuth: 'chap', allowUnauthenticated: true } as const
  await t.rejects(hosts.set(name, both), { code: 'invalid-request', message: /contradict/ })
  await hosts.set(name, { minAuth: 'none' })
  t.same(hosts.list(), [{ name, maxConnections: 3 }])
  t.same(hosts.authenticationOf(other), {})
})
