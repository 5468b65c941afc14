import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { platterd, serve } from '../support/served-cli.ts'
import { stateDirectory } from '../support/state-directory.ts'

t.test('a random secret of 128 bits is made, and shown once', async (t) => {
  const it = await serve(t, await stateDirectory(t))
  const host = 'iqn.2024-01.org.example:host'
  const generate = ['secret', 'set', host, '--generate'] as const
  const text = await it.text(...generate)
  const secret = /one way\nthe secret, which is not shown again: ([0-9a-f]{32})\n$/.exec(text)?.[1]
  t.not(secret, undefined, text)
  const state = await readFile(path.join(it.directory, 'state.json'), 'utf8')
  t.ok(state.includes(`"${secret}"`), 'it is the one that holds')
  const again = (await it.json(...generate)) as { secret: string }
  t.match(again, { host, mutual: false, secret: /^[0-9a-f]{32}$/ })
  t.not(again.secret, secret)
  t.match(await it.fails(...generate, '--file', 's'), { code: 2, err: /cannot be used with/ })
})

t.test('secrets are read from input or a file, and never shown', async (t) => {
  const it = await serve(t, await stateDirectory(t))
  const host = 'iqn.2024-01.org.example:host'
  t.equal(await it.text('secret', 'list'), 'nobody must authenticate\n')
  const state = ['--state', it.directory]
  const given = { cwd: it.directory, input: 'secret of host\nnot this\n' }
  const set = await platterd(['secret', 'set', host, ...state], given)
  t.same(set, { code: 0, out: `${host} must authenticate as its iSCSI name, one way\n`, err: '' })
  await writeFile(path.join(it.directory, 's'), 'secret of target\n', { mode: 0o600 })
  const mutual = ['secret', 'set', host, '--mutual', '--file', 's']
  t.match(await it.json(...mutual), { host, user: null, mutual: true })
  const all = ['secret', 'set', '*', '--user', 'u', ...state]
  t.equal((await platterd(all, { ...given, input: 'another secret' })).code, 0)
  const shown = `${await it.text('secret', 'list')}${JSON.stringify(await it.json('secret', 'list'))}`
  t.match(shown, /its iSCSI name +both ways/)
  t.notMatch(shown, /secret of|another/)
  const same = await platterd(['secret', 'set', `${host}2`, ...state], given)
  t.match(same, { code: 0, out: `\nwarning: ${host} has the same secret\n` })
  const short = await platterd(['secret', 'set', host, ...state], { ...given, input: 'tooshort' })
  t.match(short, { code: 1, err: /12 to 255 bytes; this one has 8/ })
  t.match(await it.fails('secret', 'set', host, '--file', 'absent'), { code: 1, err: /no absent/ })
  await chmod(path.join(it.directory, 's'), 0o640)
  t.match(await it.fails(...mutual), { code: 1, err: /others may use .*\(mode 0640\).*chmod 600/ })
  t.match(await it.fails('secret', 'delete', host), { code: 2, err: /add --yes/ })
  t.equal(await it.json('secret', 'delete', host, '--yes'), null)
  t.equal(await it.json('secret', 'delete', `${host}2`, '--yes'), null)
  t.match(await it.json('secret', 'list'), [{ host: '*', user: 'u', mutual: false }])
  t.equal((await stat(path.join(it.directory, 'state.json'))).mode & 0o777, 0o600)
})
