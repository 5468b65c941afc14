/** What a host is told of its access: our own key at the wire, and `platter info` here and at tgtd. */
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run } from '../lib/command.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { decodeKeys, encodeKeys } from '../lib/raw-pdu.ts'
import { requires } from '../lib/requires.ts'
import { platterScript, TargetProcess } from '../lib/target-process.ts'
import { startTgtd } from '../lib/tgtd.ts'

t.teardown(cleanUp)

const key = 'X-org.platter.AccessInfo'
const web = 'iqn.2024-01.org.example:web'
const data = 'iqn.2024-01.org.example:data'

/** One Text Request that is a whole exchange, and the answer to it. */
async function ask(connection: RawConnection, keys: Record<string, string>) {
  connection.sendPdu({
    opcode: 0x04,
    immediate: true,
    flags: 0x80,
    initiatorTaskTag: 9,
    words: [0xffffffff, connection.cmdSN],
    data: encodeKeys(keys),
  })
  const answer = await connection.receive()
  return { opcode: answer?.opcode, keys: decodeKeys(answer?.data ?? Buffer.alloc(0)) }
}

/** What `platter info --json` prints. */
async function info(portal: string, initiatorName: string): Promise<unknown> {
  const flags = ['--initiator-name', initiatorName, '--json']
  const { status, stdout, stderr } = await run(process.execPath, [
    platterScript(),
    'info',
    portal,
    ...flags,
  ])
  if (status !== 0) throw new Error(`platter info exited with ${status}: ${stderr}`)
  return JSON.parse(stdout)
}

t.test('each host is told of what is its own, and in Normal sessions only', async (t) => {
  const target = await TargetProcess.start()
  const partition = { array: 'r0', partition: 'all', size: '8M' }
  const directory = temporaryDirectory()
  await target.createPartition({ ...partition, directory, disks: 1, diskSize: '64M', chunk: '64K' })
  await target.command('host', 'create', web, '--max-connections', '3')
  await target.command('partition', 'create', 'r0/web', '--size', '4M', '--host', web)
  const targetName = await target.targetName()
  const { port, portal } = target

  const asWeb = await RawConnection.logIn(port, { targetName, initiatorName: web })
  const shared = 'partition:0/read-write/shared/8388608/r0/all'
  const told = (await ask(asWeb, { [key]: '0' })).keys[key] ?? ''
  t.match(told, /^format:1,server:Platter\/[0-9.]+,versions:0\/0,connections:3,/)
  t.match(told, `portal:1/${portal},${shared},partition:1/read-write/exclusive/4194304/r0/web`)
  asWeb.close()
  const asData = await RawConnection.logIn(port, { targetName, initiatorName: data, isid: 2 })
  const toldData = (await ask(asData, { [key]: '0' })).keys[key] ?? ''
  t.ok(toldData.endsWith(`,connections:8,portal:1/${portal},${shared}`), toldData)
  asData.close()

  const discovery = await RawConnection.logIn(port, { initiatorName: web, isid: 3 })
  t.equal((await ask(discovery, { [key]: '0' })).opcode, 0x3f, 'rejected')
  const both = await ask(discovery, { SendTargets: 'All', [key]: '0' })
  t.match(both.keys, { TargetName: targetName, [key]: 'NotUnderstood' })
  discovery.close()

  t.strictSame(await info(portal, web), {
    targetName,
    server: told.match(/server:([^,]*)/)?.[1],
    maxConnections: 3,
    portals: [portal],
    partitions: [
      {
        lun: 0,
        access: 'read-write',
        sharing: 'shared',
        sizeBytes: 8388608,
        array: 'r0',
        name: 'all',
      },
      {
        lun: 1,
        access: 'read-write',
        sharing: 'exclusive',
        sizeBytes: 4194304,
        array: 'r0',
        name: 'web',
      },
    ],
  })
  t.equal(await target.stop(), 0)
})

t.test(
  'at a target that does not know the key nothing is lost',
  requires('tgt', 'root'),
  async (t) => {
    const file = join(temporaryDirectory(), 'disk')
    await writeFile(file, '')
    await truncate(file, 8 * 2 ** 20)
    const server = await startTgtd([file])
    t.match(await info(`127.0.0.1:${server.port}`, web), {
      targetName: server.targetName,
      server: null,
      partitions: [{ sizeBytes: 8 * 2 ** 20, access: 'read-write' }],
    })
    await server.stop()
  },
)
