/** Pings both ways: the UNH plan's groups 15.1 and 15.2. */
import t, { type Test } from 'tap'
import { noise } from '../lib/attacked-target.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { ProbedTarget } from '../lib/probed-target.ts'
import { TargetOpcode } from '../lib/target-pdu.ts'
import { noTag, type WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
t.setTimeout(60_000)
const target = await ProbedTarget.start(['--ping-after', '1'])
const noData = Buffer.alloc(0)

/** Pings with `data`, and gets `wanted` back, by a NOP-In that uses up a StatSN of its own. */
async function isAnswered(
  t: Test,
  initiator: WireInitiator,
  immediate: boolean,
  data: Buffer,
  wanted = data,
): Promise<void> {
  const { cmdSN } = initiator.session
  const tag = initiator.ping({ immediate, data })
  const pong = await initiator.receive()
  t.equal(pong.opcode, TargetOpcode.NopIn)
  t.equal(pong.initiatorTaskTag, tag)
  t.equal(pong.targetTransferTag, noTag)
  t.equal(pong.expCmdSN, immediate ? cmdSN : cmdSN + 1)
  t.ok(pong.data.equals(wanted), `${pong.data.length} bytes of data`)
  t.equal((await initiator.alive()).statSN, pong.statSN + 1)
  initiator.close()
}

t.test('UNH FFP 15.1.1: an immediate ping without data is answered', async (t) => {
  await isAnswered(t, await target.logIn(), true, noData)
})

t.test('UNH FFP 15.1.2: a ping without data is answered in its turn', async (t) => {
  await isAnswered(t, await target.logIn(), false, noData)
})

t.test('UNH FFP 15.1.3: a ping in its turn is answered with its data', async (t) => {
  await isAnswered(t, await target.logIn(), false, noise(15, 333))
})

t.test('UNH FFP 15.1.4: an immediate ping is answered with its data', async (t) => {
  await isAnswered(t, await target.logIn(), true, noise(15, 333))
})

/** As much data as the target takes, of which 512 bytes come back. */
async function isCut(t: Test, immediate: boolean): Promise<void> {
  const initiator = await target.logIn({ MaxRecvDataSegmentLength: '512' })
  const most = Number(initiator.connection.agreed.MaxRecvDataSegmentLength)
  t.ok(most > 512, `the target takes ${most} bytes`)
  const data = noise(15, most)
  await isAnswered(t, initiator, immediate, data, data.subarray(0, 512))
}

t.test(
  'UNH FFP 15.1.5: of the data of an immediate ping come back as many as the initiator takes',
  (t) => isCut(t, true),
)

t.test(
  'UNH FFP 15.1.6: of the data of a ping in its turn come back as many as the initiator takes',
  (t) => isCut(t, false),
)

t.test(
  'UNH FFP 15.2: a silent initiator is pinged, without data and without using up a StatSN',
  async (t) => {
    const initiator = await target.logIn()
    const ping = await initiator.receive()
    t.equal(ping.opcode, TargetOpcode.NopIn)
    t.equal(ping.initiatorTaskTag, noTag)
    t.not(ping.targetTransferTag, noTag)
    t.equal(ping.data.length, 0)
    initiator.answerPing(ping)
    t.equal((await initiator.alive()).statSN, ping.statSN)
    initiator.close()
  },
)

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
