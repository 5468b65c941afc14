import { AsyncEvent, AsyncMessage, LoginStatus, Opcode } from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { Path } from '../../src/net/path.ts'
import { PersistentSession } from '../../src/net/persistent-session.ts'
import type { SessionEvent } from '../../src/net/session-options.ts'
import { placementPolicies } from '../../src/session/placement.ts'
import type { ScsiTask } from '../../src/session/task.ts'
import { type LoopbackPeer, LoopbackTarget, loopbackPolicy } from '../support/loopback-target.ts'
import { identity, pattern, readTask, writeTask } from '../support/scripted-target.ts'

function common(target: LoopbackTarget) {
  return {
    paths: [new Path(target.endpoint, 0)],
    connections: 1,
    identity: identity(loopbackPolicy),
    pathTimeoutMs: 5000,
    place: placementPolicies['least-bytes'](),
  }
}

async function connected(t: Test, retryForMs = 60_000) {
  const target = await LoopbackTarget.listen(t)
  const events: SessionEvent[] = []
  const session = await PersistentSession.connect({
    ...common(target),
    retryForMs,
    onEvent: (event) => events.push(event),
    onFault: (error) => t.fail(String(error)),
  })
  t.teardown(() => session.close())
  const [peer] = target.peers
  if (peer === undefined) throw new Error('nobody connected')
  return { target, session, events, peer }
}

/** Executes the task; resolves when it is done. */
function run(session: PersistentSession, task: ScsiTask): Promise<ScsiTask> {
  return new Promise((resolve) => {
    task.done = resolve
    session.execute(task)
  })
}

/** Resolves when the peer has got a request that it does not answer. */
function ignoredBy(peer: LoopbackPeer): Promise<void> {
  return new Promise((resolve) => {
    peer.onIgnored = resolve
  })
}

t.test('a first login that fails is told, and is not tried again', async (t) => {
  const target = await LoopbackTarget.listen(t)
  const options = {
    ...common(target),
    retryForMs: 60_000,
    onFault: (error: unknown) => t.fail(String(error)),
  }
  target.loginStatus = LoginStatus.NotFound
  await t.rejects(PersistentSession.connect(options), { name: 'LoginError', status: 0x0203 })
  target.stop()
  await t.rejects(PersistentSession.connect(options), /ECONNREFUSED/)
  t.equal(target.peers.length, 1)
})

t.test('commands that were under way when the connection broke are executed anew', async (t) => {
  const { target, session, events, peer } = await connected(t)
  target.ignored.add(Opcode.ScsiCommand)
  const lost = ignoredBy(peer)
  const write = writeTask(pattern(512))
  const done = run(session, write)
  await lost
  target.ignored.clear()
  peer.socket.resetAndDestroy()
  await done
  t.match(write, { error: null, status: 0, transferredLength: 512 })
  t.ok(target.disk.subarray(0, 512).equals(pattern(512)))
  t.strictSame(
    events.map(({ type }) => type),
    ['lost', 'restored'],
  )
  t.equal(target.peers.length, 2)
})

t.test('commands executed during an outage wait, and keep their order', async (t) => {
  const { target, session, peer } = await connected(t)
  const back = target.nextPeer()
  const [first, second] = [writeTask(pattern(512, 1)), writeTask(pattern(512, 2))]
  peer.socket.resetAndDestroy()
  await Promise.all([run(session, first), run(session, second), back])
  t.ok(target.disk.subarray(0, 512).equals(pattern(512, 2)), 'the later write won')
})

t.test('a target that asks us to log out gets us back', async (t) => {
  const { target, session, events, peer } = await connected(t)
  peer.send(new AsyncMessage(), { asyncEvent: AsyncEvent.LogoutRequest })
  await target.nextPeer()
  const read = readTask(512)
  await run(session, read)
  t.match(read, { error: null, transferredLength: 512 })
  t.match(events[0], { type: 'lost', error: { message: 'the target asked us to log out' } })
})

t.test('an outage that is too long fails what waits, and what comes', async (t) => {
  const { target, session, events } = await connected(t, 0)
  target.ignored.add(Opcode.ScsiCommand)
  const lost = ignoredBy(target.peers[0] as LoopbackPeer)
  const waiting = readTask(512)
  const failed = run(session, waiting)
  await lost
  target.stop()
  await failed
  t.match(waiting.error?.message, /no connection for 0 ms/)
  const late = readTask(512)
  await run(session, late)
  t.match(late.error?.message, /no connection for 0 ms/)
  t.equal(events[0]?.type, 'lost')
})

t.test('after close commands fail, those under way too', async (t) => {
  const { target, session, peer } = await connected(t)
  target.ignored.add(Opcode.ScsiCommand)
  const sent = ignoredBy(peer)
  const task = readTask(512)
  const done = run(session, task)
  await sent
  await session.close()
  await done
  t.match(task.error?.message, /the session is closed|log/)
  const late = readTask(512)
  let within = true
  const ended = new Promise<boolean>((resolve) => {
    late.done = () => resolve(within)
  })
  session.execute(late)
  within = false
  t.equal(await ended, false, 'done is not called from within execute')
  t.match(late.error?.message, /the session is closed/)
  await session.close()
  t.equal(target.peers.length, 1)
})

t.test('close during an outage ends it', async (t) => {
  const { target, session, peer, events } = await connected(t)
  const broken = new Promise((resolve) => peer.socket.once('close', resolve))
  const task = readTask(512)
  target.ignored.add(Opcode.ScsiCommand)
  const sent = ignoredBy(peer)
  const done = run(session, task)
  await sent
  target.stop()
  await broken
  await session.close()
  await done
  t.ok(task.error)
  t.notOk(events.some(({ type }) => type === 'restored'))
})
