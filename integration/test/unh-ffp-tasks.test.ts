/** Task management on one connection: the UNH plan's tests 11.1, 11.3.1, 11.3.3, 11.4 and 11.5, and RFC 7144. */
import t, { type Test } from 'tap'
import { cleanUp } from '../lib/cleanup.ts'
import { ProbedTarget, solicitedOnly } from '../lib/probed-target.ts'
import { TargetOpcode, type TargetPdu } from '../lib/target-pdu.ts'
import type { WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
t.setTimeout(60_000)
const abortTask = 1
const abortTaskSet = 2
const targetWarmReset = 6
const targetColdReset = 7
const queryTask = 9
const queryTaskSet = 10
const nexusReset = 11
const queryAsynchronousEvent = 12
const functionComplete = 0
const taskDoesNotExist = 1
const functionSucceeded = 7
const target = await ProbedTarget.start()
const block = Buffer.alloc(1024, 0x7a)
const MiB = 1024 * 1024
const noTag = 0xffffffff

function isAnswer(t: Test, pdu: TargetPdu, tag: number, response: number): void {
  t.equal(pdu.opcode, TargetOpcode.TaskManagementResponse)
  t.equal(pdu.initiatorTaskTag, tag)
  t.equal(pdu.response, response)
}

interface WaitingWrite {
  readonly tag: number
  readonly targetTransferTag: number
}

/** A WRITE that waits for the data of its R2T. */
async function waitingWrite(
  initiator: WireInitiator,
  offset: number,
  immediate = false,
): Promise<WaitingWrite> {
  const tag = initiator.write(offset, block.length, { immediate })
  const { initiatorTaskTag, targetTransferTag } = await initiator.receive()
  if (initiatorTaskTag !== tag) throw new Error(`an R2T for ${initiatorTaskTag}, wanted ${tag}`)
  return { tag, targetTransferTag }
}

/** The data that the R2T of a write asked for; a correct initiator sends them though it is aborted. */
function sendData(initiator: WireInitiator, write: WaitingWrite): void {
  const { tag, targetTransferTag } = write
  initiator.dataOut(tag, { targetTransferTag, data: block })
}

t.test(
  'UNH FFP 11.1: an immediate command and an immediate abort are taken while a write waits',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    const refCmdSN = initiator.session.cmdSN
    const first = await waitingWrite(initiator, MiB)
    const second = await waitingWrite(initiator, 2 * MiB, true)
    const abort = initiator.manageTask(abortTask, { referencedTaskTag: first.tag, refCmdSN })
    isAnswer(t, await initiator.receive(), abort, functionComplete)
    sendData(initiator, first)
    sendData(initiator, second)
    const response = await initiator.receive()
    t.strictSame([response.initiatorTaskTag, response.status], [second.tag, 0])
    t.strictSame(await initiator.receiveRest(), [], 'nothing comes of the first')
    t.ok((await target.contentAt(MiB, block.length)).equals(Buffer.alloc(block.length)))
    t.ok((await target.contentAt(2 * MiB, block.length)).equals(block))
    initiator.close()
  },
)

t.test(
  'UNH FFP 11.3.1: after the response to ABORT TASK SET nothing comes of the aborted read',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    const write = await waitingWrite(initiator, 3 * MiB)
    const read = initiator.read(0, 65536)
    const abort = initiator.manageTask(abortTaskSet)
    const ping = initiator.ping()
    sendData(initiator, write)
    const before = await initiator.receiveUntil(abort)
    isAnswer(t, before.pop() as TargetPdu, abort, functionComplete)
    const after = await initiator.receiveRest()
    const tagsBefore = before.map(({ initiatorTaskTag }) => initiatorTaskTag)
    const tagsAfter = after.map(({ initiatorTaskTag }) => initiatorTaskTag)
    // A NOP-In without a tag asks what the initiator has received: the response waits for that.
    const others = [...tagsBefore, ...tagsAfter].filter((tag) => tag !== read && tag !== noTag)
    t.strictSame(others, [ping])
    t.notOk(tagsAfter.includes(read))
    initiator.close()
  },
)

t.test(
  'UNH FFP 11.3.3: ABORT TASK of a task that never was says that it does not exist',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    const read = initiator.read(0, 1024)
    const refCmdSN = initiator.session.cmdSN + 100_000
    const abort = initiator.manageTask(abortTask, { referencedTaskTag: 0x7777, refCmdSN })
    const ping = initiator.ping()
    const [data, answer, pong] = await initiator.receiveAll(3)
    t.strictSame([data?.initiatorTaskTag, data?.status], [read, 0])
    isAnswer(t, answer as TargetPdu, abort, taskDoesNotExist)
    t.strictSame([pong?.opcode, pong?.initiatorTaskTag], [TargetOpcode.NopIn, ping])
    initiator.close()
  },
)

t.test(
  'UNH FFP 11.4: TARGET WARM RESET ends what was pending, and the session goes on',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    const write = await waitingWrite(initiator, 3 * MiB)
    const reset = initiator.manageTask(targetWarmReset, { immediate: false })
    sendData(initiator, write)
    isAnswer(t, await initiator.receive(), reset, functionComplete)
    t.strictSame(await initiator.receiveRest(), [], 'nothing comes of the write')
    await initiator.alive()
    t.equal((await initiator.alive()).status, 0, 'at the latest after a unit attention')
    initiator.close()
  },
)

t.test(
  'RFC 7144: at level 2 tasks and events can be asked about, and the nexus be reset',
  async (t) => {
    const initiator = await target.logIn({ ...solicitedOnly, iSCSIProtocolLevel: '2' })
    /** Answers with the Additional Response Information. */
    const ask = async (taskFunction: number, response: number, fields = {}) => {
      const tag = initiator.manageTask(taskFunction, fields)
      const answer = await initiator.receive()
      isAnswer(t, answer, tag, response)
      return answer.bhs.toString('hex', 8, 11)
    }
    const refCmdSN = initiator.session.cmdSN
    const write = await waitingWrite(initiator, 3 * MiB)
    await ask(queryTask, functionSucceeded, { referencedTaskTag: write.tag, refCmdSN })
    await ask(queryTask, functionComplete, { referencedTaskTag: noTag - 1, refCmdSN })
    await ask(queryTaskSet, functionSucceeded)
    t.equal(await ask(queryAsynchronousEvent, functionComplete), '000000')
    const reset = initiator.manageTask(nexusReset)
    sendData(initiator, write)
    const [answer] = await initiator.receiveToEnd()
    isAnswer(t, answer as TargetPdu, reset, functionComplete)
    t.ok((await target.contentAt(3 * MiB, 1024)).equals(Buffer.alloc(1024)), 'nothing was written')
    initiator.close()
  },
)

t.test('UNH FFP 11.5: TARGET COLD RESET ends what was pending, and the connection', async (t) => {
  const initiator = await target.logIn(solicitedOnly)
  const other = await target.logIn()
  const write = await waitingWrite(initiator, 3 * MiB)
  const reset = initiator.manageTask(targetColdReset, { immediate: false })
  sendData(initiator, write)
  const pdus = await initiator.receiveToEnd()
  const answers = pdus.filter(({ opcode }) => opcode !== TargetOpcode.AsyncMessage)
  t.equal(answers.length, 1, 'nothing but the response, and events')
  isAnswer(t, answers[0] as TargetPdu, reset, functionComplete)
  t.ok(await other.isEnded(), 'nor does another session live on')
  t.ok((await target.contentAt(3 * MiB, 1024)).equals(Buffer.alloc(1024)), 'nothing was written')
})

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
