/** Authentication by CHAP: with libiscsi, and at the wire what libiscsi does not do. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { askAdmin } from '../lib/admin-api.ts'
import {
  AuthenticatingTarget,
  longUser,
  mutual,
  oneWay,
  own,
} from '../lib/authenticating-target.ts'
import { asks, base64, type Challenge, ChapWire, hash, hex } from '../lib/chap-wire.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run, runOk } from '../lib/command.ts'
import { LoginWire, type Pairs, toFullFeature } from '../lib/login-wire.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(180_000)
const needs = requires('clients')
const target = await AuthenticatingTarget.start()
const { targetName } = target
const { port, portal } = target.process

/** A file with the secret of `oneWay`. */
function secretFile(mode = 0o600): string {
  const file = join(temporaryDirectory(), 'secret')
  writeFileSync(file, `${oneWay.secret}\n`, { mode })
  return file
}

/** An iscsi:// URL for the LUN. */
const lunUrl = (login: string, query = '') =>
  `iscsi://${login}${portal}/${targetName}/${target.lun}${query}`

const inquire = (host: { initiatorName: string }, url: string) =>
  run('iscsi-inq', ['-i', host.initiatorName, url])

t.test('libiscsi gets in with the right secret, and with no other', needs, async (t) => {
  const right = await inquire(oneWay, lunUrl(`${oneWay.user}%${oneWay.secret}@`))
  t.match(right.stdout, /DIRECT_ACCESS/, right.stderr)
  const wrong = await inquire(oneWay, lunUrl(`${oneWay.user}%not the secret@`))
  t.match([wrong.status === 0, wrong.stderr], [false, /Authentication failure/i])
  const none = await inquire(oneWay, lunUrl(''))
  t.match([none.status === 0, none.stderr], [false, /Authentication failure/i])
  const noSecret = { initiatorName: 'iqn.2026-11.org.platter:free' }
  t.match((await inquire(noSecret, lunUrl(''))).stdout, /DIRECT_ACCESS/, 'who has none needs none')
})

t.test('libiscsi and the server authenticate to each other', needs, async (t) => {
  const login = `${mutual.user}%${mutual.secret}@`
  const query = (secret: string) => `?target_user=${own.user}&target_password=${secret}`
  const both = await inquire(mutual, lunUrl(login, query(own.secret)))
  t.match(both.stdout, /DIRECT_ACCESS/, both.stderr)
  const wrong = await inquire(mutual, lunUrl(login, query('not its secret')))
  t.not(wrong.status, 0, 'the host does not believe another secret')
  t.not((await inquire(mutual, lunUrl(login))).status, 0, 'it must ask who the server is')
})

t.test('discovery wants the secret too', needs, async (t) => {
  const list = (login: string) =>
    run('iscsi-ls', ['-i', oneWay.initiatorName, `iscsi://${login}${portal}`])
  const listed = await runOk('iscsi-ls', [
    ...['-i', oneWay.initiatorName],
    `iscsi://${oneWay.user}%${oneWay.secret}@${portal}`,
  ])
  t.match(listed, targetName)
  for (const login of ['', `${oneWay.user}%not the secret@`]) {
    const refused = await list(login)
    t.notMatch(`${refused.stdout}${refused.stderr}`, targetName)
  }
})

t.test('qemu gets in with the right secret, and with no other', needs, async (t) => {
  const info = (secret: string) => {
    const initiator = `driver=iscsi,transport=tcp,portal=${portal},target=${targetName}`
    const host = `initiator-name=${oneWay.initiatorName},user=${oneWay.user}`
    const options = `${initiator},lun=${target.lun},${host},password-secret=chap`
    const given = ['--object', `secret,id=chap,data=${secret}`]
    return run('qemu-img', ['info', ...given, '--image-opts', options])
  }
  const right = await info(oneWay.secret)
  t.match(right.stdout, /virtual size: 8 MiB/, right.stderr)
  const wrong = await info('not the secret')
  t.match([wrong.status === 0, wrong.stderr], [false, /Authentication failure/i])
})

t.test('a server that asks for more than MD5 turns libiscsi away', needs, async (t) => {
  const strong = await TargetProcess.start(temporaryDirectory(), [
    ...['--min-auth', 'chap', '--chap-algorithms', 'sha3-256,sha256'],
  ])
  const set = await strong.try('secret', 'set', oneWay.initiatorName, '--file', secretFile())
  t.equal(set.status, 0, set.stderr)
  // Debian's libiscsi 1.19 offers MD5 alone.
  const url = `iscsi://${oneWay.user}%${oneWay.secret}@${strong.portal}`
  const listed = await run('iscsi-ls', ['-i', oneWay.initiatorName, url])
  t.match(listed.stderr + listed.stdout, /Authentication failure/i)
  const chap = await ChapWire.open(strong.port, oneWay, await strong.targetName())
  t.match(await chap.respond(await chap.challenge('5,7')), { status: 0, transit: true })
  chap.close()
  await strong.stop()
})

