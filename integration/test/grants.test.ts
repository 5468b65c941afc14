/** Hosts with different grants: what each sees, and what becomes of it when grants change. */
import { type BlockDevice, type ConnectedTarget, connect } from '@platter/initiator'
import t from 'tap'
import { askAdmin } from '../lib/admin-api.ts'
import { noise } from '../lib/attacked-target.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { GrantedHosts, lunsOf, nameOf } from '../lib/granted-hosts.ts'
import { type Pdu, RawConnection } from '../lib/raw-connection.ts'
import { transferCdb } from '../lib/raw-pdu.ts'
import { requires } from '../lib/requires.ts'

t.teardown(cleanUp)
t.setTimeout(120_000)

const needs = requires('clients')

const KiB = 1024
const checkCondition = 2
const conflict = 0x18
const notSupported = '05/25/00'
const lunsChanged = '06/3f/0e'
const testUnitReady = Buffer.alloc(16)

const hosts = await GrantedHosts.start()
const { target, targetName } = hosts

async function statusOfLogin(host: string, name?: string): Promise<number | undefined> {
  const connection = await RawConnection.open(target.port)
  const wanted = name === undefined ? {} : { targetName: name }
  const response = await connection.sendLogin({ initiatorName: nameOf(host), ...wanted })
  connection.close()
  return response?.bhs.readUInt16BE(36)
}

t.test('each host sees the LUNs that it has been granted, and no others', async (t) => {
  const [a, b] = [await hosts.logIn('a'), await hosts.logIn('b')]
  t.same(await lunsOf(a), [0, 1, 5])
  t.same(await lunsOf(b), [0, 1, 2, 5, 300])
  const page83 = Buffer.from([0x12, 1, 0x83, 2, 0, 0])
  const identityOf = async (host: RawConnection, lun: number) =>
    (await host.command(lun, page83, 512)).data.toString('hex')
  t.equal(await identityOf(a, 0), await identityOf(b, 0), 'what all hosts have is one partition')
  t.equal(await identityOf(a, 5), await identityOf(b, 5), 'and so is what both have')
  t.not(await identityOf(a, 1), await identityOf(b, 1), 'LUN 1 is each its own')
  const inquiry = Buffer.from([0x12, 0, 0, 0, 36, 0])
  t.equal((await b.command(7, inquiry, 36)).data[0], 0x7f, 'where nothing is, INQUIRY says so')
  for (const host of [a, b]) host.close()
})

t.test('libiscsi shows each host what is its own', needs, async (t) => {
  const { portal } = target
  const list = (host: string) => runOk('iscsi-ls', ['-s', '-i', nameOf(host), `iscsi://${portal}`])
  const lunsIn = (listed: string) => [...listed.matchAll(/Lun:(\d+)/g)].map(([, it]) => Number(it))
  t.same(lunsIn(await list('a')), [0, 1, 5])
  // libiscsi shows the first two bytes as they are, and so LUN 300 with its address method.
  t.same(lunsIn(await list('b')), [0, 1, 2, 5, 0x4000 | 300])
  const serialOf = (host: string, lun: number) => {
    const url = `iscsi://${portal}/${targetName}/${lun}`
    return runOk('iscsi-inq', ['-e', '1', '-c', '128', '-i', nameOf(host), url])
  }
  t.equal(await serialOf('a', 5), await serialOf('b', 5), 'one partition for both')
  t.not(await serialOf('a', 1), await serialOf('b', 1), 'and one for each')
  await t.rejects(serialOf('a', 2), 'what only b has is not there for a')
})

