/**
 * SNACK, Reject and digests at ErrorRecoveryLevel 0: the UNH plan's groups 12, 14 and 18. What the plan
 * has sent again at higher levels is refused here, and the command goes on.
 */
import t, { type Test } from 'tap'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { ProbedTarget, solicitedOnly } from '../lib/probed-target.ts'
import { damageDataDigest } from '../lib/raw-pdu.ts'
import { TargetOpcode, type TargetPdu } from '../lib/target-pdu.ts'
import { noTag, type WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
sendsMalformedRequests('digests that are wrong')
t.setTimeout(60_000)
const dataOrR2t = 0
const dataAck = 2
const snackReject = 0x03
const dataDigestError = 0x02
const target = await ProbedTarget.start()
const block = Buffer.alloc(1024, 0xe5)
const smallSegments = { ...solicitedOnly, MaxRecvDataSegmentLength: '1024' }

/** A Reject is laid out as it must be, and carries the header of the PDU `opcode` of task `tag`. */
function isReject(t: Test, pdu: TargetPdu, reason: number, opcode: number, tag: number): void {
  t.equal(pdu.opcode, TargetOpcode.Reject)
  t.ok(pdu.final)
  t.equal(pdu.response, reason)
  t.equal(pdu.initiatorTaskTag, noTag)
  t.equal(pdu.data.length, 48, 'one header')
  t.equal(pdu.data.readUInt8(0) & 0x3f, opcode)
  t.equal(pdu.data.readUInt32BE(16), tag)
}

/** A WRITE that waits for the data of the one R2T it was answered with. */
async function askedFor(initiator: WireInitiator, offset: number) {
  const tag = initiator.write(offset, block.length)
  return { tag, r2t: await initiator.receive() }
}

/** SNACKs an R2T: the SNACK is rejected, and the write is done all the same. */
async function snackR2t(t: Test, begRun: number): Promise<void> {
  const initiator = await target.logIn(smallSegments)
  const { tag, r2t } = await askedFor(initiator, 0)
  initiator.snack(dataOrR2t, tag, { begRun, runLength: 1 })
  const reject = await initiator.receive()
  isReject(t, reject, snackReject, 0x10, tag)
  t.equal(reject.statSN, r2t.statSN, 'a Reject has the next StatSN')
  t.equal(reject.expCmdSN, r2t.expCmdSN)
  initiator.dataOut(tag, { targetTransferTag: r2t.targetTransferTag, data: block })
  const response = await initiator.receive()
  t.equal(response.status, 0)
  t.equal(response.statSN, reject.statSN + 1, 'and uses it up')
  initiator.close()
}

/** SNACKs Data-In of a read: the SNACK is rejected, and nothing is sent again. */
async function snackDataIn(t: Test, begRun: number, runLength: number): Promise<void> {
  const initiator = await target.logIn(smallSegments)
  const tag = initiator.read(0, 4096)
  t.equal((await initiator.receiveToStatus()).length, 4)
  initiator.snack(dataOrR2t, tag, { begRun, runLength })
  isReject(t, await initiator.receive(), snackReject, 0x10, tag)
  t.strictSame(await initiator.receiveRest(), [])
  t.equal((await initiator.alive()).status, 0)
  initiator.close()
}

t.test('UNH FFP 12.1: a SNACK for an R2T is rejected', (t) => snackR2t(t, 0))

t.test('UNH FFP 12.2: a SNACK for one Data-In is rejected', (t) => snackDataIn(t, 1, 1))

t.test('UNH FFP 12.3: a SNACK for all Data-In is rejected', (t) => snackDataIn(t, 0, 0))

t.test('UNH FFP 12.4: a SNACK for an R2T that never was is rejected', (t) => snackR2t(t, 255))

t.test(
  'UNH FFP 14.1: data for a task that is not there leave the write alone that they were meant for',
  async (t) => {
    const initiator = await target.logIn(smallSegments)
    const { tag, r2t } = await askedFor(initiator, 1024)
    const { targetTransferTag } = r2t
    initiator.dataOut(tag + 1000, { targetTransferTag, data: block })
    t.strictSame(await initiator.receiveRest(), [], 'they are dropped in silence')
    initiator.dataOut(tag, { targetTransferTag, data: block })
    t.equal((await initiator.receive()).status, 0)
    t.ok((await target.contentAt(1024, block.length)).equals(block))
    initiator.close()
  },
)

t.test(
  'UNH FFP 14.2: a Reject of a DataACK carries its header and a StatSN of its own',
  async (t) => {
    const initiator = await target.logIn(smallSegments)
    const tag = initiator.read(0, 4096)
    initiator.snack(dataAck, tag, { targetTransferTag: 7, begRun: 1 })
    const status = (await initiator.receiveToStatus()).at(-1)
    const reject = await initiator.receive()
    isReject(t, reject, snackReject, 0x10, tag)
    t.equal(reject.statSN, (status?.statSN ?? 0) + 1)
    t.equal((await initiator.alive()).statSN, reject.statSN + 1)
    initiator.close()
  },
)

t.test(
  'UNH FFP 14.3: a Reject of an R2T SNACK carries its header and the numbers of now',
  async (t) => {
    const initiator = await target.logIn(smallSegments)
    const { tag } = await askedFor(initiator, 0)
    const { expCmdSN, maxCmdSN, statSN } = await initiator.alive()
    initiator.snack(dataOrR2t, tag, { begRun: 0, runLength: 1 })
    const reject = await initiator.receive()
    isReject(t, reject, snackReject, 0x10, tag)
    t.strictSame([reject.expCmdSN, reject.maxCmdSN], [expCmdSN, maxCmdSN])
    t.equal(reject.statSN, statSN + 1)
    initiator.close()
  },
)

t.test('UNH FFP 18.1.1: a command without its header digest ends the connection', async (t) => {
  const keys = { HeaderDigest: 'CRC32C,None', ImmediateData: 'Yes', InitialR2T: 'Yes' }
  const initiator = await target.logIn({ ...keys, FirstBurstLength: '512' })
  const { connection } = initiator
  t.equal(connection.digests.header, true)
  connection.digests = { header: false, data: false }
  initiator.write(8192, 512, { data: block.subarray(0, 512) })
  t.equal(await connection.receive(), null, 'not a word')
  const wanted = target.content.subarray(8192, 8192 + 512)
  t.ok((await target.contentAt(8192, 512)).equals(wanted), 'nothing is written')
})

t.test(
  'UNH FFP 18.2.1: immediate data that fail their digest are rejected, and not written',
  async (t) => {
    const keys = { DataDigest: 'CRC32C,None', ImmediateData: 'Yes', InitialR2T: 'Yes' }
    const initiator = await target.logIn({ ...keys, FirstBurstLength: '512' })
    const { connection } = initiator
    const { cmdSN } = initiator.session
    connection.damage = damageDataDigest
    const tag = initiator.write(8192, 512, { data: block.subarray(0, 512) })
    connection.damage = undefined
    isReject(t, await initiator.receive(), dataDigestError, 0x01, tag)
    t.strictSame(await initiator.receiveRest(), [], 'no R2T, no response')
    const second = initiator.write(9216, 512, { cmdSN })
    const r2t = await initiator.receive()
    t.equal(r2t.initiatorTaskTag, second, 'another command may take its place')
    const { targetTransferTag } = r2t
    initiator.dataOut(second, { targetTransferTag, data: block.subarray(0, 512) })
    t.equal((await initiator.receive()).status, 0)
    const wanted = target.content.subarray(8192, 8192 + 512)
    t.ok((await target.contentAt(8192, 512)).equals(wanted))
    initiator.close()
  },
)

t.test(
  'UNH FFP 18.2.2: solicited data that fail their digest are rejected, and cost their command',
  async (t) => {
    const initiator = await target.logIn({ ...solicitedOnly, DataDigest: 'CRC32C,None' })
    const { connection } = initiator
    const tag = initiator.write(16384, 2048)
    const { targetTransferTag } = await initiator.receive()
    connection.damage = damageDataDigest
    initiator.dataOut(tag, { targetTransferTag, data: block, final: false })
    connection.damage = undefined
    isReject(t, await initiator.receive(), dataDigestError, 0x05, tag)
    t.strictSame(await initiator.receiveRest(), [], 'the response waits for the F bit')
    initiator.dataOut(tag, { targetTransferTag, dataSN: 1, offset: 1024, data: block })
    const response = await initiator.receive()
    t.strictSame([response.status, ...response.sense], [0x02, 0x0b, 0x47, 0x05])
    t.equal((await initiator.alive()).status, 0)
    initiator.close()
  },
)

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