t.test('each algorithm, each way, in hex and in base64', async (t) => {
  for (const algorithm of ['5', '6', '7', '8']) {
    for (const write of [hex, base64]) {
      const chap = await ChapWire.open(port, mutual, targetName)
      const challenge = await chap.challenge(algorithm)
      t.equal(challenge.algorithm, algorithm)
      const asked: Challenge = { algorithm, identifier: 7, bytes: Buffer.alloc(24, algorithm) }
      const answer = await chap.leave([
        ['CHAP_N', mutual.user],
        ['CHAP_R', write(hash(challenge, mutual.secret))],
        ...asks(7, write(asked.bytes)),
      ])
      t.match(answer, { status: 0, transit: true, nextStage: 1, keys: { CHAP_N: own.user } })
      t.equal(answer.keys.CHAP_R, hex(hash(asked, own.secret)))
      t.match(await chap.wire.ask(toFullFeature), { status: 0, transit: true })
      chap.close()
    }
  }
})

t.test('of several algorithms the first of the host is taken', async (t) => {
  for (const [offer, taken] of [
    ['7,5', '7'],
    ['99,8,5', '8'],
  ] as const) {
    const chap = await ChapWire.open(port, oneWay, targetName)
    t.equal((await chap.challenge(offer)).algorithm, taken)
    chap.close()
  }
})

t.test('who is not known, and who has another secret, is told the same', async (t) => {
  const unknown = { ...oneWay, initiatorName: 'iqn.2026-11.org.platter:nobody' }
  for (const host of [unknown, { ...oneWay, secret: longUser.secret }]) {
    const chap = await ChapWire.open(port, host, targetName)
    const answer = await chap.respond(await chap.challenge())
    t.match(answer, { status: 0x0201, transit: false, keys: {} })
    t.ok(await chap.wire.connection.isClosedWithin(10_000))
  }
})

t.test('nobody gets around it, or learns whether a target is here', async (t) => {
  const names = (name: string) =>
    [
      ['InitiatorName', oneWay.initiatorName],
      ['TargetName', name],
    ] as const
  for (const name of [targetName, `${targetName}x`]) {
    const operational = await LoginWire.open(port)
    t.equal((await operational.ask(toFullFeature, names(name))).status, 0x0201)
    const none = await LoginWire.open(port)
    const straight = { currentStage: 0, transit: true, nextStage: 3 }
    t.equal((await none.ask(straight, [...names(name), ['AuthMethod', 'None']])).status, 0x0201)
    const silent = await LoginWire.open(port)
    t.equal((await silent.ask(straight, names(name))).status, 0x0201)
  }
  const early = await ChapWire.open(port, oneWay, targetName)
  t.match(await early.leave([]), { status: 0, transit: false }, 'the stage does not end before')
  early.close()
  const wrong = await ChapWire.open(port, oneWay, `${targetName}x`)
  t.equal((await wrong.respond(await wrong.challenge())).status, 0x0203, 'but who is known does')
})

const discovery = ['SessionType', 'Discovery'] as const

/** A login that shows nothing, in one request, from the security stage. Without a target name, for discovery. */
async function enterWithNone(server: TargetProcess, initiatorName: string, name?: string) {
  const wire = await LoginWire.open(server.port, 9)
  const wanted = name === undefined ? discovery : (['TargetName', name] as const)
  const pairs: Pairs = [['InitiatorName', initiatorName], wanted, ['AuthMethod', 'None']]
  const answer = await wire.ask({ currentStage: 0, transit: true, nextStage: 3 }, pairs)
  return { wire, answer }
}

/** Neither to a session nor to discovery: it is told that None will not do, and the connection is closed. */
async function mustAuthenticate(
  t: Test,
  server: TargetProcess,
  initiatorName: string,
  targetName: string,
) {
  for (const name of [targetName, undefined]) {
    const { wire, answer } = await enterWithNone(server, initiatorName, name)
    t.match(answer, { status: 0x0201, transit: false, tsih: 0 })
    t.same(answer.keys, { AuthMethod: 'Reject' })
    t.ok(await wire.connection.isClosedWithin(10_000))
  }
  const { body } = await askAdmin(server.stateDirectory, 'GET', '/api/v1/sessions')
  const sessions = body as { initiatorName: string }[]
  t.notOk(sessions.some((it) => it.initiatorName === initiatorName))
}