t.test('our own host program shows each host what is its own, and shares the rest', async (t) => {
  const at = { host: target.host, port: target.port }
  const logInTo = (host: string) =>
    connect(at, targetName, { initiatorName: nameOf(host), connections: 1 })
  const [a, b] = [await logInTo('a'), await logInTo('b')]
  const namesOf = ({ devices }: ConnectedTarget) => devices.map(({ name }) => name)
  t.same(namesOf(a), ['common', 'a', 'both'])
  t.same(namesOf(b), ['common', 'b', 'near', 'both', 'far'])
  const deviceOf = ({ devices }: ConnectedTarget) =>
    devices.find(({ name }) => name === 'both') as BlockDevice
  const written = noise(4, 4 * KiB)
  const read = Buffer.alloc(written.length)
  const io = async (start: (done: (error: Error | null) => void) => void) =>
    t.equal(await new Promise<Error | null>(start), null)
  await io((done) => deviceOf(a).write(4 * KiB, written, 0, written.length, done))
  await io((done) => deviceOf(b).read(4 * KiB, read, 0, read.length, done))
  t.ok(read.equals(written), 'what the one writes, the other reads')
  for (const host of [a, b]) await host.close()
})

t.test('an exclusive partition is refused to a second host', async (t) => {
  for (const host of [nameOf('b'), '*']) {
    const wish = { array: 'r', partition: 'a', host, sharing: 'shared' }
    const { status, body } = await askAdmin(target.stateDirectory, 'POST', '/api/v1/grants', wish)
    t.equal(status, 409)
    t.match(body, { error: { message: `r/a is granted to ${nameOf('a')} exclusively` } })
  }
})

t.test('reservations hold between the hosts that share a partition', async (t) => {
  const [a, b] = [await hosts.logIn('a'), await hosts.logIn('b')]
  const reserveOut = (action: number, type: number, key: number, newKey: number) => {
    const list = Buffer.alloc(24)
    list.writeUInt32BE(key, 4)
    list.writeUInt32BE(newKey, 12)
    return [Buffer.from([0x5f, action, type, 0, 0, 0, 0, 0, 24, 0]), list] as const
  }
  const out = async (...said: Parameters<typeof reserveOut>) => {
    const [cdb, list] = reserveOut(...said)
    return (await a.command(5, cdb, 0, list)).status
  }
  t.equal(await out(0, 0, 0, 7), 0)
  t.equal(await out(1, 1, 7, 0), 0, 'a reserves it for its writes')
  const block = Buffer.alloc(512, 'x')
  t.equal((await b.command(5, transferCdb('write', 0, 1), 0, block)).status, conflict)
  t.equal((await b.command(5, transferCdb('read', 0, 1), 512)).status, 0)
  t.equal((await a.command(5, transferCdb('write', 0, 1), 0, block)).status, 0)
  await hosts.revoke('both', 'a')
  await b.command(5, testUnitReady)
  t.equal((await b.command(5, transferCdb('write', 0, 1), 0, block)).status, 0)
  t.equal((await a.command(5, testUnitReady)).status, checkCondition)
  await hosts.grant('both', 'a', { sharing: 'shared', access: 'read-only' })
  for (const host of [a, b]) host.close()
})

t.test('a host that may only read is refused every write, and reads', async (t) => {
  const a = await hosts.logIn('a')
  const block = Buffer.alloc(512, 'y')
  t.equal((await a.command(5, transferCdb('write', 0, 1), 0, block)).status, checkCondition)
  const { status, data } = await a.command(5, transferCdb('read', 0, 1), 512)
  t.same([status, data.equals(Buffer.alloc(512, 'x'))], [0, true])
  const modeSense = Buffer.from([0x1a, 8, 0x3f, 0, 255, 0])
  const { data: parameters } = await a.command(5, modeSense, 255)
  t.equal((parameters[2] ?? 0) & 0x80, 0x80, 'WP')
  a.close()
})

/** Sense key and additional sense code of the sense data that a PDU brings: `05/25/00`. */
function senseOf({ data }: Pdu): string {
  const [key = 0, code = 0, qualifier = 0] = [data[4], data[14], data[15]]
  return [key & 0xf, code, qualifier].map((it) => it.toString(16).padStart(2, '0')).join('/')
}

