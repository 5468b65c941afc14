import { stat } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { platterd, serve } from './support/served-cli.ts'
import { stateDirectory } from './support/state-directory.ts'

t.test('a partition is made, grown, kept over a restart, and deleted', async (t) => {
  const directory = await stateDirectory(t)
  const first = await serve(t, directory)
  t.match(first.announced, /^platterd \d.* serves iqn\.2026-11\.org\.platter:/)
  t.match(first.announced, /portal +127\.0\.0\.1:\d+\n/)
  const d0 = path.join(directory, 'd0')
  t.equal(
    await first.text('disk', 'create', 'd0', '--size', '8M'),
    `disk ${d0} created, 8 MiB (8388608)\n`,
  )
  t.equal((await stat(d0)).size, 8388608)
  await first.text('disk', 'create', 'd1', '--size', '8M')
  t.match(
    await first.text('array', 'create', 'r0', '--chunk', '64K', 'd0', 'd1'),
    /array r0 created/,
  )
  t.equal(
    await first.text('partition', 'create', 'r0/data', '--size', '1M', '--host', '*'),
    'partition r0/data, 1 MiB (1048576), granted to all hosts as LUN 0, created\n',
  )
  t.match(await first.json('partition', 'create', 'r0/more', '--size', '2M'), {
    array: 'r0',
    name: 'more',
    sizeBytes: 2097152,
    grants: [],
  })
  t.match(await first.json('partition', 'grow', 'r0/data', '--size', '3M'), { sizeBytes: 3145728 })
  const before = await first.json('partition', 'list')
  t.equal(await first.stop(), 0)

  const second = await serve(t, directory)
  t.same(await second.json('partition', 'list'), before)
  t.match(
    second.announced,
    /partition +r0\/data +3 MiB \(3145728\)\n +for \*: iscsi:\/\/127\.0\.0\.1:\d+\/iqn.*\/0\n/,
  )
  t.match(await second.json('status'), {
    diskCount: 2,
    arrayCount: 1,
    partitionCount: 2,
    sessionCount: 0,
    problems: [],
    stateDirectory: directory,
  })
  t.same(await second.json('session', 'list'), [])
  const key = ['partition', 'delete', 'r0/data']
  t.match(await second.fails(...key), { code: 2, err: /add --yes/ })
  t.equal(await second.text(...key, '--yes'), 'partition r0/data deleted\n')
  t.match(await second.fails('array', 'delete', 'r0', '--yes'), { code: 1, err: /has partitions/ })
  t.equal(await second.json('partition', 'delete', 'r0/more', '--yes'), null)
  await second.text('array', 'delete', 'r0', '--yes')
  await second.text('disk', 'remove', 'd1')
  t.match(await second.json('disk', 'list'), [{ path: d0, state: 'free', array: null }])
  t.match(await second.text('disk', 'add', 'd1'), /added, 8 MiB \(8388608\), free/)
})

t.test('tables are for people', async (t) => {
  const it = await serve(t, await stateDirectory(t))
  t.match(await it.text('disk', 'list'), /^no disks; make one with/)
  t.match(await it.text('array', 'list'), /^no arrays/)
  t.match(await it.text('partition', 'list'), /^no partitions/)
  t.equal(await it.text('session', 'list'), 'nobody is logged in\n')
  await it.text('disk', 'create', 'd0', '--size', '8M')
  await it.text('array', 'create', 'a', 'd0')
  await it.text('partition', 'create', 'a/p', '--size', '64K')
  const d0 = path.join(it.directory, 'd0')
  t.equal(
    await it.text('disk', 'list'),
    `DISK${' '.repeat(d0.length - 4)}  SIZE             STATE\n${d0}  8 MiB (8388608)  member of a\n`,
  )
  t.match(
    await it.text('array', 'list'),
    /^ARRAY {2}LEVEL {2}CHUNK .*\na {6}raid0 {2}64 KiB \(65536\)/,
  )
  t.match(
    await it.text('partition', 'list'),
    /^PARTITION {2}SIZE .*GRANTED TO.*\na\/p {8}64 KiB \(65536\) .*nobody/,
  )
  t.match(await it.text('status'), /portals {5}127\.0\.0\.1:\d+\n/)
})

