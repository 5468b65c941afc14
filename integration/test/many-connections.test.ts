/** The host side over several connections and paths: what runs where, and what a cut costs. */
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type BlockDevice, type ConnectedTarget, connect } from '@platter/initiator'
import t, { type Test } from 'tap'
import { carriedPdus, connectionsAtOnce } from '../lib/capture/flows.ts'
import { TrafficCapture } from '../lib/capture/traffic-capture.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { type Cut, CuttablePath } from '../lib/cuttable-path.ts'
import { FuseMount } from '../lib/fuse-mount.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'
import { startTgtd } from '../lib/tgtd.ts'
import { until } from '../lib/until.ts'
import { VerifiedLoad } from '../lib/verified-load.ts'

t.teardown(cleanUp)
const MiB = 2 ** 20
const target = await TargetProcess.start()
await target.createPartition({
  directory: temporaryDirectory(),
  disks: 2,
  diskSize: '48M',
  chunk: '64K',
  array: 'array',
  partition: 'disk',
  size: '64M',
})
const targetName = await target.targetName()

t.test(
  'a read of 1 MiB is under way on four connections at once, and each is opened once',
  requires('captures'),
  async (t) => {
    const capture = await TrafficCapture.start({ ports: [target.port] })
    const portal = { host: target.host, port: target.port }
    const connected = await connect(portal, targetName, { connections: 4 })
    await allUp(connected)
    t.match(connected, { mode: 'connections', connections: 4 })
    // While the server is stopped, nothing is answered: what is sent then is under way at once.
    process.kill(target.pid, 'SIGSTOP')
    const reading = readAt(connected.devices[0] as BlockDevice, 0, MiB)
    await until(() => (connected.paths()[0]?.bytesInFlight ?? 0) > MiB)
    process.kill(target.pid, 'SIGCONT')
    await reading
    await connected.close()
    const pdus = await carriedPdus(capture)
    t.equal(connectionsAtOnce(pdus), 4)
    t.equal(new Set(pdus.map(({ stream }) => stream)).size, 4, 'and there are no others')
  },
)

t.test(
  'the I/O of two programs is under way on two connections at once',
  requires('captures', 'mount', 'fuse', 'root'),
  async (t) => {
    const mount = await FuseMount.mount(target.portal, '--connections', '2')
    const told = /2 connections in one session, over 127\.0\.0\.1/
    await mount.process.untilReady(async () => told.test(mount.process.log))
    const capture = await TrafficCapture.start({ ports: [target.port] })
    process.kill(target.pid, 'SIGSTOP')
    const programs = [0, 8].map((skip) =>
      runOk('dd', [
        ...[`if=${mount.file('disk')}`, 'of=/dev/null', 'bs=4096', 'count=1'],
        ...[`skip=${skip}`, 'iflag=direct', 'status=none'],
      ]),
    )
    await new Promise((resolve) => setTimeout(resolve, 1000))
    process.kill(target.pid, 'SIGCONT')
    await Promise.all(programs)
    t.equal(connectionsAtOnce(await carriedPdus(capture)), 2)
    await mount.unmount()
  },
)

t.test(
  'a path that is cut, silently or not, costs no I/O and comes back (one session)',
  async (t) => {
    await loseAndMend(t, target.port, targetName, 'connections')
  },
)

t.test('a server that is killed under load and comes back costs no I/O', async (t) => {
  const portal = { host: target.host, port: target.port }
  const connected = await connect(portal, targetName)
  const load = new VerifiedLoad(connected.devices[0] as BlockDevice, 8)
  await load.progress(100)
  await target.kill()
  await target.serve()
  await load.progress(100)
  await load.stop()
  t.strictSame(load.complaints, [])
  await connected.close()
})

t.test(
  'a path that is cut, silently or not, costs no I/O and comes back (several sessions, tgtd)',
  requires('tgt', 'root'),
  async (t) => {
    const file = join(temporaryDirectory(), 'lun')
    await writeFile(file, '')
    await truncate(file, 64 * MiB)
    const tgtd = await startTgtd([file])
    await loseAndMend(t, tgtd.port, tgtd.targetName, 'sessions')
    await tgtd.stop()
  },
)

t.test('all paths lost for too long is an error, and one that is back is enough', async (t) => {
  const paths = [await CuttablePath.to(target.port), await CuttablePath.to(target.port)] as const
  const connected = await connect(paths, targetName, { retryForMs: 300 })
  const device = connected.devices[0] as BlockDevice
  for (const path of paths) path.cut('reset')
  await t.rejects(readAt(device, 0, 4096), { code: 'EIO', message: /no connection for 300 ms/ })
  paths[1].mend()
  await until(async () =>
    readAt(device, 0, 4096).then(
      () => true,
      () => false,
    ),
  )
  await connected.close()
})

/** Four connections over two paths; each path is cut in turn while a load is on, in both ways. */
async function loseAndMend(t: Test, port: number, name: string, mode: string): Promise<void> {
  const paths = [await CuttablePath.to(port), await CuttablePath.to(port)] as const
  const events: string[] = []
  const connected = await connect(paths, name, {
    connections: 4,
    pathTimeoutMs: 1500,
    onEvent: ({ type, path, alive }) => events.push(`${type} ${path} (${alive} alive)`),
  })
  t.match(connected, { mode, connections: 4 })
  await allUp(connected)
  t.strictSame(
    paths.map(({ open }) => open),
    [2, 2],
  )
  const load = new VerifiedLoad(connected.devices[0] as BlockDevice, 8)
  await load.progress(200)
  const cuts: [number, Cut][] = [
    [0, 'reset'],
    [1, 'silent'],
    [0, 'silent'],
  ]
  for (const [index, how] of cuts) {
    const path = paths[index] as CuttablePath
    const lost = events.filter((event) => event.startsWith(`lost 127.0.0.1:${path.port}`)).length
    path.cut(how)
    await until(
      () => events.filter((it) => it.startsWith(`lost 127.0.0.1:${path.port}`)).length > lost,
    )
    await load.progress(100)
    path.mend()
    await until(() => connected.paths().every(({ connections }) => connections === 2))
    await load.progress(100)
  }
  await load.stop()
  t.comment(`${load.operations} operations, the slowest ${Math.round(load.slowestMs)} ms`)
  t.strictSame(load.complaints, [])
  await connected.close()
}

function allUp(connected: ConnectedTarget): Promise<void> {
  return until(() => {
    const up = connected.paths().reduce((sum, { connections }) => sum + connections, 0)
    return up === connected.connections
  })
}

function readAt(device: BlockDevice, offset: number, length: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null) => (error === null ? resolve() : reject(error))
    device.read(offset, Buffer.alloc(length), 0, length, done)
  })
}
