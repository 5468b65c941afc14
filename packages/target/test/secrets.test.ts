import t, { type Test } from 'tap'
import { Secrets } from '../src/secrets.ts'
import { parseState, StateStore } from '../src/state.ts'
import { stateDirectory } from './support/state-directory.ts'

const host = 'iqn.2024-01.org.example:host'
const other = 'iqn.2024-01.org.example:other'
const one = { host, user: null, secret: 'secret of host', mutual: false }
const back = { host, user: null, secret: 'secret of target', mutual: true }

async function start(t: Test) {
  const directory = await stateDirectory(t)
  const store = await StateStore.open(directory)
  const reopen = async () => new Secrets(await StateStore.open(directory))
  return { secrets: new Secrets(store), store, reopen }
}

t.test('secrets are kept, and found by the name of the host', async (t) => {
  const { secrets, reopen, store } = await start(t)
  t.equal(secrets.credentialsOf(host), undefined)
  await secrets.set(one)
  t.same(secrets.credentialsOf(host), {
    host: { user: host, secret: Buffer.from('secret of host') },
    target: undefined,
  })
  await secrets.set(back)
  await secrets.set({ host: '*', user: 'all', secret: 'secret of all', mutual: false })
  const again = await reopen()
  t.same(again.credentialsOf(host)?.target, {
    user: store.current.targetName,
    secret: Buffer.from('secret of target'),
  })
  t.match(again.credentialsOf(other), { host: { user: 'all' }, target: undefined })
  await again.delete(host.toUpperCase())
  t.match(again.credentialsOf(host), { host: { user: 'all' } })
})

t.test('a secret is replaced, and the other direction stays', async (t) => {
  const { secrets } = await start(t)
  await secrets.set(one)
  await secrets.set(back)
  await secrets.set({ ...one, user: 'u', secret: 'a newer secret' })
  const credentials = secrets.credentialsOf(host)
  t.match(credentials?.host, { user: 'u', secret: Buffer.from('a newer secret') })
  t.match(credentials?.target, { secret: Buffer.from('secret of target') })
  t.same(secrets.list(), [{ host, user: 'u', mutual: true, sharedWith: [] }])
})

t.test('what makes no sense is refused, without a word of the secret', async (t) => {
  const { secrets } = await start(t)
  const refuses = async (wish: object, message: RegExp) => {
    const error = await secrets.set({ ...one, ...wish }).catch((error: Error) => error)
    t.match(error, { message })
    t.notMatch((error as Error).message, /secret of/)
  }
  await refuses({ mutual: true }, /no secret yet/)
  await secrets.set(one)
  await refuses({ mutual: true }, /both directions have the same secret/)
  await secrets.set(back)
  await refuses({ secret: back.secret }, /both directions have the same secret/)
  await refuses({ secret: 'short' }, /12 to 255 bytes; this one has 5/)
  await refuses({ secret: 'x'.repeat(256) }, /this one has 256/)
  await refuses({ host: 'host' }, /wanted an iSCSI name/)
  await t.rejects(secrets.delete(other), { code: 'not-found' })
})

t.test('what one host authenticates with is not what the server shows to another', async (t) => {
  const { secrets } = await start(t)
  await secrets.set(one)
  await secrets.set(back)
  await secrets.set({ ...one, host: other, secret: 'secret of other' })
  const same = { message: `${host} has the same secret in the other direction` }
  await t.rejects(secrets.set({ ...one, host: other, secret: back.secret }), same)
  await t.rejects(secrets.set({ ...back, host: other, secret: one.secret }), same)
  await t.rejects(secrets.set({ ...one, host: '*', secret: back.secret }), same)
})

t.test('that two hosts have the same secret is told, of either direction', async (t) => {
  const { secrets } = await start(t)
  await secrets.set(one)
  t.same((await secrets.set({ ...one, host: other })).sharedWith, [host])
  t.same((await secrets.set({ ...one, host: other, secret: 'secret of other' })).sharedWith, [])
  await secrets.set(back)
  t.same((await secrets.set({ ...back, host: other })).sharedWith, [host])
  t.same(
    secrets.list().map(({ sharedWith }) => sharedWith),
    [[other], [host]],
  )
})

t.test('an error of the state file tells no secrets', async (t) => {
  const state = {
    version: 1,
    targetName: 'iqn.2026-11.org.platter:test',
    targetPortalGroupTag: 1,
    disks: [],
    grants: [],
  }
  for (const secrets of [
    { host, user: null, secret: 'hidden' },
    ['hidden'],
    [{ host, user: null, secret: ['hidden'] }],
    [{ host, user: null, secret: 'x', target: 'hidden' }],
  ]) {
    const parse = () => parseState(JSON.stringify({ ...state, secrets }), 'state.json')
    t.throws(parse, /secrets.*got something else/)
    t.throws(parse, { message: /^(?!.*hidden)/ })
  }
})
