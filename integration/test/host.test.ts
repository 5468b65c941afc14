/** The host side as a library, against platterd: what its users count on when the server goes away. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import {
  type BlockDevice,
  connect,
  discover,
  type PartitionChange,
  type SessionEvent,
} from '@platter/initiator'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
const MiB = 2 ** 20

t.test('a portal tells of its target, and the target of its partitions', async (t) => {
  const { target, portal } = await startTarget()
  const { lun } = await target.addPartition('array/second', '16M')
  const [found, ...others] = await discover(portal)
  t.equal(others.length, 0)
  t.equal(found?.name, await target.targetName())
  t.strictSame(
    found?.portals.map(({ host, port }) => ({ host, port })),
    [portal],
  )
  const connected = await connect(portal, found?.name ?? '')
  t.strictSame(
    connected.devices.map(({ name, sizeBytes, readOnly }) => ({ name, sizeBytes, readOnly })),
    [
      { name: 'first', sizeBytes: 32 * MiB, readOnly: false },
      { name: 'second', sizeBytes: 16 * MiB, readOnly: false },
    ],
  )
  t.equal(connected.deviceAt(lun)?.name, 'second')
  t.equal(connected.deviceAt(99), undefined)
  await connected.close()
  t.equal((await target.command<unknown[]>('session', 'list')).length, 0, 'logged out')
  await target.stop()
})

t.test('any byte range is written and read back, through a restart', async (t) => {
  const { target, portal } = await startTarget()
  const name = await target.targetName()
  const model = Buffer.alloc(32 * MiB)
  const first = await connect(portal, name)
  const device = first.devices[0] as BlockDevice
  const writes: Promise<void>[] = []
  for (let index = 0; index < 300; index++) {
    // Spread over the device, of all lengths and alignments, some upon others.
    const offset = (index * 7919 * 331) % (31 * MiB)
    const length = 1 + ((index * 7907) % (index % 10 === 0 ? MiB : 5000))
    const data = Buffer.alloc(length, `write ${index};`)
    data.copy(model, offset)
    writes.push(io((done) => device.write(offset, data, 0, length, done)))
  }
  await Promise.all(writes)
  t.ok((await readAll(device)).equals(model))
  await first.close()
  await target.stop()
  await target.serve()
  const second = await connect(portal, name)
  t.ok((await readAll(second.devices[0] as BlockDevice)).equals(model))
  await second.close()
  await target.stop()
})

t.test('a server that is killed and comes back is a delay, and loses nothing', async (t) => {
  const { target, portal } = await startTarget()
  const events: SessionEvent['type'][] = []
  const connected = await connect(portal, await target.targetName(), {
    onEvent: ({ type }) => events.push(type),
  })
  const device = connected.devices[0] as BlockDevice
  for (let round = 1; round <= 3; round++) {
    let stopped = false
    const writer = (async () => {
      let count = 0
      for (; !stopped; count++) {
        const data = Buffer.alloc(64 * 1024, `round ${round};`)
        const offset = (count * data.length) % (32 * MiB)
        await io((done) => device.write(offset, data, 0, data.length, done))
      }
      return Math.min(count, 512)
    })()
    await io((done) => device.flush(done))
    await target.kill()
    await target.serve()
    await io((done) => device.flush(done))
    stopped = true
    const written = await writer
    const wanted = Buffer.alloc(64 * 1024, `round ${round};`)
    const got = await readAll(device)
    for (let index = 0; index < written; index++) {
      const at = index * wanted.length
      if (!got.subarray(at, at + wanted.length).equals(wanted)) t.fail(`other bytes at ${at}`)
    }
    t.ok(written > 0, 'something was written')
  }
  t.ok(events.filter((event) => event === 'restored').length >= 3, events.join())
  await connected.close()
  await target.stop()
})

t.test('a server that stays away makes I/O fail in time, and it works again after', async (t) => {
  const { target, portal } = await startTarget()
  const connected = await connect(portal, await target.targetName(), { retryForMs: 500 })
  const device = connected.devices[0] as BlockDevice
  await target.kill()
  const buffer = Buffer.alloc(512)
  await t.rejects(
    io((done) => device.read(0, buffer, 0, 512, done)),
    { name: 'BlockError', code: 'EIO', message: /no connection for 500 ms/ },
  )
  await target.serve()
  let error: unknown = new Error('not tried')
  while (error !== null) {
    error = await io((done) => device.read(0, buffer, 0, 512, done)).then(
      () => null,
      (reason: unknown) => reason,
    )
  }
  await connected.close()
  await target.stop()
})

t.test('partitions that come, grow and go are told of, and used', async (t) => {
  const { target, portal } = await startTarget()
  const connected = await connect(portal, await target.targetName())
  const changes = connected.changes()
  await target.addPartition('array/second', '16M')
  const added: PartitionChange = (await changes.next()).value
  t.match(added, { kind: 'added', device: { name: 'second', sizeBytes: 16 * MiB } })
  await target.command('partition', 'grow', 'array/second', '--size', '32M')
  t.match((await changes.next()).value, { kind: 'resized', device: added.device })
  t.equal(added.device.sizeBytes, 32 * MiB)
  const data = Buffer.alloc(512, 1)
  await io((done) => added.device.write(32 * MiB - 512, data, 0, 512, done))
  await target.command('grant', 'delete', 'array/second', '--host', '*')
  t.match((await changes.next()).value, { kind: 'removed', device: added.device })
  t.strictSame(
    connected.devices.map(({ name }) => name),
    ['first'],
  )
  await t.rejects(
    io((done) => added.device.write(0, data, 0, 512, done)),
    { code: 'EIO', message: /second: write of 512 bytes at 0: .*05.25.00/ },
  )
  await connected.close()
  t.match(await changes.next(), { done: true })
  await target.stop()
})

t.test('closing does not wait for a server that is gone', async (t) => {
  const { target, portal } = await startTarget()
  const connected = await connect(portal, await target.targetName(), { retryForMs: 200 })
  await target.kill()
  await t.rejects(connected.close(), /no connection for 200 ms/)
})

t.test('what cannot be logged in to says why', async (t) => {
  const { target, portal } = await startTarget()
  await t.rejects(connect(portal, 'iqn.2026-11.org.platter:nowhere'), {
    name: 'LoginError',
    message: /NotFound/,
  })
  await target.stop()
  await t.rejects(discover(portal), { name: 'ConnectionLostError', message: /ECONNREFUSED/ })
  const silent = createServer((socket) => socket.on('data', () => socket.destroy()))
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as { port: number }
  await t.rejects(discover({ host: '127.0.0.1', port }), { name: 'ConnectionLostError' })
  silent.close()
})

async function startTarget() {
  const target = await TargetProcess.start()
  await target.createPartition({
    directory: temporaryDirectory(),
    disks: 3,
    diskSize: '32M',
    chunk: '64K',
    array: 'array',
    partition: 'first',
    size: '32M',
  })
  return { target, portal: { host: '127.0.0.1', port: target.port } }
}

async function readAll(device: BlockDevice): Promise<Buffer> {
  const into = Buffer.alloc(device.sizeBytes)
  await io((done) => device.read(0, into, 0, into.length, done))
  return into
}

function io(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === null ? resolve() : reject(error)))
  })
}
