import t from 'tap'
import { noise } from '../lib/attacked-target.ts'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { transferCdb } from '../lib/raw-pdu.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(120_000)
sendsMalformedRequests('parameter lists that no CDB asked for')

const KiB = 1024
const checkCondition = 2
const conflict = 0x18
const nameOf = (host: string) => `iqn.2026-11.org.platter:${host}`
const testUnitReady = Buffer.alloc(16)
const reportLuns = Buffer.from([0xa0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0])

const target = await TargetProcess.start()
await target.createPartition({
  directory: temporaryDirectory(),
  disks: 2,
  diskSize: '64M',
  chunk: '64K',
  array: 'r',
  partition: 'common',
  size: '8M',
})
const targetName = await target.targetName()
for (const host of ['a', 'b']) {
  await target.command('host', 'create', nameOf(host))
  await target.command('partition', 'create', `r/${host}`, '--size', '8M', '--host', nameOf(host))
}
await target.command('partition', 'create', 'r/both', '--size', '8M')
const both = (host: string, ...flags: string[]) =>
  target.command('grant', 'create', 'r/both', '--host', nameOf(host), '--shared', ...flags)
await both('a', '--lun', '5')
await both('b')

/** A session of that host in which the unit attentions of a new nexus are over. */
async function logIn(host: string, isid = 1): Promise<RawConnection> {
  const connection = await RawConnection.logIn(target.port, {
    initiatorName: nameOf(host),
    targetName,
    isid,
  })
  for (const lun of await lunsOf(connection)) await connection.command(lun, testUnitReady)
  return connection
}

async function lunsOf(connection: RawConnection): Promise<number[]> {
  const { data } = await connection.command(0, reportLuns, 512)
  const count = data.readUInt32BE(0) / 8
  return Array.from({ length: count }, (_, index) => data.readUInt16BE(8 + 8 * index))
}

async function statusOfLogin(host: string, name?: string): Promise<number | undefined> {
  const connection = await RawConnection.open(target.port)
  const wanted = name === undefined ? {} : { targetName: name }
  const response = await connection.sendLogin({ initiatorName: nameOf(host), ...wanted })
  connection.close()
  return response?.bhs.readUInt16BE(36)
}

t.test('each host sees the LUNs that it has been granted, and no others', async (t) => {
  const [a, b] = [await logIn('a'), await logIn('b')]
  t.same(await lunsOf(a), [0, 1, 5])
  t.same(await lunsOf(b), [0, 1, 5], 'b knows the shared partition by the LUN of a')
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

t.test('an exclusive partition is refused to a second host', async (t) => {
  for (const host of [nameOf('b'), '*']) {
    const refused = await target.try('grant', 'create', 'r/a', '--host', host, '--shared')
    t.equal(refused.status, 1)
    t.match(refused.stderr, `r/a is granted to ${nameOf('a')} exclusively`)
  }
})

t.test('reservations hold between the hosts that share a partition', async (t) => {
  const [a, b] = [await logIn('a'), await logIn('b')]
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
  await target.command('grant', 'delete', 'r/both', '--host', nameOf('a'))
  await b.command(5, testUnitReady)
  t.equal((await b.command(5, transferCdb('write', 0, 1), 0, block)).status, 0)
  t.equal((await a.command(5, testUnitReady)).status, checkCondition)
  await both('a', '--lun', '5', '--read-only')
  for (const host of [a, b]) host.close()
})

t.test('a host that may only read is refused every write, and reads', async (t) => {
  const a = await logIn('a')
  const block = Buffer.alloc(512, 'y')
  t.equal((await a.command(5, transferCdb('write', 0, 1), 0, block)).status, checkCondition)
  const { status, data } = await a.command(5, transferCdb('read', 0, 1), 512)
  t.same([status, data.equals(Buffer.alloc(512, 'x'))], [0, true])
  const modeSense = Buffer.from([0x1a, 8, 0x3f, 0, 255, 0])
  const { data: parameters } = await a.command(5, modeSense, 255)
  t.equal((parameters[2] ?? 0) & 0x80, 0x80, 'WP')
  a.close()
})

/** Writes 4 KiB at a time, 32 at once, until it is stopped; tells with which status each ended. */
async function load(connection: RawConnection, lun: number) {
  const statuses = new Map<number, number>()
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
      const status = pdu.bhs[3] ?? -1
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (running) begin()
      else inFlight--
    }
  })()
  const stop = () => {
    running = false
    return ended
  }
  return { statuses, stop }
}