t.test('a host is made known, set up, and forgotten', async (t) => {
  const it = await serve(t, await stateDirectory(t))
  const name = 'iqn.2024-01.org.example:host'
  t.match(await it.text('host', 'list'), /^no hosts; make one known with: platterd host create/)
  const from = ['--network', '192.0.2.0/24', '--network', '2001:db8::1']
  t.equal(
    await it.text('host', 'create', name, '--max-connections', '2', ...from),
    `host ${name} created: max connections: 2, max sessions: default, data ports: default, authentication: default, networks: 192.0.2.0/24, 2001:db8::1/128\n`,
  )
  t.match(
    await it.text('host', 'list'),
    /^HOST +MAX CONNECTIONS +MAX SESSIONS +DATA PORTS +AUTHENTICATION +NETWORKS\niqn.* 2 +default +default +default +192\.0\.2/,
  )
  const one = ['--max-connections', '1']
  const set = ['host', 'set', name, ...one, '--any-network']
  t.same(await it.json(...set), { name, maxConnections: 1 })
  t.match(await it.fails('host', 'create', name), { code: 1, err: /is known already/ })
  t.match(await it.fails('host', 'set', `${name}2`, ...one), { code: 1, err: /is not known/ })
  t.match(await it.fails('host', 'create', 'x.host', ...one), { code: 1, err: /name: got/ })
  t.match(await it.fails('host', 'set', name, '--max-connections', '0'), { code: 2 })
  t.match(await it.fails('host', 'delete', name), { code: 2, err: /add --yes/ })
  t.equal(await it.json('host', 'delete', name, '--yes'), null)
  t.match(await it.fails('host', 'delete', name, '--yes'), { code: 1, err: /is not known/ })
  t.equal(await it.text('session', 'end', name), '0 sessions were asked to log out\n')
})

t.test('partitions are granted, shared and taken away', async (t) => {
  const it = await serve(t, await stateDirectory(t))
  const [a, b] = ['a', 'b'].map((name) => `iqn.2024-01.org.example:${name}`) as [string, string]
  t.match(await it.text('grant', 'list'), /^nothing is granted; do so with: platterd grant create/)
  await it.text('disk', 'create', 'd0', '--size', '8M')
  await it.text('array', 'create', 'r', 'd0')
  const create = ['partition', 'create', 'r/p', '--size', '1M', '--host', a]
  t.match(await it.fails(...create), { code: 1, err: /is not known; make it with/ })
  t.same(await it.json('partition', 'list'), [], 'what cannot be granted is not made')
  for (const name of [a, b]) await it.text('host', 'create', name)
  t.match(await it.json(...create), { grants: [{ host: a, lun: 0, sharing: 'exclusive' }] })
  const forB = ['r/p', '--host', b]
  const second = ['grant', 'create', ...forB, '--shared', '--read-only', '--lun', '7']
  t.match(await it.fails(...second), { code: 1, err: /grant set r\/p --host iqn.*:a --shared/ })
  t.equal(
    await it.text('grant', 'set', 'r/p', '--host', a, '--shared'),
    `r/p is LUN 0 for ${a}, read-write, shared\n`,
  )
  t.equal(await it.text(...second), `r/p is LUN 7 for ${b}, read-only, shared\n`)
  t.match(
    await it.text('grant', 'list'),
    /^PARTITION +HOST +LUN +ACCESS +SHARING\nr\/p .*:a +0 +read-write +shared\nr\/p .*:b +7 +read-only/,
  )
  t.match(await it.text('partition', 'list'), /:a as LUN 0, iqn.*:b as LUN 7 read-only/)
  t.match(await it.json('grant', 'set', ...forB, '--read-write'), { access: 'read-write' })
  t.match(await it.text('grant', 'delete', ...forB), /is not granted to iqn.*:b any more/)
  t.match(await it.fails('grant', 'delete', ...forB), { code: 1, err: /is not granted to/ })
  t.match(await it.fails(...second, '--lun', '16384'), { code: 2, err: /wanted 0 to 16383/ })
})

t.test('hosts are sent elsewhere, and no longer', async (t) => {
  const it = await serve(t, await stateDirectory(t))
  t.equal(await it.text('redirect', 'list'), 'nobody is sent elsewhere\n')
  t.equal(
    await it.text('redirect', 'create', '192.0.2.7'),
    'every host will be sent to 192.0.2.7:3260\n',
  )
  const host = ['--host', 'iqn.2024-01.org.example:host']
  t.same(await it.json('redirect', 'create', 'san.example:99', ...host, '--permanent'), {
    host: host[1],
    address: 'san.example:99',
    permanent: true,
  })
  t.match(await it.text('redirect', 'list'), /^HOST .*\n\* .*temporarily\niqn.* permanently\n$/)
  t.match(await it.fails('redirect', 'create', '192.0.2.8', ...host), {
    code: 1,
    err: /a redirect of iqn.* already/,
  })
  t.match(await it.text('redirect', 'delete', ...host), /no longer be sent away/)
  t.equal(await it.json('redirect', 'delete'), null)
  t.equal(await it.text('redirect', 'list'), 'nobody is sent elsewhere\n')
})

t.test('an error is told with its code, as JSON when asked for', async (t) => {
  const it = await serve(t, await stateDirectory(t))
  t.match(await it.fails('partition', 'create', 'r9/x', '--size', '1M'), {
    code: 1,
    out: '',
    err: 'platterd: there is no array r9\n',
  })
  const { code, out, err } = await it.fails('partition', 'delete', 'r9/x', '--yes', '--json')
  t.same([code, out], [1, ''])
  t.same(JSON.parse(err), { error: { code: 'not-found', message: 'there is no array r9' } })
  t.match(await it.fails('array', 'create', '../x', 'd0'), { code: 1, err: /name: got "\.\.\/x"/ })
})

