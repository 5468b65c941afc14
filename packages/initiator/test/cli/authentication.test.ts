import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { type AuthenticationFlags, readAuthentication } from '../../src/cli/authentication.ts'
import { CliFailure } from '../../src/cli/io.ts'
import { run } from '../../src/cli.ts'
import { RecordingIo } from '../support/cli-io.ts'

const secret = 'a secret of mine'
const other = 'a secret of theirs'

const read = (flags: Partial<AuthenticationFlags>, input?: string) =>
  readAuthentication(new RecordingIo(input), {
    initiatorName: 'iqn.2026-11.org.example:a',
    ...flags,
  })

t.test(
  'secrets come from files that only their owner may use, or from standard input',
  async (t) => {
    const directory = t.testdir({
      own: `${secret}\nnot this\n`,
      theirs: other,
      short: 'too short\n',
    })
    const file = (name: string) => path.join(directory, name)
    for (const name of ['own', 'theirs', 'short']) chmodSync(file(name), 0o600)
    t.match(
      await read({ secretFile: file('own'), chapUser: 'me', targetSecretFile: file('theirs') }),
      {
        host: { user: 'me', secret: Buffer.from(secret) },
        target: { user: undefined, secret: Buffer.from(other) },
      },
    )
    t.match(await read({ secretFile: '-' }, `${secret}\r\n`), {
      host: { secret: Buffer.from(secret) },
    })
    await t.rejects(read({ secretFile: file('short') }), /12 to 255 bytes; that in .* has 9/)
    await t.rejects(read({ secretFile: file('none') }), /--secret-file: ENOENT/)
    for (const mode of [0o640, 0o604, 0o620]) {
      chmodSync(file('own'), mode)
      const message = `--secret-file: others may use ${file('own')} (mode 0${mode.toString(8)}): chmod 600`
      await t.rejects(read({ secretFile: file('own') }), { message: `${message} ${file('own')}` })
    }
  },
)

t.test("a file of another user's is not taken", { skip: process.getuid?.() !== 0 }, async (t) => {
  const file = path.join(t.testdir({ own: secret }), 'own')
  chmodSync(file, 0o600)
  chownSync(file, 12345, 12345)
  await t.rejects(read({ secretFile: file }), /belongs to another user \(uid 12345\)/)
})

t.test('flags that do not go together are refused, and no secret is told', async (t) => {
  const directory = t.testdir()
  const own = path.join(directory, 'own')
  const same = path.join(directory, 'same')
  for (const file of [own, same]) writeFileSync(file, secret, { mode: 0o600 })
  const cases: [string[], number, RegExp][] = [
    [['--min-auth', 'chap'], 2, /chap takes a secret, and there is none/],
    [['--min-auth', 'chap-mutual', '--secret-file', own], 2, /takes a secret of the target/],
    [
      ['--secret-file', own, '--target-secret-file', same],
      2,
      /both directions have the same secret/,
    ],
    [['--target-secret-file', own], 2, /the own secret is missing/],
    [['--secret-file', '-', '--target-secret-file', '-'], 2, /standard input has the own secret/],
    [['--chap-user', 'me'], 2, /--chap-user takes --secret-file/],
    [['--secret-file', own, '--target-user', 'it'], 2, /--target-user takes --target-secret-file/],
    [['--min-auth', 'most'], 2, /Allowed choices are none, chap, chap-mutual/],
    [['--chap-algorithms', 'sha256,md4'], 2, /wanted some of sha3-256,sha256,sha1,md5/],
    [['--secret-file', path.join(directory, 'none')], 1, /ENOENT/],
  ]
  for (const [flags, code, message] of cases) {
    const outside = new RecordingIo(secret)
    t.equal(await run(['discover', '127.0.0.1', ...flags], outside), code, flags.join(' '))
    t.match(outside.stderr, message)
    t.notMatch(outside.stdout + outside.stderr, secret)
  }
  await t.rejects(read({ secretFile: '-' }, ''), CliFailure)
})