t.test('what is revoked under load ends with errors there, and with none elsewhere', async (t) => {
  const [revoked, kept] = [await logIn('a'), await logIn('a', 2)]
  const other = await logIn('b')
  const onRevoked = await load(revoked, 1)
  const onKept = [await load(kept, 0), await load(other, 1)]
  while ((onRevoked.statuses.get(0) ?? 0) < 100) await new Promise(setImmediate)
  await target.command('grant', 'delete', 'r/a', '--host', nameOf('a'))
  const done = onRevoked.statuses.get(0)
  while ((onRevoked.statuses.get(checkCondition) ?? 0) < 100) await new Promise(setImmediate)
  for (const each of [onRevoked, ...onKept]) await each.stop()
  t.equal(onRevoked.statuses.get(0), done, 'no write is GOOD after the grant has been deleted')
  t.same([...onRevoked.statuses.keys()].sort(), [0, checkCondition])
  t.ok((onKept[1]?.statuses.get(0) ?? 0) > 100)
  t.same([...(onKept[1]?.statuses.keys() ?? [])], [0], 'another host notices nothing')
  const errors = [...(onKept[0]?.statuses ?? [])].filter(([status]) => status !== 0)
  t.same(errors, [[checkCondition, 1]], 'this one hears, once, that its LUNs have changed')
  for (const each of [revoked, kept, other]) each.close()
})

t.test('a host reaches no LUN that is not its own, whatever it sends', async (t) => {
  const [a, b] = [await logIn('a'), await logIn('b')]
  const content = noise(3, 4 * KiB)
  t.equal((await b.command(1, transferCdb('write', 0, 8), 0, content)).status, 0)
  const seed = Date.now() % 100_000
  t.comment(`seed ${seed}`)
  const random = noise(seed, 256 * 16)
  // For all hosts but a: INQUIRY, REPORT LUNS and REQUEST SENSE are answered, but with nothing of it.
  const answered = new Set([0x03, 0x12, 0xa0])
  const good: number[] = []
  for (const lun of [1, 2, 300]) {
    for (let opcode = 0; opcode < 256; opcode++) {
      const cdb = Buffer.from(random.subarray(opcode * 16, opcode * 16 + 16))
      cdb[0] = opcode
      const { status, data } = await a.command(lun, cdb, 4 * KiB)
      if (data.includes(content.subarray(0, 32))) t.fail(`${opcode} has read what is not its own`)
      const write = await a.command(lun, cdb, 0, content.subarray(0, 512))
      if (status === 0 || write.status === 0) good.push(opcode)
    }
  }
  t.same(
    good.filter((opcode) => !answered.has(opcode)),
    [],
  )
  const { data } = await b.command(1, transferCdb('read', 0, 8), 4 * KiB)
  t.ok(data.equals(content), 'what is there is unchanged')
  const readKeys = Buffer.from([0x5e, 0, 0, 0, 0, 0, 0, 0, 64, 0])
  t.equal((await b.command(1, readKeys, 64)).data.readUInt32BE(4), 0, 'nobody has registered')
  for (const host of [a, b]) host.close()
})

t.test('to a host of which nothing is known, or from elsewhere, there is no target', async (t) => {
  t.equal(await statusOfLogin('stranger', targetName), 0, 'as long as all hosts have something')
  await target.command('grant', 'delete', 'r/common', '--host', '*')
  t.equal(await statusOfLogin('stranger', targetName), 0x0202)
  t.equal(await statusOfLogin('stranger', `${targetName}x`), 0x0202, 'whatever it asks for')
  t.equal(await statusOfLogin('stranger'), 0, 'a discovery session it may have')
  await target.command('host', 'set', nameOf('b'), '--network', '192.0.2.0/24')
  t.equal(await statusOfLogin('b', targetName), 0x0202)
  t.equal(await statusOfLogin('b', `${targetName}x`), 0x0202)
  await target.command('host', 'set', nameOf('b'), '--network', '127.0.0.0/8')
  t.equal(await statusOfLogin('b', targetName), 0)
  t.equal(await statusOfLogin('b', `${targetName}x`), 0x0203, 'who is known learns what is wrong')
  await target.command('host', 'delete', nameOf('b'), '--yes')
  t.equal(await statusOfLogin('b', targetName), 0x0202)
  t.equal(await target.stop(), 0)
})
