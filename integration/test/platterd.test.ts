/** platterd as a process: signals, kills, and what the next one finds. */
import { once } from 'node:events'
import { chmodSync, lstatSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { BackgroundProcess, run } from '../lib/command.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { requires } from '../lib/requires.ts'
import { TargetOpcode } from '../lib/target-pdu.ts'
import { platterdScript, TargetProcess } from '../lib/target-process.ts'
import { WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
t.setTimeout(120_000)

const MiB = 1024 * 1024

interface Partition {
  readonly name: string
  readonly grants: readonly { readonly lun: number }[]
}

/** One request to the admin API, which is far faster than a command; undefined when the server has gone. */
async function admin<T>(
  target: TargetProcess,
  method: string,
  path: string,
  body?: object,
): Promise<T | undefined> {
  const socketPath = join(target.stateDirectory, 'admin.sock')
  const headers = body === undefined ? {} : { 'content-type': 'application/json' }
  const outgoing = request({ socketPath, method, path: `/api/v1/${path}`, headers })
  try {
    outgoing.end(body && JSON.stringify(body))
    const [response] = await once(outgoing, 'response')
    let text = ''
    for await (const chunk of response) text += chunk
    if (response.statusCode >= 400) throw new Error(`${method} ${path}: ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  } catch (error) {
    if (/ECONN|EPIPE|socket hang up|aborted/.test((error as Error).message)) return undefined
    throw error
  }
}

async function makeArray(target: TargetProcess): Promise<string> {
  const disk = join(target.stateDirectory, 'd0')
  await admin(target, 'POST', 'disks/create', { path: disk, sizeBytes: 64 * MiB })
  const array = { name: 'a', level: 'raid0', chunkSizeBytes: 65536, disks: [disk] }
  await admin(target, 'POST', 'arrays', array)
  return disk
}

t.test('SIGTERM and SIGINT stop it cleanly, with a host connected', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const target = await TargetProcess.start()
    const socket = join(target.stateDirectory, 'admin.sock')
    t.equal(lstatSync(socket).mode & 0o777, 0o600)
    const host = connect(target.port, '127.0.0.1').resume()
    await once(host, 'connect')
    process.kill(target.pid, signal)
    await once(host, 'close')
    // A second signal would end it at once.
    while (target.running) await new Promise((resolve) => setTimeout(resolve, 10))
    t.equal(await target.stop(), 0, target.log)
    t.match(target.log, `stopping signal=${signal}`)
    t.throws(() => lstatSync(socket), { code: 'ENOENT' })
  }
})

t.test('no other user of the machine reaches the admin socket', requires('root'), async (t) => {
  const directory = temporaryDirectory()
  chmodSync(directory, 0o755)
  const socket = join(directory, 'admin.sock')
  // Where others may enter, the mode of the socket itself has to keep them out.
  const parameters = ['serve', '--state', directory, '--portal', '127.0.0.1:0']
  const server = new BackgroundProcess(process.execPath, [platterdScript(), ...parameters])
  const connectAs = (...user: string[]) => {
    const script = `const s = require('node:net').connect('${socket}', () => s.end())
      s.on('error', (error) => { console.log(error.code); process.exitCode = 1 })`
    return run('setpriv', [...user, process.execPath, '-e', script], { cwd: '/' })
  }
  const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups']
  await server.untilReady(async () => (await connectAs('--no-new-privs')).status === 0)
  t.match(await connectAs(...nobody), { status: 1, stdout: 'EACCES\n' })
  const read = await run('setpriv', [...nobody, 'cat', join(directory, 'state.json')])
  t.match([read.status === 0, read.stdout], [false, ''])
  t.equal(await server.end('SIGTERM'), 0)
  chmodSync(join(directory, 'state.json'), 0o640)
  const refused = await run(process.execPath, [platterdScript(), ...parameters])
  t.match(refused, { status: 1, stderr: /others may use .*state\.json \(mode 0640\).*: chmod 600/ })
})

t.test('a host that is logged in is listed, with both ends of its connection', async (t) => {
  const target = await TargetProcess.start()
  await target.admitEveryone()
  t.same(await target.command('session', 'list'), [])
  const host = await RawConnection.logIn(target.port, {
    targetName: await target.targetName(),
    keys: { 'X#NodeArchitecture': 'ExampleOS/1.2' },
  })
  t.match(host.agreed['X#NodeArchitecture'], /^Platter\/\d/)
  const [session, ...others] = await target.command<object[]>('session', 'list')
  t.same(others, [])
  t.match(session, {
    initiatorName: /^iqn\./,
    isid: /^[0-9a-f]{12}$/,
    type: 'normal',
    authentication: 'None',
    nodeArchitecture: 'ExampleOS/1.2',
    connections: [{ remote: /^127\.0\.0\.1:\d+$/, local: target.portal }],
  })
  t.match((await target.try('session', 'list')).stdout, /^INITIATOR .*\niqn\./)
  host.close()
  t.equal(await target.stop(), 0)
})

t.test('what a host is told of this software can be less, and nothing', async (t) => {
  const told = { name: 'Platter', none: undefined }
  for (const [detail, declared] of Object.entries(told)) {
    const flags = ['--node-architecture', detail]
    const target = await TargetProcess.start(temporaryDirectory(), flags)
    await target.admitEveryone()
    for (const discovers of [false, true]) {
      const host = await RawConnection.logIn(target.port, {
        ...(discovers ? {} : { targetName: await target.targetName() }),
        keys: { 'X#NodeArchitecture': 'ExampleOS/1.2' },
      })
      t.equal(host.agreed['X#NodeArchitecture'], declared)
      host.close()
    }
    t.equal(await target.stop(), 0)
  }
})

t.test('a host that is logged in hears of partitions that come and go', async (t) => {
  const target = await TargetProcess.start()
  await makeArray(target)
  const create = async (name: string) => {
    const wanted = { array: 'a', name, sizeBytes: MiB, host: '*' }
    const made = await admin<Partition>(target, 'POST', 'partitions', wanted)
    return made?.grants[0]?.lun ?? Number.NaN
  }
  const first = await create('first')
  const connection = await RawConnection.logIn(target.port, {
    targetName: await target.targetName(),
  })
  const session = { isid: 1, tsih: connection.tsih, cmdSN: 1, taskTag: 1 }
  const host = new WireInitiator(connection, first, session)
  /** How TEST UNIT READY ends: sense key, ASC and ASCQ, or no numbers for GOOD. */
  const ask = async (lun: number) => {
    host.testUnitReady({ lun })
    let answer = await host.receive()
    while (answer.opcode === TargetOpcode.AsyncMessage) answer = await host.receive()
    return answer.status === 0 ? [] : answer.sense
  }
  t.same([await ask(first), await ask(first)], [[6, 0x29, 0], []])
  const second = await create('second')
  t.same(await ask(first), [6, 0x3f, 0x0e], 'REPORTED LUNS DATA HAS CHANGED')
  t.same(await ask(first), [])
  for (let known = false; !known; known = (await ask(second)).length === 0);
  await admin(target, 'DELETE', 'partitions/a/first')
  t.same(await ask(first), [5, 0x25, 0], 'LOGICAL UNIT NOT SUPPORTED')
  t.same(await ask(second), [6, 0x3f, 0x0e])
  t.same(await ask(second), [])
  host.close()
  t.equal(await target.stop(), 0)
})

t.test('after kill -9 the next one takes over; while it runs no other can', async (t) => {
  const target = await TargetProcess.start()
  const disk = await makeArray(target)
  const before = await admin(target, 'GET', 'arrays')

  const second = ['serve', '--state', target.stateDirectory, '--portal', '127.0.0.1:0']
  const refused = await run(process.execPath, [platterdScript(), ...second])
  t.equal(refused.status, 1)
  t.match(refused.stderr, `is in use by process ${target.pid} `)

  const other = await TargetProcess.start(temporaryDirectory())
  const taken = await other.try('disk', 'add', disk)
  t.equal(taken.status, 1)
  t.match(taken.stderr, `in use by process ${target.pid} `)

  await target.kill()
  const socket = join(target.stateDirectory, 'admin.sock')
  t.ok(lstatSync(socket).isSocket(), 'the killed one left its socket behind')
  await target.serve()
  t.same(await admin(target, 'GET', 'arrays'), before)
  t.equal(await target.stop(), 0)
})

t.test('killed at any moment while partitions come and go, it keeps all it answered', async (t) => {
  const target = await TargetProcess.start()
  await makeArray(target)
  const answered = new Map<string, number | undefined>()
  for (let round = 0; round < 4; round++) {
    const killed = new Promise((resolve) => setTimeout(resolve, 20 + 37 * round)).then(() =>
      target.kill(),
    )
    for (let index = 0; ; index++) {
      const name = `p${round}-${index}`
      const wanted = { array: 'a', name, sizeBytes: 65536, host: '*' }
      const made = await admin<Partition>(target, 'POST', 'partitions', wanted)
      if (made === undefined) break
      if (index % 4 === 0) answered.set(name, made.grants[0]?.lun)
      else await admin(target, 'DELETE', `partitions/a/${name}`)
    }
    await killed
    await target.serve()
    const { problems } = (await admin<{ problems: string[] }>(target, 'GET', 'status'))!
    t.same(problems, [])
    const partitions = (await admin<Partition[]>(target, 'GET', 'partitions'))!
    const granted = partitions.filter(({ grants }) => grants.length > 0)
    const luns = new Map(granted.map(({ name, grants }) => [name, grants[0]?.lun]))
    for (const [name, lun] of answered) t.equal(luns.get(name), lun, `${name} has its LUN`)
    t.equal(new Set(luns.values()).size, granted.length, 'each has one of its own')
    t.ok(partitions.length - granted.length <= 1 + round, 'but for the one that was under way')
    const state = readFileSync(join(target.stateDirectory, 'state.json'), 'utf8')
    t.equal(JSON.parse(state).grants.length, granted.length, 'no grant is left over')
  }
  t.equal(await target.stop(), 0)
})
