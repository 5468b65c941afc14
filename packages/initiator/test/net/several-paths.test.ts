/** Sessions over several paths; each path is a target of its own, which knows of no sessions. */
import { LoginStatus, Opcode } from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { Path } from '../../src/net/path.ts'
import { PersistentSession } from '../../src/net/persistent-session.ts'
import type { SessionEvent } from '../../src/net/session-options.ts'
import { type MultiMode, TargetTransport } from '../../src/net/target-transport.ts'
import { placementPolicies } from '../../src/session/placement.ts'
import type { ScsiTransport } from '../../src/session/scsi-transport.ts'
import type { ScsiTask } from '../../src/session/task.ts'
import { LoopbackTarget, loopbackPolicy } from '../support/loopback-target.ts'
import { identity, pattern, readTask, writeTask } from '../support/scripted-target.ts'

async function twoTargets(t: Test, maxConnections: number) {
  const targets = [await LoopbackTarget.listen(t), await LoopbackTarget.listen(t)] as const
  for (const target of targets) target.maxConnections = maxConnections
  return targets
}

async function connected(t: Test, targets: readonly LoopbackTarget[], connections: number) {
  const paths = targets.map(({ endpoint }, rank) => new Path(endpoint, rank))
  const events: SessionEvent[] = []
  const session = await PersistentSession.connect({
    paths,
    connections,
    identity: identity({ ...loopbackPolicy, maxConnections: connections }),
    pathTimeoutMs: 5000,
    place: placementPolicies['round-robin'](),
    retryForMs: 60_000,
    onEvent: (event) => events.push(event),
    onFault: (error) => t.fail(String(error)),
  })
  t.teardown(() => session.close())
  return { session, paths, events }
}

async function transport(t: Test, targets: readonly LoopbackTarget[], multi?: MultiMode) {
  let isids = 0
  const connected = await TargetTransport.connect({
    paths: targets.map(({ endpoint }) => endpoint),
    connections: 4,
    multi,
    policy: 'round-robin',
    identity: identity(loopbackPolicy),
    newIsid: () => Buffer.from([0x80, 0, 0, 0, 0, ++isids]),
    pathTimeoutMs: 5000,
    retryForMs: 60_000,
    onFault: (error) => t.fail(String(error)),
  })
  t.teardown(() => connected.close())
  return connected
}

