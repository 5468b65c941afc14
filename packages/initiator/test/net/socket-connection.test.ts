import { once } from 'node:events'
import net, { createServer, type Server, Socket } from 'node:net'
import { AsyncEvent, AsyncMessage, Opcode } from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import type { Endpoint } from '../../src/net/endpoint.ts'
import { SocketConnection } from '../../src/net/socket-connection.ts'
import type { ConnectionSink } from '../../src/session/connection-sink.ts'
import { Session } from '../../src/session/session.ts'
import type { ScsiTask } from '../../src/session/task.ts'
import { LoopbackTarget, loopbackPolicy } from '../support/loopback-target.ts'
import { identity, pattern, readTask, writeTask } from '../support/scripted-target.ts'

interface Ending {
  readonly error: Error | null
  readonly unanswered: readonly ScsiTask[]
}

interface Dialled {
  readonly session: Session
  readonly sink: ConnectionSink
  readonly socket: SocketConnection
  readonly loggedIn: Promise<void>
  readonly ended: Promise<Ending>
  readonly fault: Promise<unknown>
  readonly ticked: Promise<void>
}

/** A session over a socket, and promises of what becomes of it. */
function dial(
  endpoint: Endpoint,
  onLoggedIn = (): void => {},
  Carrier: typeof SocketConnection = SocketConnection,
): Dialled {
  const report = {
    loggedIn: (): void => {},
    ended: (_: Ending): void => {},
    fault: (_: unknown): void => {},
    ticked: (): void => {},
  }
  const loggedIn = new Promise<void>((resolve) => (report.loggedIn = resolve))
  const ended = new Promise<Ending>((resolve) => (report.ended = resolve))
  const fault = new Promise<unknown>((resolve) => (report.fault = resolve))
  const ticked = new Promise<void>((resolve) => (report.ticked = resolve))
  const session = new Session({
    identity: identity(loopbackPolicy),
    cmdSN: 0,
    nowMs: performance.now(),
    loggedIn: () => {
      onLoggedIn()
      report.loggedIn()
    },
    ended: (error, unanswered) => report.ended({ error, unanswered }),
  })
  let sink: ConnectionSink | undefined
  const socket = new Carrier({
    endpoint,
    connect: (carrier) => {
      sink = carrier
      return session.connect(carrier)
    },
    onTick: () => report.ticked(),
    onFault: (error) => report.fault(error),
  })
  if (sink === undefined) throw new Error('connect was not called')
  return { session, sink, socket, loggedIn, ended, fault, ticked }
}

/** The class, with sockets that come from `createConnection`. */
async function withSockets(t: Test, createConnection: (options: net.NetConnectOpts) => Socket) {
  const module = await t.mockImport<typeof import('../../src/net/socket-connection.ts')>(
    '../../src/net/socket-connection.ts',
    { 'node:net': { ...net, createConnection } },
  )
  return module.SocketConnection
}

/** The class, and the sockets that it makes. */
async function watchingSockets(t: Test) {
  const sockets: Socket[] = []
  const Carrier = await withSockets(t, (options) => {
    const socket = net.createConnection(options)
    sockets.push(socket)
    return socket
  })
  return { Carrier, sockets }
}

/** Executes the task; resolves when it is done. */
function run(session: Session, task: ScsiTask): Promise<ScsiTask> {
  return new Promise((resolve) => {
    task.done = resolve
    session.execute(task)
  })
}

async function listening(t: Test, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, onSocket)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return server
}

function endpointOf(server: Server): Endpoint {
  return { host: '127.0.0.1', port: (server.address() as net.AddressInfo).port }
}

t.test('data go both ways, and a logout ends the connection in order', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const { session, loggedIn, ended } = dial(target.endpoint)
  await loggedIn
  const written = writeTask(pattern(1_000_000))
  await run(session, written)
  t.match(written, { error: null, status: 0, transferredLength: 1_000_000 })
  t.ok(target.disk.subarray(0, 1_000_000).equals(pattern(1_000_000)))
  const read = readTask(1_000_000)
  await run(session, read)
  t.match(read, { error: null, status: 0, transferredLength: 1_000_000 })
  t.ok(read.buffer.subarray(32, 1_000_032).equals(pattern(1_000_000)))
  session.logout()
  t.same(await ended, { error: null, unanswered: [] })
})

