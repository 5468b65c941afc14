/**
 * Two connections of one session: the UNH plan's tests 6.1, 11.2, 11.3.2 and 13. At ErrorRecoveryLevel 0 a
 * task ends with its connection, and cannot be assigned to another.
 */
import t, { type Test } from 'tap'
import { cleanUp } from '../lib/cleanup.ts'
import { isToldOfLoss, isToldOfPlaces } from '../lib/lost-tasks.ts'
import { ProbedTarget, solicitedOnly } from '../lib/probed-target.ts'
import { TargetOpcode } from '../lib/target-pdu.ts'
import type { WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
t.setTimeout(60_000)
const abortTaskSet = 2
const taskReassign = 8
const reassignNotSupported = 4
const closeSession = 0
const closeConnection = 1
const success = 0
const cidNotFound = 1
const target = await ProbedTarget.start()
const block = Buffer.alloc(1024, 0x6c)

/** Two connections of one session, with the CIDs 0 and 1. */
async function twoConnections() {
  const one = await target.logIn({ ...solicitedOnly, MaxConnections: '2' })
  return [one, await target.join(one, 1)] as const
}

interface WaitingWrite {
  readonly tag: number
  readonly targetTransferTag: number
}

/** A WRITE that waits for the data of its R2T. */
async function waitingWrite(initiator: WireInitiator, offset: number): Promise<WaitingWrite> {
  const tag = initiator.write(offset, block.length)
  const { initiatorTaskTag, targetTransferTag } = await initiator.receive()
  if (initiatorTaskTag !== tag) throw new Error(`an R2T for ${initiatorTaskTag}, wanted ${tag}`)
  return { tag, targetTransferTag }
}

/** The data of a WRITE that waited for them end it well. */
async function isDone(
  t: Test,
  initiator: WireInitiator,
  { tag, targetTransferTag }: WaitingWrite,
): Promise<void> {
  initiator.dataOut(tag, { targetTransferTag, data: block })
  const response = await initiator.receive()
  t.strictSame([response.initiatorTaskTag, response.status], [tag, 0])
}

/** TASK REASSIGN is answered on the connection it came by: not supported. */
async function isNotReassigned(t: Test, initiator: WireInitiator, task: number): Promise<void> {
  const tag = initiator.manageTask(taskReassign, { referencedTaskTag: task })
  const answer = await initiator.receive()
  t.equal(answer.opcode, TargetOpcode.TaskManagementResponse)
  t.equal(answer.initiatorTaskTag, tag)
  t.equal(answer.response, reassignNotSupported)
  t.equal((await initiator.alive()).status, 0)
}

t.test(
  'UNH FFP 6.1: R2T, data and status come on the connection that brought the command',
  async (t) => {
    const connections = await twoConnections()
    const writes = [await waitingWrite(connections[0], 0), await waitingWrite(connections[1], 2048)]
    for (const initiator of connections) {
      const read = initiator.read(0, 1024)
      const data = await initiator.receive()
      t.strictSame([data.opcode, data.initiatorTaskTag], [TargetOpcode.DataIn, read])
    }
    for (const [index, initiator] of connections.entries()) {
      await isDone(t, initiator, writes[index] as WaitingWrite)
      t.strictSame(await initiator.receiveRest(), [])
    }
    for (const initiator of connections) initiator.close()
  },
)

t.test(
  'UNH FFP 11.2.1: TASK REASSIGN after the connection of the task was logged out is not supported',
  async (t) => {
    const [one, two] = await twoConnections()
    const { tag } = await waitingWrite(one, 0)
    one.logOut(closeConnection, 0)
    t.equal((await one.receive()).opcode, TargetOpcode.LogoutResponse)
    await isToldOfPlaces(t, two)
    await isToldOfLoss(t, two)
    await isNotReassigned(t, two, tag)
    two.close()
  },
)

t.test(
  'UNH FFP 11.2.2: TASK REASSIGN of a task that has its connection is not supported',
  async (t) => {
    const [one, two] = await twoConnections()
    const write = await waitingWrite(one, 0)
    await isNotReassigned(t, two, write.tag)
    await isDone(t, one, write)
    for (const initiator of [one, two]) initiator.close()
  },
)

t.test(
  'UNH FFP 11.2.3: TASK REASSIGN after the connection of the task was lost is not supported',
  async (t) => {
    const [one, two] = await twoConnections()
    const { tag } = await waitingWrite(one, 0)
    one.close()
    await isToldOfPlaces(t, two)
    await isToldOfLoss(t, two)
    await isNotReassigned(t, two, tag)
    two.close()
  },
)

t.test(
  'UNH FFP 11.3.2: ABORT TASK SET ends the tasks of all connections of the session',
  async (t) => {
    const [one, two] = await twoConnections()
    const writes = [await waitingWrite(one, 0), await waitingWrite(two, 2048)] as const
    const late = { cmdSN: one.session.cmdSN++ }
    const abort = one.manageTask(abortTaskSet)
    const ping = one.ping()
    t.strictSame(await one.receiveRest(), [], 'it waits for the command before it')
    const read = two.read(0, 1024, late)
    for (const [index, initiator] of [one, two].entries()) {
      const { tag, targetTransferTag } = writes[index] as WaitingWrite
      initiator.dataOut(tag, { targetTransferTag, data: block })
    }
    const before = await two.receiveRest()
    t.ok(
      before.every(({ initiatorTaskTag }) => initiatorTaskTag === read),
      'at most the late read',
    )
    two.acknowledge()
    const pdus = [...(await one.receiveUntil(abort)), ...(await one.receiveRest())]
    const answer = pdus.find(({ initiatorTaskTag }) => initiatorTaskTag === abort)
    t.strictSame([answer?.opcode, answer?.response], [TargetOpcode.TaskManagementResponse, success])
    const tags = pdus.map(({ initiatorTaskTag }) => initiatorTaskTag).sort()
    t.strictSame(tags, [abort, ping].sort(), 'nothing comes of the write')
    t.strictSame(await two.receiveRest(), [], 'nor of anything after the answer')
    for (const initiator of [one, two]) initiator.close()
  },
)

t.test('UNH FFP 13.1: logging a connection out ends it alone', async (t) => {
  const [one, two] = await twoConnections()
  await waitingWrite(one, 0)
  const write = await waitingWrite(two, 2048)
  const tag = one.logOut(closeConnection, 0)
  const response = await one.receive()
  t.equal(response.opcode, TargetOpcode.LogoutResponse)
  t.strictSame([response.initiatorTaskTag, response.response], [tag, success])
  t.equal(await one.connection.receive(), null, 'nothing comes after it')
  await isDone(t, two, write)
  two.close()
})

t.test('UNH FFP 13.2: logging the session out ends all its connections', async (t) => {
  const [one, two] = await twoConnections()
  await waitingWrite(one, 0)
  await waitingWrite(two, 2048)
  const tag = one.logOut(closeSession)
  const response = await one.receive()
  t.equal(response.opcode, TargetOpcode.LogoutResponse)
  t.strictSame([response.initiatorTaskTag, response.response], [tag, success])
  t.equal(await one.connection.receive(), null)
  t.ok(await two.isEnded())
})

t.test('UNH FFP 13.3: logging out a connection that is not there ends nothing', async (t) => {
  const [one, two] = await twoConnections()
  const writes = [await waitingWrite(one, 0), await waitingWrite(two, 2048)] as const
  const tag = one.logOut(closeConnection, 9)
  const response = await one.receive()
  t.equal(response.opcode, TargetOpcode.LogoutResponse)
  t.strictSame([response.initiatorTaskTag, response.response], [tag, cidNotFound])
  await isDone(t, one, writes[0])
  await isDone(t, two, writes[1])
  for (const initiator of [one, two]) initiator.close()
})

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