function run(on: ScsiTransport, task: ScsiTask): Promise<ScsiTask> {
  return new Promise((resolve) => {
    task.done = resolve
    on.execute(task)
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

t.test('connections are dealt out to the paths, and all carry commands', async (t) => {
  const targets = await twoTargets(t, 8)
  const { session, paths } = await connected(t, targets, 4)
  await until(() => session.connections.length === 4)
  t.strictSame(
    targets.map(({ peers }) => peers.map(({ login }) => login?.leading)),
    [
      [true, false],
      [false, false],
    ],
  )
  await Promise.all(Array.from({ length: 8 }, () => run(session, readTask(512))))
  t.strictSame(
    targets.map(({ peers }) => peers.map(({ commands }) => commands)),
    [
      [2, 2],
      [2, 2],
    ],
  )
  const statuses = paths.map((path) => path.status(session.bytesInFlightOn(path)))
  for (const { commandMs } of statuses) t.ok(Number.isInteger(commandMs) && commandMs >= 0)
  t.strictSame(
    statuses.map(({ commandMs, ...status }) => status),
    targets.map(({ endpoint }) => ({
      path: `127.0.0.1:${endpoint.port}`,
      weight: 1,
      connections: 2,
      opened: 2,
      lost: 0,
      commands: 4,
      readBytes: 2048,
      writtenBytes: 0,
      bytesInFlight: 0,
      error: null,
    })),
  )
})

t.test('no more connections are made than the target grants', async (t) => {
  const targets = await twoTargets(t, 3)
  const { session } = await connected(t, targets, 4)
  await until(() => session.connections.length === 3)
  await run(session, readTask(512))
  t.equal(targets[0].peers.length + targets[1].peers.length, 3)
})

t.test('when a path is lost the others go on, and it joins again by itself', async (t) => {
  const targets = await twoTargets(t, 8)
  const [first, second] = targets
  const { session, events, paths } = await connected(t, targets, 4)
  await until(() => session.connections.length === 4)
  // Only what was written over the second path can be seen on its disk.
  first.ignored.add(Opcode.ScsiCommand)
  const writes = [1, 2].map((seed) => run(session, writeTask(pattern(512, seed))))
  first.stop()
  await Promise.all(writes)
  t.ok(second.disk.subarray(0, 512).equals(pattern(512, 2)), 'in their order')
  const [lost] = events
  t.match(lost, { type: 'lost', path: paths[0]?.name, alive: 2 })
  t.match(paths[0], { lost: 1, connections: 0, error: Error })
  await until(() => session.connections.length === 2)
  first.ignored.clear()
  const kept = [...second.open]
  await first.start()
  await until(() => session.connections.length === 4)
  t.strictSame(second.open, kept, 'the session was not disturbed')
  t.match(events.at(-1), { type: 'restored', path: paths[0]?.name })
  t.equal(paths[0]?.error, null)
})

t.test('a first login takes the first path that lets it in', async (t) => {
  const targets = await twoTargets(t, 1)
  targets[0].stop()
  const { session } = await connected(t, targets, 1)
  await run(session, readTask(512))
  t.equal(targets[1].peers.length, 1)
  targets[1].loginStatus = LoginStatus.NotFound
  await t.rejects(connected(t, targets, 1), /ECONNREFUSED/, 'the reason of the first')
})

t.test('a session of one connection goes back to its own path', async (t) => {
  const targets = await twoTargets(t, 1)
  const [own, other] = targets
  const { session, events } = await connected(t, targets, 1)
  own.stop()
  await run(session, readTask(512))
  t.equal(other.peers.length, 1, 'it has gone to the other path')
  await own.start()
  await until(() => own.open.length === 1 && other.open.length === 0)
  const [isid] = own.peers.map(({ login }) => login?.isid)
  t.equal(other.peers[0]?.login?.isid, isid, 'all of it is one session')
  await run(session, readTask(512))
  t.strictSame(
    events.map(({ type }) => type),
    ['lost', 'restored'],
  )
})

t.test('a session does not go to a portal of another group', async (t) => {
  const targets = await twoTargets(t, 1)
  const [own, other] = targets
  other.portalGroupTag = 2
  const { session, events } = await connected(t, targets, 1)
  own.stop()
  const read = run(session, readTask(512))
  await until(() => events.length > 1)
  t.match(events[1], { type: 'refused', error: { name: 'PortalGroupError', got: 2 } })
  t.equal(other.peers.filter(({ login }) => login !== null).length, 1)
  await own.start()
  t.equal((await read).error, null)
  t.equal(other.peers.length, 1, 'and asks it no more')
})

t.test('a target that grants one connection gets several sessions', async (t) => {
  const targets = await twoTargets(t, 1)
  const several = await transport(t, targets)
  t.match(several, { mode: 'sessions', connections: 4 })
  await until(() => several.status().every(({ connections }) => connections === 2))
  const peers = targets.flatMap((target) => target.peers)
  t.equal(new Set(peers.map(({ login }) => login?.isid)).size, 4)
  t.ok(peers.every(({ login }) => login?.leading))
  await Promise.all(Array.from({ length: 8 }, () => run(several, readTask(512))))
  t.ok(peers.every(({ commands }) => commands === 2))
  targets[0].stop()
  await Promise.all(Array.from({ length: 8 }, () => run(several, readTask(512))))
  t.equal(targets[1].open.length, 4, 'all of them go on over the path that is left')
})

t.test('a target that grants several connections gets one session', async (t) => {
  const targets = await twoTargets(t, 8)
  const several = await transport(t, targets)
  t.match(several, { mode: 'connections', connections: 4, unsolicitedBytes: 1024 * 1024 })
  await until(() => several.status().every(({ connections }) => connections === 2))
})

t.test('the mode may be forced', async (t) => {
  const targets = await twoTargets(t, 8)
  const several = await transport(t, targets, 'sessions')
  t.match(several, { mode: 'sessions', connections: 4 })
  for (const target of targets) target.maxConnections = 1
  await t.rejects(transport(t, targets, 'connections'), /allows one connection in a session/)
})