/** Writes 4 KiB at a time, 32 at once, until it is stopped; counts how they end: `GOOD`, or with which sense. */
async function load(connection: RawConnection, lun: number) {
  const endings = new Map<string, number>()
  const block = noise(lun, 4 * KiB)
  let running = true
  const begin = () => connection.startCommand(lun, transferCdb('write', 0, 8), 0, block)
  const ended = (async () => {
    let inFlight = 0
    for (; inFlight < 32; inFlight++) begin()
    while (inFlight > 0) {
      const pdu = await connection.receive()
      if (pdu === null) return
      if (pdu.opcode !== 0x21) continue
      const ending = pdu.bhs[3] === 0 ? 'GOOD' : senseOf(pdu)
      endings.set(ending, (endings.get(ending) ?? 0) + 1)
      if (running) begin()
      else inFlight--
    }
  })()
  const stop = () => {
    running = false
    return ended
  }
  const reaches = async (ending: string, count: number) => {
    while ((endings.get(ending) ?? 0) < count) await new Promise(setImmediate)
  }
  return { endings, reaches, stop }
}

t.test('what is revoked under load ends with errors there, and with none elsewhere', async (t) => {
  const [revoked, kept] = [await hosts.logIn('a'), await hosts.logIn('a', 2)]
  const other = await hosts.logIn('b')
  const onRevoked = await load(revoked, 1)
  const onKept = await load(kept, 0)
  const onOther = await load(other, 1)
  await onRevoked.reaches('GOOD', 100)
  await hosts.revoke('a', 'a')
  const done = onRevoked.endings.get('GOOD')
  await onRevoked.reaches(notSupported, 100)
  await onOther.reaches('GOOD', 100)
  for (const each of [onRevoked, onKept, onOther]) await each.stop()
  t.equal(onRevoked.endings.get('GOOD'), done, 'no write is GOOD after the grant has been deleted')
  t.same([...onRevoked.endings.keys()].sort(), [notSupported, 'GOOD'])
  t.same([...onOther.endings.keys()], ['GOOD'], 'another host notices nothing')
  t.equal(onKept.endings.get(lunsChanged), 1, 'this one hears, once, that its LUNs have changed')
  t.same([...onKept.endings.keys()].sort(), [lunsChanged, 'GOOD'])
  for (const each of [revoked, kept, other]) each.close()
})

t.test('a LUN granted to a host that is connected tells of itself', async (t) => {
  const a = await hosts.logIn('a')
  await hosts.grant('a', 'a')
  const told = (await a.receive()) as Pdu
  t.same([told.opcode, senseOf(told)], [0x32, lunsChanged], 'by an Asynchronous Message')
  a.startCommand(0, testUnitReady, 0)
  t.equal(senseOf((await a.receive()) as Pdu), lunsChanged, 'and by a unit attention')
  t.same(await lunsOf(a), [0, 1, 5])
  t.equal((await a.command(0, testUnitReady)).status, 0)
  a.close()
})

t.test('to a host of which nothing is known, or from elsewhere, there is no target', async (t) => {
  t.equal(await statusOfLogin('stranger', targetName), 0, 'as long as all hosts have something')
  await hosts.revoke('common', '*')
  t.equal(await statusOfLogin('stranger', targetName), 0x0202)
  t.equal(await statusOfLogin('stranger', `${targetName}x`), 0x0202, 'whatever it asks for')
  t.equal(await statusOfLogin('stranger'), 0, 'a discovery session it may have')
  await hosts.set('b', { networks: ['192.0.2.0/24'] })
  t.equal(await statusOfLogin('b', targetName), 0x0202)
  t.equal(await statusOfLogin('b', `${targetName}x`), 0x0202)
  await hosts.set('b', { networks: ['127.0.0.0/8'] })
  t.equal(await statusOfLogin('b', targetName), 0)
  t.equal(await statusOfLogin('b', `${targetName}x`), 0x0203, 'who is known learns what is wrong')
  await hosts.forget('b')
  t.equal(await statusOfLogin('b', targetName), 0x0202)
  t.equal(await target.stop(), 0)
})
