/**
 * Sessions of 1, 2, 4 and 8 connections: one order of commands, answers where the command came from, and
 * what is left when a connection goes (RFC 7143 sections 4.2.2, 4.2.5.1, 6.3.4, 7.15 and 11.14).
 */
import t, { type Test } from 'tap'
import { noise } from '../lib/attacked-target.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { isToldOfLoss } from '../lib/lost-tasks.ts'
import { ProbedTarget, solicitedOnly } from '../lib/probed-target.ts'
import { compareAndWriteCdb } from '../lib/raw-pdu.ts'
import { TargetOpcode, type TargetPdu } from '../lib/target-pdu.ts'
import type { WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
t.setTimeout(120_000)
const KiB = 1024
const blockBytes = 512
const good = 0
const closeSession = 0
const closeConnection = 1
const target = await ProbedTarget.start()

/** A test that is run as a subtest with each number of connections. */
function onEach(counts: readonly number[], test: (t: Test, count: number) => Promise<void>) {
  return async (t: Test) => {
    for (const count of counts) await t.test(`connections: ${count}`, (t) => test(t, count))
  }
}

/** A WRITE of one block that waits for its data. */
interface WaitingWrite {
  readonly initiator: WireInitiator
  readonly tag: number
  readonly targetTransferTag: number
  readonly offset: number
}

/** On each connection a WRITE that waits for its data, each at blocks of its own. */
async function waitingWrites(connections: readonly WireInitiator[]): Promise<WaitingWrite[]> {
  const writes: WaitingWrite[] = []
  for (const [index, initiator] of connections.entries()) {
    const offset = index * blockBytes
    const tag = initiator.write(offset, blockBytes)
    const { opcode, initiatorTaskTag, targetTransferTag } = await initiator.receive()
    if (opcode !== TargetOpcode.ReadyToTransfer || initiatorTaskTag !== tag) {
      throw new Error(`PDU ${opcode} for task ${initiatorTaskTag}, wanted an R2T for ${tag}`)
    }
    writes.push({ initiator, tag, targetTransferTag, offset })
  }
  return writes
}

/** The writes end well when their data come, and the medium has them. */
async function areDone(t: Test, writes: readonly WaitingWrite[], seed: number): Promise<void> {
  for (const { initiator, tag, targetTransferTag, offset } of writes) {
    const data = noise(seed + offset, blockBytes)
    initiator.dataOut(tag, { targetTransferTag, data })
    const { opcode, initiatorTaskTag, status } = await initiator.receive()
    t.strictSame([opcode, initiatorTaskTag, status], [TargetOpcode.ScsiResponse, tag, good])
    t.ok((await target.contentAt(offset, blockBytes)).equals(data))
  }
}

/** The very next PDU of a connection, which is to be the answer to a ping. */
async function answerToPing(t: Test, initiator: WireInitiator): Promise<TargetPdu> {
  const tag = initiator.ping({ immediate: true })
  const answer = await initiator.receive()
  t.strictSame([answer.opcode, answer.initiatorTaskTag], [TargetOpcode.NopIn, tag])
  return answer
}

/** All connections go on, and no unit attention waits for any of their commands. */
async function areAlive(t: Test, connections: readonly WireInitiator[]): Promise<void> {
  for (const initiator of connections) {
    const tag = initiator.testUnitReady()
    const { initiatorTaskTag, status } = await initiator.receive()
    t.strictSame([initiatorTaskTag, status], [tag, good])
  }
}

/** A write has ended: its tag is free for another command. */
async function isOver(t: Test, { tag }: WaitingWrite, initiator: WireInitiator): Promise<void> {
  initiator.testUnitReady({ initiatorTaskTag: tag })
  const { opcode, initiatorTaskTag, status } = await initiator.receive()
  t.strictSame([opcode, initiatorTaskTag, status], [TargetOpcode.ScsiResponse, tag, good])
}

function close(connections: readonly WireInitiator[]): void {
  for (const initiator of connections) initiator.close()
}

t.test(
  'MC/S: commands out of order across connections are executed in CmdSN order',
  onEach([1, 2, 4, 8], async (t, count) => {
    const links = 16
    const offset = 64 * blockBytes
    const connections = await target.logInOn(count)
    const of = (index: number) => connections[index % count] as WireInitiator
    const before = await target.contentAt(offset, blockBytes)
    // Each link writes only if it finds what the one before it wrote.
    const contents = [
      before,
      ...Array.from({ length: links }, (_, n) => noise(n + count * 100, 512)),
    ]
    const { session } = of(0)
    const first = session.cmdSN
    session.cmdSN += links + 1
    const sendLink = (index: number) =>
      of(index).command(compareAndWriteCdb(offset / blockBytes), 'write', {
        cmdSN: first + index,
        expected: 2 * blockBytes,
        data: Buffer.concat(contents.slice(index, index + 2)),
      })
    const read = of(links).read(offset, blockBytes, { cmdSN: first + links })
    const tags = new Map<number, number>()
    for (let index = links - 1; index > 0; index--) tags.set(index, sendLink(index))
    for (const initiator of connections) {
      const { expCmdSN } = await answerToPing(t, initiator)
      t.equal(expCmdSN, first, 'all wait for the command that has not come')
    }
    t.ok((await target.contentAt(offset, blockBytes)).equals(before))
    tags.set(0, sendLink(0))
    for (let index = 0; index < links; index++) {
      const { initiatorTaskTag, status } = await of(index).receive()
      t.strictSame([initiatorTaskTag, status], [tags.get(index), good], `link ${index}`)
    }
    const [data] = await of(links).receiveToStatus()
    t.equal(data?.initiatorTaskTag, read)
    t.ok(data?.data.equals(contents[links] as Buffer), 'the last one sees what all have done')
    close(connections)
  }),
)

t.test(
  'MC/S: R2Ts, data and status come back on the connection that carried the command',
  onEach([1, 2, 4, 8], async (t, count) => {
    const connections = await target.logInOn(count, solicitedOnly)
    const writes = await waitingWrites(connections)
    const length = 20 * KiB
    const reads = connections.map((initiator) => initiator.read(blockBytes * count, length))
    for (const [index, initiator] of connections.entries()) {
      const parts = await initiator.receiveToStatus()
      t.ok(parts.length > 1, 'more than one Data-In')
      t.ok(parts.every(({ initiatorTaskTag }) => initiatorTaskTag === reads[index]))
      const bytes = parts.reduce((sum, { data }) => sum + data.length, 0)
      t.equal(bytes, length)
    }
    await areDone(t, writes, count)
    for (const initiator of connections) t.strictSame(await initiator.receiveRest(), [])
    close(connections)
  }),
)

t.test(
  'MC/S: StatSN counts per connection, ExpCmdSN and MaxCmdSN are those of the session',
  onEach([1, 2, 4, 8], async (t, count) => {
    const connections = await target.logInOn(count)
    for (const [index, initiator] of connections.entries()) {
      const first = initiator.connection.expStatSN
      // As many commands as no other connection has.
      for (let command = 0; command <= index; command++) {
        initiator.testUnitReady()
        const { statSN } = await initiator.receive()
        t.equal(statSN, (first + command) >>> 0, `connection ${index}, command ${command}`)
      }
    }
    const answers: TargetPdu[] = []
    for (const initiator of connections) answers.push(await answerToPing(t, initiator))
    for (const { expCmdSN, maxCmdSN } of answers) {
      t.equal(expCmdSN, connections[0]?.session.cmdSN)
      t.equal(maxCmdSN, answers[0]?.maxCmdSN)
    }
    close(connections)
  }),
)

t.test(
  'MC/S: a connection that is lost takes its own tasks with it, and nothing else',
  onEach([2, 4, 8], async (t, count) => {
    const connections = await target.logInOn(count, solicitedOnly)
    const [leading, lost, ...rest] = connections as [WireInitiator, WireInitiator]
    const others = [leading, ...rest]
    const { session } = leading
    const window = await answerToPing(t, leading)
    const open = window.maxCmdSN - window.expCmdSN
    const writes = await waitingWrites(connections)
    const untouched = await target.contentAt(blockBytes, blockBytes)
    // It goes with a command that never came, and with one that waits for that.
    const hole = session.cmdSN++
    lost.testUnitReady()
    t.equal((await answerToPing(t, lost)).expCmdSN, hole)
    lost.close()
    await target.hasConnections(session, count - 1)
    await isToldOfLoss(t, leading, count - 1, { cmdSN: hole })
    // What waited behind the hole went with its connection: its place is free again.
    session.cmdSN = hole + 1
    await areAlive(t, others)
    await isOver(t, writes[1] as WaitingWrite, leading)
    await areDone(
      t,
      writes.filter(({ initiator }) => initiator !== lost),
      count,
    )
    t.ok((await target.contentAt(blockBytes, blockBytes)).equals(untouched))
    const { expCmdSN, maxCmdSN } = await answerToPing(t, leading)
    t.strictSame([expCmdSN, maxCmdSN - expCmdSN], [session.cmdSN, open], 'no place is lost')
    for (const initiator of others) t.strictSame(await initiator.receiveRest(), [])
    close(others)
  }),
)

t.test(
  'MC/S: a lost connection is replaced under its CID, and no more than MaxConnections are let in',
  onEach([2, 4, 8], async (t, count) => {
    const connections = await target.logInOn(count, solicitedOnly)
    const [leading, lost, ...rest] = connections as [WireInitiator, WireInitiator]
    const tooMany = { message: 'login got status 0x206' }
    await t.rejects(target.join(leading, count), tooMany)
    lost.close()
    await target.hasConnections(leading.session, count - 1)
    const replacement = await target.join(leading, 1)
    await t.rejects(target.join(leading, count), tooMany)
    const all = [leading, replacement, ...rest]
    await areAlive(t, all)
    await areDone(t, await waitingWrites(all), count)
    close(all)
  }),
)

t.test(
  'MC/S: a login with the CID of a live connection ends that one, and its tasks only',
  onEach([1, 2, 4, 8], async (t, count) => {
    const connections = await target.logInOn(count, solicitedOnly)
    const writes = await waitingWrites(connections)
    const last = connections[count - 1] as WireInitiator
    const untouched = await target.contentAt((count - 1) * blockBytes, blockBytes)
    const replacement = await target.join(last, count - 1)
    t.strictSame(await last.receiveToEnd(), [], 'nothing more of the former')
    const all = [...connections.slice(0, -1), replacement]
    await isToldOfLoss(t, replacement, count)
    await areAlive(t, all)
    await isOver(t, writes[count - 1] as WaitingWrite, replacement)
    await areDone(t, writes.slice(0, -1), count)
    t.ok((await target.contentAt((count - 1) * blockBytes, blockBytes)).equals(untouched))
    close(all)
  }),
)

t.test(
  'MC/S: the session ends with the last of its connections',
  onEach([1, 2, 4, 8], async (t, count) => {
    const connections = await target.logInOn(count, solicitedOnly)
    await waitingWrites(connections)
    const last = connections.pop() as WireInitiator
    close(connections)
    await target.hasConnections(last.session, 1)
    if (count > 1) await isToldOfLoss(t, last)
    await areAlive(t, [last])
    last.close()
    await target.hasConnections(last.session, 0)
    await t.rejects(target.join(last, 0), { message: 'login got status 0x20a' })
  }),
)

t.test(
  'MC/S: one connection logs another out, which ends alone',
  onEach([2, 4, 8], async (t, count) => {
    const connections = await target.logInOn(count, solicitedOnly)
    const [leading, closed, ...rest] = connections as [WireInitiator, WireInitiator]
    const writes = await waitingWrites(connections)
    const tag = leading.logOut(closeConnection, 1)
    const { opcode, initiatorTaskTag, response } = await leading.receive()
    t.strictSame([opcode, initiatorTaskTag, response], [TargetOpcode.LogoutResponse, tag, 0])
    t.strictSame(await closed.receiveToEnd(), [])
    await isToldOfLoss(t, leading, count - 1)
    await areAlive(t, [leading, ...rest])
    await isOver(t, writes[1] as WaitingWrite, leading)
    await areDone(
      t,
      writes.filter(({ initiator }) => initiator !== closed),
      count,
    )
    close([leading, ...rest])
  }),
)

t.test(
  'MC/S: the logout of the session, on any connection, closes all',
  onEach([1, 2, 4, 8], async (t, count) => {
    const connections = await target.logInOn(count, solicitedOnly)
    await waitingWrites(connections)
    const last = connections.pop() as WireInitiator
    const tag = last.logOut(closeSession)
    const pdus = await last.receiveToEnd()
    t.strictSame(
      pdus.map(({ opcode, initiatorTaskTag, response }) => [opcode, initiatorTaskTag, response]),
      [[TargetOpcode.LogoutResponse, tag, 0]],
    )
    for (const initiator of connections) t.strictSame(await initiator.receiveToEnd(), [])
    await t.rejects(target.join(last, 0), { message: 'login got status 0x20a' })
  }),
)

/** Sends what the R2Ts of some writes of one connection ask for, until all have ended; their statuses. */
async function sendAll(
  initiator: WireInitiator,
  writes: ReadonlyMap<number, Buffer>,
): Promise<number[]> {
  const segment = 8 * KiB
  const statuses: number[] = []
  while (statuses.length < writes.size) {
    const pdu = await initiator.receive()
    const { initiatorTaskTag, targetTransferTag, bufferOffset } = pdu
    if (pdu.opcode !== TargetOpcode.ReadyToTransfer) {
      statuses.push(pdu.status)
      continue
    }
    const end = bufferOffset + pdu.desiredDataTransferLength
    for (let offset = bufferOffset; offset < end; offset += segment) {
      const data = writes.get(initiatorTaskTag)?.subarray(offset, Math.min(end, offset + segment))
      if (data === undefined) throw new Error(`an R2T for task ${initiatorTaskTag}, not ours`)
      const dataSN = (offset - bufferOffset) / segment
      const final = offset + data.length === end
      initiator.dataOut(initiatorTaskTag, { targetTransferTag, dataSN, offset, data, final })
    }
  }
  return statuses
}

/** Takes in the data of some reads of one connection, given with where they go, until all have ended. */
async function takeAll(
  initiator: WireInitiator,
  reads: ReadonlyMap<number, Buffer>,
): Promise<void> {
  for (let ended = 0; ended < reads.size; ) {
    const { opcode, initiatorTaskTag, data, bufferOffset, hasStatus } = await initiator.receive()
    const place = reads.get(initiatorTaskTag)
    if (opcode !== TargetOpcode.DataIn || place === undefined) {
      throw new Error(`PDU ${opcode} for task ${initiatorTaskTag}, wanted data of our reads`)
    }
    data.copy(place, bufferOffset)
    if (hasStatus) ended++
  }
}

t.test(
  'MC/S: large writes and reads spread over all connections arrive right',
  onEach([1, 2, 4, 8], async (t, count) => {
    const chunkBytes = 320 * KiB
    const content = noise(count, 8 * chunkBytes)
    const connections = await target.logInOn(count, solicitedOnly)
    const chunksOf = (connection: number) =>
      Array.from({ length: 8 / count }, (_, n) => (connection + n * count) * chunkBytes)
    const writing = connections.map((initiator, index) => {
      const writes = chunksOf(index).map((offset) => {
        const data = content.subarray(offset, offset + chunkBytes)
        return [initiator.write(offset, chunkBytes), data] as const
      })
      return sendAll(initiator, new Map(writes))
    })
    for (const status of (await Promise.all(writing)).flat()) t.equal(status, good)
    const copy = Buffer.alloc(content.length)
    const reading = connections.map((initiator, index) => {
      // Each reads what another wrote.
      const reads = chunksOf((index + 1) % count).map((offset) => {
        const place = copy.subarray(offset, offset + chunkBytes)
        return [initiator.read(offset, chunkBytes), place] as const
      })
      return takeAll(initiator, new Map(reads))
    })
    await Promise.all(reading)
    t.ok(copy.equals(content))
    close(connections)
  }),
)

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