t.test('a floor of one host is higher than that of the server', async (t) => {
  const free = 'iqn.2026-11.org.platter:free'
  await target.process.command('host', 'create', free)
  const open = await enterWithNone(target.process, free, targetName)
  t.equal(open.answer.status, 0, 'the server itself asks for nothing')
  await target.process.command('host', 'set', free, '--min-auth', 'chap')
  open.wire.close()
  await target.process.command('host', 'create', oneWay.initiatorName, '--min-auth', 'chap-mutual')
  const oneSided = await ChapWire.open(port, oneWay, targetName)
  const refused = await oneSided.respond(await oneSided.challenge())
  t.match(refused, { status: 0x0201, transit: false, tsih: 0 }, 'one secret is not enough')
  t.ok(await oneSided.wire.connection.isClosedWithin(10_000))
  await mustAuthenticate(t, target.process, free, targetName)
  const other = await enterWithNone(target.process, 'iqn.2026-11.org.platter:other', targetName)
  t.equal(other.answer.status, 0, "it is that host's alone")
  other.wire.close()
  for (const host of [free, oneWay.initiatorName]) {
    await target.process.command('host', 'delete', host, '--yes')
  }
  const again = await ChapWire.open(port, oneWay, targetName)
  t.match(await again.respond(await again.challenge()), { status: 0, transit: true })
  again.close()
})

t.test('one host need not authenticate where all others must', async (t) => {
  const strict = await TargetProcess.start(temporaryDirectory(), ['--min-auth', 'chap'])
  const name = await strict.targetName()
  const [lab, other] = ['lab', 'other'].map((it) => `iqn.2026-11.org.platter:${it}`) as [
    string,
    string,
  ]
  await strict.command('host', 'create', lab, '--allow-unauthenticated')
  await strict.command('host', 'create', other, '--min-auth', 'none')
  for (const wanted of [name, undefined]) {
    const { wire, answer } = await enterWithNone(strict, lab, wanted)
    t.match(answer, { status: 0, transit: true, nextStage: 3 })
    wire.close()
  }
  await mustAuthenticate(t, strict, other, name)
  await mustAuthenticate(t, strict, 'iqn.2026-11.org.platter:unknown', name)
  const secret = await strict.try('secret', 'set', lab, '--file', secretFile())
  t.equal(secret.status, 0, secret.stderr)
  await mustAuthenticate(t, strict, lab, name)
  const chap = await ChapWire.open(strict.port, { ...oneWay, initiatorName: lab, user: lab }, name)
  t.match(
    await chap.respond(await chap.challenge()),
    { status: 0, transit: true },
    'its own counts',
  )
  chap.close()
  t.equal(await strict.stop(), 0)
})

t.test('who fails again and again is slowed down, and seen; it can still get in', async (t) => {
  const slow = await TargetProcess.start(temporaryDirectory(), [
    ...['--slow-logins-after', '3', '--min-auth', 'chap', '--json-log', '--log-level', 'debug'],
  ])
  const one = await slow.try('secret', 'set', oneWay.initiatorName, '--file', secretFile())
  t.equal(one.status, 0, one.stderr)
  const name = await slow.targetName()
  for (let count = 1; count <= 4; count++) {
    const chap = await ChapWire.open(slow.port, { ...oneWay, secret: 'not the secret' }, name)
    t.equal((await chap.respond(await chap.challenge())).status, 0x0201)
  }
  const [seen] = await slow.command<{ address: string; count: number }[]>('session', 'failures')
  t.match(seen, { address: '127.0.0.1', count: 4, slowedDown: true, detail: /CHAP_N and CHAP_R/ })
  t.match(slow.log, /"warn".*failure 3 of this address, whose logins are slowed down/)
  const right = await ChapWire.open(slow.port, oneWay, name)
  t.match(await right.respond(await right.challenge()), { status: 0, transit: true })
  right.close()
  await slow.stop()
  t.notMatch(slow.log, /secret/, 'nor does the log in JSON, at its most talkative, have a secret')
})

t.test('secrets outlive a restart, and are in no log', async (t) => {
  const { log } = target.process
  t.match(log, /CHAP_N and CHAP_R are not those of this host/)
  t.notMatch(log, /secret of/)
  t.equal(await target.process.stop(), 0)
  await target.process.serve()
  const chap = await ChapWire.open(port, oneWay, targetName)
  t.match(await chap.respond(await chap.challenge()), { status: 0, transit: true })
  chap.close()
})
