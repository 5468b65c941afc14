/** Our initiator authenticates, and has targets authenticate: platterd and tgtd. */
import { writeFileSync } from 'node:fs'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, discover, type HostAuthentication } from '@platter/initiator'
import t, { type Test } from 'tap'
import { AuthenticatingTarget, mutual, oneWay, own } from '../lib/authenticating-target.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run } from '../lib/command.ts'
import { requires } from '../lib/requires.ts'
import { platterScript } from '../lib/target-process.ts'
import { startTgtd } from '../lib/tgtd.ts'

t.teardown(cleanUp)
t.setTimeout(180_000)
const target = await AuthenticatingTarget.start()
const portal = { host: '127.0.0.1', port: target.process.port }

const show = ({ user, secret }: { user: string; secret: string }) => ({
  user,
  secret: Buffer.from(secret),
})
const oneHost: HostAuthentication = { host: show(oneWay) }
const bothHost: HostAuthentication = { host: show(mutual), target: show(own) }

/** Whether the login with these gets through, Normal and Discovery; or the error that both end with. */
async function logIn(initiatorName: string, authentication: HostAuthentication): Promise<unknown> {
  const options = { initiatorName, authentication }
  const found = await discover(portal, options).catch((error: Error) => error)
  const session = await connect(portal, target.targetName, options).catch((error: Error) => error)
  if (session instanceof Error) return session
  await session.close()
  if (found instanceof Error) return found
  return found.map(({ name }) => name)
}

async function isTurnedAway(
  t: Test,
  initiatorName: string,
  authentication: HostAuthentication,
  error: object,
): Promise<void> {
  t.match(await logIn(initiatorName, authentication), error)
}

t.test('our initiator gets in to platterd by each algorithm, one way and both ways', async (t) => {
  for (const algorithm of [5, 6, 7, 8] as const) {
    const chapAlgorithms = [algorithm]
    t.strictSame(await logIn(oneWay.initiatorName, { ...oneHost, chapAlgorithms }), [
      target.targetName,
    ])
    t.strictSame(await logIn(mutual.initiatorName, { ...bothHost, chapAlgorithms }), [
      target.targetName,
    ])
  }
})

t.test('our initiator is turned away by platterd with a wrong secret, or none', async (t) => {
  const refused = { name: 'LoginError', message: /0x0201/ }
  const wrong = { host: { ...show(oneWay), secret: Buffer.from('not the secret') } }
  await isTurnedAway(t, oneWay.initiatorName, wrong, refused)
  await isTurnedAway(t, oneWay.initiatorName, {}, refused)
  await isTurnedAway(t, mutual.initiatorName, { host: show(mutual) }, refused)
})

t.test('our initiator leaves a server that does not show who it is', async (t) => {
  const wrong = { ...show(own), secret: Buffer.from('not its secret') }
  for (const [host, shown] of [
    [mutual, wrong],
    [mutual, { ...show(own), user: 'another' }],
  ] as const) {
    const authentication = { host: show(host), target: shown }
    await isTurnedAway(t, host.initiatorName, authentication, { name: 'AuthenticationError' })
  }
  const open = { initiatorName: 'iqn.2026-11.org.platter:free' }
  t.type(await logIn(open.initiatorName, {}), Array, 'who has no secret here needs none')
  const authentication: HostAuthentication = { ...oneHost, floor: 'chap' }
  await isTurnedAway(t, open.initiatorName, authentication, { name: 'LoginError' })
})

t.test('platter takes its secrets from files, and tells them to nobody', async (t) => {
  const directory = temporaryDirectory()
  const file = (name: string, text: string, mode = 0o600) => {
    writeFileSync(join(directory, name), `${text}\n`, { mode })
    return join(directory, name)
  }
  const platter = (...flags: string[]) =>
    run(process.execPath, [
      ...[platterScript(), 'discover', target.process.portal, ...flags],
      ...['--initiator-name', mutual.initiatorName, '--chap-user', mutual.user],
    ])
  const secrets = [
    ...['--secret-file', file('mine', mutual.secret)],
    ...['--target-secret-file', file('theirs', own.secret), '--target-user', own.user],
  ]
  const found = await platter(...secrets, '--min-auth', 'chap-mutual', '--json')
  t.match(JSON.parse(found.stdout), [{ name: target.targetName }])
  const wrong = await platter(...secrets.with(3, file('wrong', 'not its secret')))
  t.match(wrong, { status: 1, stderr: /not to be trusted: its CHAP_N and CHAP_R are not those/ })
  const open = await platter(...secrets.with(1, file('open', mutual.secret, 0o644)))
  t.match(open, { status: 1, stderr: /others may use .* \(mode 0644\): chmod 600/ })
  for (const { stdout, stderr } of [found, wrong, open]) {
    t.notMatch(stdout + stderr, /secret of (both|the server)/)
  }
})

t.test('our initiator and tgtd authenticate to each other', requires('tgt', 'root'), async (t) => {
  const file = join(temporaryDirectory(), 'lun')
  await writeFile(file, '')
  await truncate(file, 2 ** 20)
  const server = await startTgtd([file], { incoming: mutual, outgoing: own })
  const endpoint = { host: '127.0.0.1', port: server.port }
  const enter = async (authentication: HostAuthentication) => {
    const options = { initiatorName: mutual.initiatorName, authentication }
    const session = await connect(endpoint, server.targetName, options)
    const sizes = session.devices.map(({ sizeBytes }) => sizeBytes)
    await session.close()
    return sizes
  }
  const md5 = { chapAlgorithms: [5] as const }
  t.strictSame(await enter({ ...md5, host: show(mutual) }), [2 ** 20], 'one way')
  t.strictSame(await enter({ ...md5, ...bothHost }), [2 ** 20], 'both ways')
  const wrong = Buffer.from('not the secret')
  await t.rejects(enter({ ...md5, host: { ...show(mutual), secret: wrong } }), {
    name: 'LoginError',
    message: /0x0201/,
  })
  await t.rejects(enter({ ...md5, ...bothHost, target: { ...show(own), secret: wrong } }), {
    name: 'AuthenticationError',
  })
  await t.rejects(enter({}), { name: 'LoginError' })
  // tgtd means SHA1 by 7, which is the number of SHA-256.
  await t.rejects(enter({ ...bothHost, chapAlgorithms: [7] }), Error)
  await server.stop()
})
