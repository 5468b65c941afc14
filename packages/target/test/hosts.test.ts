import t, { type Test } from 'tap'
import { Hosts } from '../src/hosts.ts'
import { StateStore } from '../src/state.ts'
import { stateDirectory } from './support/state-directory.ts'

const name = 'iqn.2024-01.org.example:host'
const other = 'iqn.2024-01.org.example:other'

async function start(t: Test) {
  const directory = await stateDirectory(t)
  const open = async () => new Hosts(await StateStore.open(directory), 8)
  return { hosts: await open(), reopen: open }
}

t.test('what is set for a host is kept, and is for no other', async (t) => {
  const { hosts, reopen } = await start(t)
  t.equal(hosts.maxConnections(name), 8)
  await hosts.set({ name: name.toUpperCase(), maxConnections: 2 })
  await hosts.set({ name, maxConnections: 3 })
  const again = await reopen()
  t.same(again.list(), [{ name, maxConnections: 3 }], 'once, in its normal form')
  t.same([again.maxConnections(name), again.maxConnections(other)], [3, 8])
  await again.delete(name.toUpperCase())
  t.equal((await reopen()).maxConnections(name), 8)
})

t.test('what makes no sense is refused', async (t) => {
  const { hosts } = await start(t)
  await t.rejects(hosts.set({ name: 'host', maxConnections: 2 }), { code: 'invalid-request' })
  await t.rejects(hosts.set({ name: '*', maxConnections: 2 }), { code: 'invalid-request' })
  await t.rejects(hosts.delete(name), { code: 'not-found', message: name })
  t.same(hosts.list(), [])
})