t.test('many commands at once are all answered', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const { session, loggedIn, ended } = dial(target.endpoint)
  const tasks = Array.from({ length: 100 }, (_, index) => {
    const task = writeTask(pattern(4096, index))
    task.cdb.writeUInt32BE(index * 8, 2)
    return task
  })
  // Executed before the login is done: they wait for it.
  const done = tasks.map((task) => run(session, task))
  await loggedIn
  await Promise.all(done)
  t.ok(tasks.every(({ error, status }) => error === null && status === 0))
  for (const [index] of tasks.entries()) {
    const block = target.disk.subarray(index * 4096, (index + 1) * 4096)
    if (!block.equals(pattern(4096, index))) t.fail(`write ${index} is not where it belongs`)
  }
  session.logout()
  t.equal((await ended).error, null)
})

t.test('a target that does not read stops us; what is queued has a bound', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const { session, sink, loggedIn, ended } = dial(target.endpoint)
  await loggedIn
  const peer = target.peers[0]
  peer?.socket.pause()
  const tasks = Array.from({ length: 64 }, () => writeTask(pattern(512 * 1024)))
  const done = tasks.map((task) => run(session, task))
  t.ok(sink.backlogBytes > sink.backlogLimitBytes, 'more was to be sent than is taken')
  t.ok(sink.backlogBytes <= sink.backlogLimitBytes + 2 * sink.slabMaxBytes)
  peer?.socket.resume()
  await Promise.all(done)
  t.ok(tasks.every(({ error, status }) => error === null && status === 0))
  session.logout()
  await ended
})

t.test('a port where nobody listens ends the session with the reason', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const { endpoint } = target
  target.stop()
  const { port } = endpoint
  const task = readTask(4)
  const { session, ended } = dial(endpoint)
  session.execute(task)
  const { error, unanswered } = await ended
  t.match(error?.message, `127.0.0.1:${port}: connect ECONNREFUSED`)
  t.strictSame(unanswered, [task])
  // A name may have several addresses, each with an error of its own.
  const named = await dial({ host: 'localhost', port }).ended
  t.match(named.error?.message, new RegExp(`^localhost:${port}: .*ECONNREFUSED`))
})

t.test('a place that cannot be dialled from or to is a failure to connect', async (t) => {
  const impossible: [Endpoint, RegExp][] = [
    [{ host: '127.0.0.1', port: 65536 }, /65536/],
    [{ host: '127.0.0.1', port: 3260, source: 'nowhere0' }, /nowhere0 is no network interface/],
    [{ host: '::1', port: 3260, source: '192.0.2.1' }, /192\.0\.2\.1|EINVAL|invalid/i],
  ]
  for (const [endpoint, message] of impossible) {
    t.match((await dial(endpoint).ended).error?.message, message)
  }
})

t.test('a connection comes from the address, or the interface, that it is told', async (t) => {
  for (const [source, from] of [
    ['127.0.0.77', '127.0.0.77'],
    ['lo', '127.0.0.1'],
  ] as const) {
    const target = await LoopbackTarget.listen(t)
    const { session, loggedIn, ended } = dial({ ...target.endpoint, source })
    await loggedIn
    t.equal(target.peers[0]?.socket.remoteAddress, from)
    session.logout()
    await ended
  }
})

t.test('a target that closes the connection ends the session', async (t) => {
  const target = await LoopbackTarget.listen(t)
  target.ignored.add(Opcode.ScsiCommand)
  const { session, loggedIn, ended } = dial(target.endpoint)
  await loggedIn
  const task = readTask(512)
  session.execute(task)
  target.peers[0]?.socket.end()
  const { error, unanswered } = await ended
  t.match(error?.message, /the target closed the connection/)
  t.match(error?.name, 'ConnectionLostError')
  t.strictSame(unanswered, [task])
})

t.test('a connection that is reset ends the session, in login or later', async (t) => {
  const early = await listening(t, (socket) => socket.resetAndDestroy())
  t.match((await dial(endpointOf(early)).ended).error?.message, /127\.0\.0\.1:\d+: /)
  const target = await LoopbackTarget.listen(t)
  const { session, loggedIn, ended } = dial(target.endpoint)
  await loggedIn
  const writes = Array.from({ length: 32 }, () => writeTask(pattern(512 * 1024)))
  target.peers[0]?.socket.pause()
  for (const task of writes) session.execute(task)
  target.peers[0]?.socket.resetAndDestroy()
  const { error, unanswered } = await ended
  t.match(error?.message, /ECONNRESET|EPIPE/)
  t.strictSame(unanswered, writes)
})