t.test('what cannot be understood ends with 2, and says what was wanted', async (t) => {
  const misuses: [string[], RegExp][] = [
    [[], /Usage: platterd/],
    [['disk'], /Usage: platterd disk/],
    [['nonsense'], /unknown command/],
    [['disk', 'create', 'x'], /--size/],
    [['disk', 'create', 'x', '--size', '1X'], /wanted a number of bytes such as 512, 64K/],
    [['disk', 'create', 'x', '--size', '0'], /wanted whole bytes from 1/],
    [['array', 'create', 'r0', 'x', '--level', 'raid9'], /Allowed choices are raid0/],
    [['partition', 'create', 'r0', '--size', '1M'], /wanted ARRAY\/NAME/],
    [
      ['serve', '--portal', '127.0.0.1:99999'],
      /--portal: got 127\.0\.0\.1:99999, wanted HOST:PORT/,
    ],
    [
      ['serve', '--portal', '0.0.0.0:3260', '--min-auth', 'none'],
      /--min-auth none: refused for the portal 0\.0\.0\.0:3260.*--allow-unauthenticated/,
    ],
    [['serve', '--min-auth', 'some'], /Allowed choices are none, chap, chap-mutual/],
    [['serve', '--chap-algorithms', 'md4'], /got md4, wanted some of md5,sha1,sha256,sha3-256/],
    [['serve', '--log-level', 'loud'], /Allowed choices are error, warn, info, debug/],
  ]
  for (const [args, message] of misuses) {
    t.match(await platterd(args), { code: 2, out: '', err: message }, args.join(' '))
  }
})

t.test('help teaches, and ends with 0', async (t) => {
  const { code, out } = await platterd(['--help'])
  t.equal(code, 0)
  t.match(out, /platterd partition create r0\/data --size 15G --host '\*'/)
  t.match(out, /Exit codes: 0 done, 1 failed or refused, 2 .*, 3 no server/)
  t.match(await platterd(['array', 'create', '--help']), { code: 0, out: /--chunk <size>/ })
  t.match(await platterd(['partition', 'create', '--help']), {
    out: /--block-size <format>.*512e/s,
  })
  t.match(await platterd(['--version']), { code: 0, out: /^\d+\.\d+\.\d+/ })
})

t.test('without a server a command ends with 3 and says how to start one', async (t) => {
  const directory = await stateDirectory(t)
  t.match(await platterd(['status', '--state', directory]), {
    code: 3,
    err: `Start one with: platterd serve --state ${directory}`,
  })
  t.match(await platterd(['status'], { env: { PLATTER_STATE: directory } }), {
    code: 3,
    err: new RegExp(`no server answers on ${directory}/admin.sock`),
  })
})

t.test('a person is asked before something is deleted', async (t) => {
  const directory = await stateDirectory(t)
  const it = await serve(t, directory)
  await it.text('disk', 'create', 'd0', '--size', '8M')
  await it.text('array', 'create', 'a', 'd0')
  const questions: string[] = []
  const answering = (answer: boolean) => ({
    ask: async (question: string) => {
      questions.push(question)
      return answer
    },
  })
  const args = ['array', 'delete', 'a', '--state', directory]
  t.match(await platterd(args, answering(false)), { code: 1, err: /Nothing was changed/ })
  t.match(await it.json('array', 'list'), [{ name: 'a' }])
  t.match(await platterd(args, answering(true)), { code: 0 })
  t.same(await it.json('array', 'list'), [])
  t.same(questions, ['Delete array a?', 'Delete array a?'])
})

t.test('serve says why it cannot start, and leaves nothing behind', async (t) => {
  const directory = await stateDirectory(t)
  const it = await serve(t, directory, '--json', '--target-name', 'iqn.2026-11.org.example:one')
  const announced = JSON.parse(it.announced)
  t.match(announced, { targetName: 'iqn.2026-11.org.example:one', partitions: [] })
  const [portal] = announced.portals
  const other = await stateDirectory(t)
  const start = ['serve', '--state', other]
  t.match(await platterd([...start, '--portal', portal]), { code: 1, err: /EADDRINUSE/ })
  t.match(await platterd([...start, '--target-name', 'Not An IQN']), {
    code: 1,
    err: /targetName: got "Not An IQN", wanted an iSCSI name such as/,
  })
  t.match(await platterd([...start, '--socket', path.join(directory, 'admin.sock')]), {
    code: 1,
    err: /another server answers on/,
  })
  t.match(await platterd([...start, '--socket', `/${'x'.repeat(107)}`]), {
    code: 1,
    err: /108 bytes, at most 107/,
  })
  t.match(await platterd(['serve', '--state', directory]), {
    code: 1,
    err: /state directory .* is in use by this process/,
  })
  await it.stop()
  const again = await serve(t, other)
  t.equal(await again.stop(), 0, 'a failed start holds nothing')
})
