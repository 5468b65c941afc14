/** Dynamic data ports: what discovery opens for a host, unmodified clients use, and no other host does. */
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run, runOk } from '../lib/command.ts'
import { accepts } from '../lib/port.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { requires } from '../lib/requires.ts'
import { platterScript, TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(180_000)

const needs = requires('clients')
const [web, data, fixed, stranger] = ['web', 'data', 'fixed', 'stranger'].map(
  (name) => `iqn.2024-01.org.example:${name}`,
) as [string, string, string, string]
const dynamic = ['--data-ports', 'dynamic']
const target = await TargetProcess.start(temporaryDirectory(), dynamic)
const { lun } = await target.createPartition({
  ...{ directory: temporaryDirectory(), disks: 1, diskSize: '64M', chunk: '64K' },
  ...{ array: 'r0', partition: 'data', size: '8M' },
})
const targetName = await target.targetName()
await target.command('host', 'create', fixed, '--data-ports', 'fixed')

interface Status {
  readonly dataPorts: readonly unknown[]
}

/** The portals that iscsi-ls is told of. */
async function discover(initiatorName: string, at = target.portal): Promise<string[]> {
  const listed = await runOk('iscsi-ls', ['-i', initiatorName, `iscsi://${at}`])
  return [...listed.matchAll(/Portal:(\S+?),1/g)].map(([, portal]) => portal ?? '')
}

async function logIn(portal: string, initiatorName: string) {
  const connection = await RawConnection.open(Number(portal.split(':')[1]))
  const response = await connection.sendLogin({ targetName, initiatorName })
  return { connection, status: response?.bhs.readUInt16BE(36) }
}

t.test('iscsi-ls is told of a port that is for its host alone', needs, async (t) => {
  const [portal = '', ...others] = await discover(web)
  t.same(others, [])
  t.not(portal, target.portal)
  t.same(await discover(web), [portal], 'the same one again')
  const [ofData = ''] = await discover(data)
  t.not(ofData, portal)
  t.same(await discover(fixed), [target.portal])
  const own = await logIn(portal, web)
  t.equal(own.status, 0)
  const asFixed = await logIn(target.portal, fixed)
  t.equal(asFixed.status, 0)
  t.match(await target.command('session', 'list'), [
    { initiatorName: web, connections: [{ local: portal, dynamicPort: true }] },
    { initiatorName: fixed, connections: [{ local: target.portal, dynamicPort: false }] },
  ])
  t.match((await target.try('session', 'list')).stdout, `${portal} (dynamic) `)
  t.match((await target.command<Status>('status')).dataPorts, [
    { host: web, portal, secondsLeft: null },
    { host: data, portal: ofData, secondsLeft: Number },
  ])
  const { stdout } = await target.try('status')
  t.match(stdout, `\ndata port   ${portal} for ${web}, in use\n`)
  t.match(stdout, new RegExp(`\n.* ${ofData} for ${data}, closed in \\d+ s unless used\n`))
  own.connection.close()
  asFixed.connection.close()
  for (const [where, who] of [
    [portal, data],
    [portal, fixed],
    [target.portal, web],
  ] as const) {
    const refused = await logIn(where, who)
    t.equal(refused.status, 0x0202, `${who} at ${where}`)
    refused.connection.close()
  }
})

t.test('qemu-img uses the port that discovery told of', needs, async (t) => {
  const [portal = ''] = await discover(web)
  const initiator = ['--image-opts', `driver=iscsi,transport=tcp,portal=${portal}`]
  const image = `${initiator[1]},target=${targetName},lun=${lun},initiator-name=${web}`
  t.match(await runOk('qemu-img', ['info', '--image-opts', image]), /8 MiB/)
  const refused = await run('qemu-img', [
    'info',
    '--image-opts',
    image.replace(portal, target.portal),
  ])
  t.not(refused.status, 0, 'and not at the fixed one')
})

t.test('platter finds its way by itself', async (t) => {
  const info = ['info', target.portal, '--initiator-name', data, '--json']
  const told = JSON.parse(await runOk(process.execPath, [platterScript(), ...info]))
  t.match(told, { targetName, partitions: [{ lun, name: 'data', sizeBytes: 8388608 }] })
  t.not(told.portals[0], target.portal)
})

t.test('the server stops with ports open', async (t) => {
  t.equal(await target.stop(), 0)
})

/** Discovers and logs in there, again if the port was closed in between. */
async function enter(server: TargetProcess, initiatorName: string) {
  const name = await server.targetName()
  for (;;) {
    const [portal = ''] = await discover(initiatorName, server.portal)
    const port = Number(portal.split(':')[1])
    const connection = await RawConnection.open(port).catch(() => null)
    const response = await connection?.sendLogin({ targetName: name, initiatorName })
    if (response?.bhs.readUInt16BE(36) === 0) return { port, connection }
  }
}

const untilClosed = async (port: number) => {
  while (await accepts(port)) await new Promise((resolve) => setTimeout(resolve, 100))
}

t.test(
  'a port is open while a session uses it, and closed in time afterwards',
  needs,
  async (t) => {
    const flags = [...dynamic, '--data-port-timeout', '1']
    const server = await TargetProcess.start(temporaryDirectory(), flags)
    for (const name of [web, data]) await server.command('host', 'create', name)
    const used = await enter(server, web)
    const unused = await enter(server, data)
    unused.connection?.close()
    await untilClosed(unused.port)
    t.ok(await accepts(used.port), 'the one in use is open when the other, opened later, is not')
    used.connection?.close()
    await untilClosed(used.port)
    t.same(await discover(stranger, server.portal), [], 'a stranger is told nothing')
    t.same((await server.command<Status>('status')).dataPorts, [], 'and has no port')
    t.equal(await server.stop(), 0)
  },
)