t.test('a target that talks nonsense is left', async (t) => {
  const server = await listening(t, (socket) => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n'.repeat(10))
  })
  const { error } = await dial(endpointOf(server)).ended
  t.match(error?.name, 'ProtocolError')
})

t.test('what the target says last is heard, though it closes at once', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const { loggedIn, ended } = dial(target.endpoint)
  await loggedIn
  const [peer] = target.peers
  peer?.send(new AsyncMessage(), { asyncEvent: AsyncEvent.ConnectionDropped })
  peer?.socket.end()
  t.match((await ended).error?.message, /by the target: ConnectionDropped/)
})

t.test('a target that keeps its side open is left after a while', async (t) => {
  const server = await listening(t, (socket) => socket.on('error', () => {}).resume())
  const { Carrier, sockets } = await watchingSockets(t)
  const { session, ended } = dial(endpointOf(server), undefined, Carrier)
  const [socket] = sockets
  if (socket === undefined) throw new Error('nothing was dialled')
  await once(socket, 'connect')
  session.logout()
  t.match((await ended).error?.message, /given up before it was logged in/)
  t.notOk(socket.destroyed, 'what is queued has time to leave')
  await once(socket, 'close')
})

t.test('what was lent does not leave after the connection was given up', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const { Carrier, sockets } = await watchingSockets(t)
  const { session, sink, socket, loggedIn, ended } = dial(target.endpoint, undefined, Carrier)
  await loggedIn
  target.peers[0]?.socket.pause()
  const tasks = Array.from({ length: 32 }, () => writeTask(pattern(512 * 1024)))
  for (const task of tasks) session.execute(task)
  t.ok(sink.backlogBytes > 0)
  socket.close()
  t.ok(sockets[0]?.destroyed)
  t.strictSame((await ended).unanswered, tasks)
})

t.test('a login that goes nowhere is ended by the clock', async (t) => {
  const server = await listening(t, (socket) => socket.on('error', () => {}).resume())
  const { session, ended, ticked } = dial(endpointOf(server))
  await ticked
  session.onTimer(performance.now())
  session.onTimer(performance.now() + 5001)
  t.match((await ended).error?.message, /no answer to the login within 5000 ms/)
})

t.test('a connect that goes nowhere is ended by the clock', async (t) => {
  const idle = new Socket()
  const Carrier = await withSockets(t, () => idle)
  const { ended } = dial({ host: '192.0.2.1', port: 3260 }, undefined, Carrier)
  idle.emit('timeout')
  t.match((await ended).error?.message, '192.0.2.1:3260: no connection within 5000 ms')
})

t.test('a session may be given up while it dials', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const { session, ended } = dial(target.endpoint)
  session.logout()
  t.match((await ended).error?.message, /given up before it was logged in/)
})

t.test('whoever closes the socket has the session ended', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const dialling = dial(target.endpoint)
  dialling.socket.close()
  t.match((await dialling.ended).error?.message, /the connection was closed/)
  const { socket, loggedIn, ended } = dial(target.endpoint)
  await loggedIn
  socket.close()
  socket.close()
  const peer = target.peers.at(-1)
  if (peer !== undefined) await once(peer.socket, 'end')
  peer?.socket.end()
  t.ok((await ended).error)
})

t.test('a fault of ours ends the connection, and is told', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const early = dial(target.endpoint, () => {
    throw new TypeError('a mistake in loggedIn')
  })
  t.match(await early.fault, { message: 'a mistake in loggedIn' })
  t.match((await early.ended).error?.message, /internal fault: TypeError: a mistake in loggedIn/)
  const late = dial(target.endpoint)
  await late.loggedIn
  const task = readTask(4)
  task.done = () => {
    throw new TypeError('a mistake in done')
  }
  late.session.execute(task)
  t.match(await late.fault, { message: 'a mistake in done' })
  t.match((await late.ended).error?.message, /a mistake in done/)
})
