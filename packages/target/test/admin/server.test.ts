import { once } from 'node:events'
import { stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { callAdmin } from '../../src/admin/client.ts'
import { operations } from '../../src/admin/operations.ts'
import { serveAdmin } from '../../src/admin/server.ts'
import { createTarget } from '../../src/target.ts'
import { findFaults } from '../../src/validation.ts'
import { stateDirectory } from '../support/state-directory.ts'

const MiB = 1024 * 1024

async function start(t: Test) {
  const directory = await stateDirectory(t)
  const target = await createTarget({ stateDirectory: directory, portals: [] })
  const socketPath = path.join(directory, 'admin.sock')
  const internalErrors: Error[] = []
  const onInternalError = (error: Error) => internalErrors.push(error)
  const admin = await serveAdmin({ target, socketPath, onInternalError })
  t.teardown(async () => {
    await admin.close()
    await target.stop()
  })
  return { directory, target, admin, socketPath, internalErrors }
}

interface Answer {
  readonly status: number
  readonly text: string
}

/** One request as any HTTP client might send it. */
async function http(
  socketPath: string,
  method: string,
  url: string,
  body?: string,
  type = 'application/json',
): Promise<Answer> {
  const headers = body === undefined ? {} : { 'content-type': type }
  const outgoing = request({ socketPath, method, path: url, headers })
  outgoing.end(body)
  const [response] = await once(outgoing, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode, text }
}

t.test('only the owner may open the socket', async (t) => {
  const { socketPath, directory } = await start(t)
  t.equal((await stat(socketPath)).mode & 0o777, 0o600)
  t.equal((await stat(directory)).mode & 0o777, 0o700)
})

t.test('every operation answers what its schema says', async (t) => {
  const { socketPath, directory } = await start(t)
  const [d0, d1] = [path.join(directory, 'd0'), path.join(directory, 'a b%2Fc?')]
  const call: typeof callAdmin = async (socket, name, input) => {
    const answer = await callAdmin(socket, name, input)
    t.same(findFaults(operations[name].output, answer), [], name)
    called.add(name)
    return answer
  }
  const called = new Set<string>()
  const key = { array: 'r.0-x_', name: 'data' }
  await call(socketPath, 'disk create', { path: d0, sizeBytes: 8 * MiB })
  await call(socketPath, 'disk create', { path: d1, sizeBytes: 8 * MiB })
  await call(socketPath, 'disk remove', { path: d1 })
  t.match(await call(socketPath, 'disk add', { path: d1 }), { path: d1 }, 'any path is possible')
  await call(socketPath, 'array create', {
    name: key.array,
    level: 'raid0',
    chunkSizeBytes: 65536,
    disks: [d0, d1],
  })
  t.match(await call(socketPath, 'partition create', { ...key, sizeBytes: MiB, host: '*' }), {
    grants: [{ host: '*', lun: 0 }],
  })
  t.match(await call(socketPath, 'partition grow', { ...key, sizeBytes: 2 * MiB }), {
    grants: [{ lun: 0 }],
  })
  t.equal((await call(socketPath, 'partition list', {})).length, 1)
  t.equal((await call(socketPath, 'disk list', {})).length, 2)
  t.equal((await call(socketPath, 'array list', {})).length, 1)
  await call(socketPath, 'session list', {})
  await call(socketPath, 'session failures', {})
  t.match(await call(socketPath, 'status', {}), { partitionCount: 1, diskCount: 2 })
  const host = `iqn.2024-01.org.example:${'h'.repeat(199)}`
  await call(socketPath, 'host create', { name: host, networks: ['192.0.2.0/24'] })
  t.same(await call(socketPath, 'host set', { name: host, maxConnections: 2, networks: [] }), {
    name: host,
    maxConnections: 2,
  })
  t.equal((await call(socketPath, 'host list', {})).length, 1)
  const grant = { array: key.array, partition: key.name, host }
  await call(socketPath, 'grant create', { ...grant, sharing: 'shared', lun: 5 })
  t.match(await call(socketPath, 'grant set', { ...grant, access: 'read-only' }), { lun: 5 })
  t.equal((await call(socketPath, 'grant list', {})).length, 2)
  await call(socketPath, 'grant delete', grant)
  await call(socketPath, 'host delete', { name: host })
  t.same(await call(socketPath, 'session end', { host }), { sessionCount: 0 })
  const redirect = { host, address: '192.0.2.7:3260', permanent: true }
  t.same(await call(socketPath, 'redirect create', redirect), redirect)
  t.same(await call(socketPath, 'redirect list', {}), [redirect])
  await call(socketPath, 'redirect delete', { host })
  const secret = { host, user: null, secret: 'secret of host', mutual: false }
  const shown = { host, user: null, mutual: false, sharedWith: [] }
  t.same(await call(socketPath, 'secret set', secret), shown)
  t.same(await call(socketPath, 'secret list', {}), [shown])
  await call(socketPath, 'secret delete', { host })
  await call(socketPath, 'partition delete', key)
  await call(socketPath, 'array delete', { name: key.array })
  const [m0, m1, m2] = ['m0', 'm1', 'm2'].map((name) => path.join(directory, name))
  for (const disk of [m0!, m1!, m2!]) {
    await call(socketPath, 'disk create', { path: disk, sizeBytes: 8 * MiB })
  }
  const mirror = { name: 'mirror', level: 'raid1', chunkSizeBytes: 65536 } as const
  t.match(await call(socketPath, 'array create', { ...mirror, disks: [m0!, m1!] }), {
    checksums: true,
    members: [{ disk: m0 }, { disk: m1, state: 'in-sync' }],
  })
  const lost = { name: 'mirror', disk: m1! }
  t.match(await call(socketPath, 'array fail', lost), { state: 'degraded', disks: [m0] })
  t.match(await call(socketPath, 'array re-add', lost), { disks: [m0, m1] })
  const replacement = { name: 'mirror', disk: m2!, replaced: m1! }
  t.match(await call(socketPath, 'array replace', replacement), { disks: [m0, m2] })
  t.match(await call(socketPath, 'array scrub', { name: 'mirror' }), { name: 'mirror' })
  await callAdmin(socketPath, 'array scrub-stop', { name: 'mirror' }).catch(() => {})
  called.add('array scrub-stop')
  t.match(await call(socketPath, 'disk spare', { path: d0!, spare: true }), { spare: true })
  t.same([...called].sort(), Object.keys(operations).sort(), 'none is left out')
})

t.test('nonsense gets a 4xx that says what is wrong, and changes nothing', async (t) => {
  const { socketPath, target, directory, internalErrors } = await start(t)
  await target.createDisk(path.join(directory, 'd0'), 8 * MiB)
  const snapshot = () => [target.listDisks(), target.listArrays(), target.listPartitions()]
  const before = snapshot()
  const d0 = path.join(directory, 'd0')
  const array = { name: 'a', level: 'raid0', chunkSizeBytes: 65536, disks: [d0] }
  const post = (url: string, body: unknown) => ['POST', url, JSON.stringify(body)] as const
  const requests: [readonly [string, string, string?, string?], number, RegExp][] = [
    [['GET', '/'], 404, /the admin API has no GET \//],
    [['GET', '/api/v2/status'], 404, /not-found/],
    [['PUT', '/api/v1/disks', '{}'], 404, /has no PUT/],
    [['GET', '/api/v1/status?verbose=1'], 400, /verbose is not known here/],
    [['POST', '/api/v1/arrays'], 400, /must be a JSON object/],
    [['POST', '/api/v1/arrays', '{"name":'], 400, /JSON/],
    [['POST', '/api/v1/arrays', '[]'], 400, /must be a JSON object/],
    [
      ['POST', '/api/v1/arrays', 'name=a', 'application/x-www-form-urlencoded'],
      415,
      /invalid-request/,
    ],
    [
      post('/api/v1/arrays', {}),
      400,
      /name is missing; level is missing; chunk.*; disks is missing/,
    ],
    [post('/api/v1/arrays', { ...array, name: '../../etc' }), 400, /name: got .*, wanted a name/],
    [post('/api/v1/arrays', { ...array, name: '' }), 400, /wanted a name/],
    [post('/api/v1/arrays', { ...array, name: 'x'.repeat(64) }), 400, /wanted a name/],
    [
      post('/api/v1/arrays', { ...array, level: 'raid7' }),
      400,
      /level: got \\"raid7\\", wanted raid0/,
    ],
    [post('/api/v1/arrays', { ...array, disks: [] }), 400, /wanted 1 to 256 disk paths/],
    [post('/api/v1/arrays', { ...array, disks: ['d0'] }), 400, /disks\[0\]: .*absolute path/],
    [post('/api/v1/arrays', { ...array, disks: [7] }), 400, /disks\[0\]: got 7/],
    [post('/api/v1/arrays', { ...array, chunkSizeBytes: '64K' }), 400, /chunkSizeBytes: got/],
    [post('/api/v1/arrays', { ...array, chunkSizeBytes: 1000 }), 400, /chunk size 1000/],
    [post('/api/v1/arrays', { ...array, force: true }), 400, /force is not known here/],
    [post('/api/v1/arrays', { ...array, disks: ['/x'] }), 404, /\/x is not a disk/],
    [['POST', '/api/v1/arrays', '{"__proto__":{"name":"a"}}'], 400, /invalid-request/],
    [post('/api/v1/disks', { path: '/dev/\0null' }), 400, /path: got/],
    [post('/api/v1/disks/create', { path: '/x', sizeBytes: -1 }), 400, /sizeBytes: got -1/],
    [post('/api/v1/disks/create', { path: '/x', sizeBytes: 1.5 }), 400, /sizeBytes: got 1\.5/],
    [post('/api/v1/disks/create', { path: '/x', sizeBytes: 1e300 }), 400, /sizeBytes: got 1e\+300/],
    [['DELETE', '/api/v1/disks'], 400, /path is missing/],
    [['DELETE', '/api/v1/disks?path=/x&path=/y'], 400, /path: got \[/],
    [['DELETE', `/api/v1/disks?path=${d0}x`], 404, /is not a disk of this server/],
    [['DELETE', '/api/v1/arrays/..%2F..'], 400, /wanted a name/],
    [['DELETE', '/api/v1/arrays/%ff'], 400, /invalid-request/],
    [['DELETE', '/api/v1/arrays/none'], 404, /no array none/],
    [['PATCH', '/api/v1/partitions/a/b', '{"sizeBytes":512,"name":"c"}'], 400, /given by the URL/],
    [['PATCH', '/api/v1/partitions/a/b', '{"sizeBytes":512}'], 404, /no array a/],
    [post('/api/v1/hosts', { name: 'host!' }), 400, /wanted an iSCSI name/],
    [
      post('/api/v1/hosts', { name: 'iqn.2024-01.a:b', networks: ['x'] }),
      400,
      /got x, wanted a net/,
    ],
    [
      post('/api/v1/grants', { array: 'a', partition: 'b', host: '*', lun: 16384 }),
      400,
      /lun: got/,
    ],
    [post('/api/v1/grants', { array: 'a', partition: 'b', host: '*' }), 404, /no array a/],
  ]
  for (const [[method, url, body, type], status, message] of requests) {
    const answer = await http(socketPath, method, url, body, type)
    t.match(answer, { status, text: message }, `${method} ${url} ${body?.slice(0, 60) ?? ''}`)
    t.match(JSON.parse(answer.text), { error: { code: String, message: String } })
  }
  t.same(snapshot(), before)
  t.same(internalErrors, [])
})

t.test('bytes that are no HTTP end their own connection only', async (t) => {
  const { socketPath } = await start(t)
  const socket = connect(socketPath)
  socket.end(Buffer.alloc(4096, 0xff))
  socket.resume()
  await once(socket, 'close')
  t.equal((await http(socketPath, 'GET', '/api/v1/status')).status, 200)
})

t.test('a body that is too large is refused before it is sent', async (t) => {
  const { socketPath } = await start(t)
  const socket = connect(socketPath)
  socket.write(
    'POST /api/v1/arrays HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 300000\r\n\r\n',
  )
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 413 .*invalid-request.*too large/s)
  socket.destroy()
})

t.test('changes asked for at once are made one after another', async (t) => {
  const { socketPath, directory } = await start(t)
  const d0 = path.join(directory, 'd0')
  await callAdmin(socketPath, 'disk create', { path: d0, sizeBytes: 8 * MiB })
  const array = { name: 'a', level: 'raid0' as const, chunkSizeBytes: 65536, disks: [d0] }
  await callAdmin(socketPath, 'array create', array)
  const names = Array.from({ length: 12 }, (_, index) => `p${index}`)
  const outcomes = await Promise.allSettled(
    [...names, 'p0'].map((name) =>
      callAdmin(socketPath, 'partition create', { array: 'a', name, sizeBytes: 65536, host: '*' }),
    ),
  )
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 12)
  const luns = (await callAdmin(socketPath, 'grant list', {})).map(({ lun }) => lun)
  t.same(
    luns.sort((a, b) => a - b),
    [...names.keys()],
  )
})

t.test('a file that is no socket is left alone', async (t) => {
  const { target, directory, admin, socketPath } = await start(t)
  await admin.close()
  await t.rejects(stat(socketPath), { code: 'ENOENT' }, 'closing removes the socket')
  const file = path.join(directory, 'precious')
  await writeFile(file, 'x')
  await t.rejects(serveAdmin({ target, socketPath: file, onInternalError: () => {} }), {
    code: 'already-exists',
    message: /is not a socket/,
  })
  t.equal((await stat(file)).size, 1)
})

t.test('a server that stops takes no more changes', async (t) => {
  const { target, directory } = await start(t)
  const change = target.createDisk(path.join(directory, 'd0'), 8 * MiB)
  const stopped = target.stop()
  t.match(await change, { state: 'free' }, 'what is under way is finished')
  await t.rejects(target.createDisk(path.join(directory, 'd1'), MiB), { code: 'shutting-down' })
  await stopped
})
