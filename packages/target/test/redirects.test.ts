import path from 'node:path'
import t, { type Test } from 'tap'
import { Redirects } from '../src/redirects.ts'
import { StateStore } from '../src/state.ts'
import { stateDirectory } from './support/state-directory.ts'

const host = 'iqn.2024-01.org.example:host'
const other = 'iqn.2024-01.org.example:other'

async function start(t: Test) {
  const directory = await stateDirectory(t)
  const open = async () =>
    new Redirects(await StateStore.open(directory), () => ['127.0.0.1:3260', '[::1]:3260'])
  return { redirects: await open(), reopen: open, file: path.join(directory, 'state.json') }
}

t.test('a redirect is kept, and found by the name of the host', async (t) => {
  const { redirects, reopen } = await start(t)
  t.same(redirects.list(), [])
  t.equal(redirects.of(host), undefined)
  const one = await redirects.create({ host, address: '192.0.2.7', permanent: false })
  t.same(one, { host, address: '192.0.2.7:3260', permanent: false }, 'the port is written out')
  const all = await redirects.create({ host: '*', address: '[2001:db8::7]:99', permanent: true })
  const again = await reopen()
  t.same(again.list(), [one, all])
  t.same(again.of(host), one, 'what names the host comes first')
  t.same(again.of(other), all)
  await again.delete('*')
  t.equal(again.of(other), undefined)
  t.same((await reopen()).list(), [one])
})

t.test('names are compared in their normal form', async (t) => {
  const { redirects } = await start(t)
  const upper = host.toUpperCase()
  await redirects.create({ host: upper, address: 'san2.example', permanent: false })
  t.match(redirects.of(host), { host, address: 'san2.example:3260' })
  await redirects.delete(upper)
  t.same(redirects.list(), [])
})

t.test('what makes no sense is refused, and changes nothing', async (t) => {
  const { redirects } = await start(t)
  await redirects.create({ host, address: '192.0.2.7', permanent: false })
  const before = redirects.list()
  const create = (host: string, address: string) =>
    redirects.create({ host, address, permanent: false })
  await t.rejects(create(host, '192.0.2.8'), { code: 'already-exists', message: host })
  await t.rejects(create('host', '192.0.2.8'), { code: 'invalid-request', message: 'got host' })
  for (const address of ['', 'a b', '192.0.2.8:3260,1', '192.0.2.8:70000', '::1']) {
    await t.rejects(create(other, address), { code: 'invalid-request', message: 'address' })
  }
  for (const address of ['127.0.0.1', '[::1]:3260']) {
    await t.rejects(create(other, address), { message: /this server itself/ })
  }
  await t.rejects(redirects.delete(other), { code: 'not-found', message: other })
  await t.rejects(redirects.delete('*'), { code: 'not-found', message: /all hosts/ })
  t.same(redirects.list(), before)
})
