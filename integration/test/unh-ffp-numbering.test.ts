/**
 * Sequence numbers and commands that are sent again: the UNH plan's groups 1 to 5, 15.3 and 16.4, against
 * a running platterd.
 */
import t, { type Test } from 'tap'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { ProbedTarget, solicitedOnly } from '../lib/probed-target.ts'
import { loginRequest, RawConnection } from '../lib/raw-connection.ts'
import { damageDataDigest, encodeKeys } from '../lib/raw-pdu.ts'
import { TargetOpcode, type TargetPdu } from '../lib/target-pdu.ts'
import { type CommandFields, WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
sendsMalformedRequests('a data digest that is wrong')
t.setTimeout(60_000)
const block = Buffer.alloc(1024, 0xb1)
const target = await ProbedTarget.start()

/** How many commands the initiator may send, by what this PDU says. */
function windowOf({ expCmdSN, maxCmdSN }: TargetPdu): number {
  return (maxCmdSN - expCmdSN + 1) | 0
}

/** A WRITE of 1 KiB whose data are asked for: the R2T and the response. */
async function writeBlock(initiator: WireInitiator, fields: CommandFields = {}) {
  const tag = initiator.write(0, block.length, fields)
  const r2t = await initiator.receive()
  const { targetTransferTag } = r2t
  initiator.dataOut(tag, { targetTransferTag, data: block })
  return [r2t, await initiator.receive()] as const
}

/** One good response, and nothing beyond it. */
async function isDoneOnce(t: Test, initiator: WireInitiator): Promise<void> {
  t.equal((await initiator.receive()).status, 0)
  t.strictSame(await initiator.receiveRest(), [], 'nothing is said of the second')
  t.equal((await initiator.alive()).status, 0)
  initiator.close()
}

t.test('UNH FFP 1.1: MaxCmdSN never falls below ExpCmdSN minus one', async (t) => {
  const initiator = await target.logIn(solicitedOnly)
  for (let write = 0; write < 10; write++) {
    for (const pdu of await writeBlock(initiator)) t.ok(windowOf(pdu) >= 0, `${windowOf(pdu)}`)
  }
  initiator.close()
})

t.test(
  'UNH FFP 1.2: a command beyond MaxCmdSN is ignored, and those in the window are not',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    for (let write = 0; write < 10; write++) {
      const [, response] = await writeBlock(initiator)
      t.equal(response.status, 0)
      if (write !== 6) continue
      initiator.write(0, block.length, { cmdSN: response.maxCmdSN + 1 })
      initiator.write(0, block.length, { cmdSN: response.expCmdSN - 1 })
      t.strictSame(await initiator.receiveRest(), [], 'nothing is said of it')
    }
    initiator.close()
  },
)

t.test('UNH FFP 1.3: a second command with a CmdSN that was used is ignored', async (t) => {
  const initiator = await target.logIn(solicitedOnly)
  for (let write = 0; write < 10; write++) {
    const { cmdSN } = initiator.session
    const [, response] = await writeBlock(initiator)
    t.equal(response.status, 0)
    if (write !== 5) continue
    initiator.write(0, block.length, { cmdSN })
    t.strictSame(await initiator.receiveRest(), [], 'nothing is said of it')
  }
  initiator.close()
})

t.test('UNH FFP 2.1: StatSN goes up by one with every response, from the login on', async (t) => {
  const connection = await RawConnection.open(target.process.port)
  const { targetName } = target
  const names = { InitiatorName: 'iqn.2026-11.org.platter:raw', TargetName: targetName }
  const initiator = new WireInitiator(connection, target.lun, {
    isid: 200,
    tsih: 0,
    cmdSN: 1,
    taskTag: 1,
  })
  const stayInOperational = 1 << 2
  connection.sendPdu({ ...loginRequest(encodeKeys(names), 200), flags: stayInOperational })
  let { statSN } = await initiator.receive()
  connection.sendPdu(loginRequest(encodeKeys(solicitedOnly), 200))
  t.equal((await initiator.receive()).statSN, ++statSN, 'of the last Login Response')
  await initiator.alive()
  statSN++
  for (let write = 0; write < 10; write++) {
    const [r2t, response] = await writeBlock(initiator)
    t.equal(r2t.statSN, ++statSN, 'an R2T tells the next')
    t.equal(response.statSN, statSN, 'and leaves it to the response')
  }
  initiator.close()
})

t.test('UNH FFP 3.1: DataSN of each read counts its Data-In from 0', async (t) => {
  const initiator = await target.logIn({ MaxRecvDataSegmentLength: '1024' })
  for (let read = 0; read < 3; read++) initiator.read(read * 8192, 8192)
  for (let read = 0; read < 3; read++) {
    const dataSNs = (await initiator.receiveToStatus()).map(({ dataSN }) => dataSN)
    t.strictSame(dataSNs, [0, 1, 2, 3, 4, 5, 6, 7])
  }
  initiator.close()
})

t.test('UNH FFP 4.1: R2TSN of each write counts its R2Ts from 0', async (t) => {
  const shortBursts = { MaxBurstLength: '1024', FirstBurstLength: '1024' }
  const initiator = await target.logIn({ ...solicitedOnly, ...shortBursts })
  for (let write = 0; write < 3; write++) {
    const tag = initiator.write(0, 4096)
    for (let r2tSN = 0; r2tSN < 4; r2tSN++) {
      const { dataSN, targetTransferTag } = await initiator.receive()
      t.equal(dataSN, r2tSN)
      initiator.dataOut(tag, { targetTransferTag, offset: r2tSN * 1024, data: block })
    }
    t.equal((await initiator.receive()).status, 0)
  }
  initiator.close()
})

t.test(
  'UNH FFP 5.1: a command whose data failed their digest may be sent again, and is done then',
  async (t) => {
    const initiator = await target.logIn({ DataDigest: 'CRC32C', ImmediateData: 'Yes' })
    const { connection } = initiator
    const fields = { cmdSN: initiator.session.cmdSN++, initiatorTaskTag: 500, data: block }
    connection.damage = damageDataDigest
    initiator.write(1024, block.length, fields)
    connection.damage = undefined
    const reject = await initiator.receive()
    t.equal(reject.opcode, TargetOpcode.Reject)
    t.equal(reject.response, 0x02, 'for the data digest')
    t.equal(reject.expCmdSN, fields.cmdSN, 'the command counts as not received')
    t.strictSame(await initiator.receiveRest(), [], 'no more is said of it')
    initiator.write(1024, block.length, fields)
    const response = await initiator.receive()
    t.equal(response.status, 0)
    t.equal(response.initiatorTaskTag, 500)
    t.ok((await target.contentAt(1024, block.length)).equals(block))
    initiator.close()
  },
)

t.test(
  'UNH FFP 15.3: a window that was closed is told open by the responses themselves',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    const size = windowOf(await initiator.alive())
    const writes: { tag: number; targetTransferTag: number; window: number }[] = []
    for (let write = 0; write < size; write++) {
      const tag = initiator.write(write * block.length, block.length)
      const r2t = await initiator.receive()
      writes.push({ tag, targetTransferTag: r2t.targetTransferTag, window: windowOf(r2t) })
    }
    t.equal(writes.at(-1)?.window, 0, `closed by ${size} writes that wait for their data`)
    for (const [done, { tag, targetTransferTag }] of writes.entries()) {
      initiator.dataOut(tag, { targetTransferTag, data: block })
      const response = await initiator.receive()
      t.equal(response.opcode, TargetOpcode.ScsiResponse, 'no NOP-In is needed')
      t.equal(windowOf(response), done + 1)
    }
    t.equal(windowOf(await initiator.alive()), size)
    initiator.close()
  },
)

t.test(
  'UNH FFP 16.4.1: a command sent again amid its data is ignored, and done once',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    const { cmdSN } = initiator.session
    const initiatorTaskTag = initiator.write(0, block.length)
    const { targetTransferTag } = await initiator.receive()
    const half = block.subarray(0, 512)
    initiator.dataOut(initiatorTaskTag, { targetTransferTag, data: half, final: false })
    initiator.write(0, block.length, { cmdSN, initiatorTaskTag })
    initiator.dataOut(initiatorTaskTag, { targetTransferTag, dataSN: 1, offset: 512, data: half })
    await isDoneOnce(t, initiator)
  },
)

t.test(
  'UNH FFP 16.4.2: a command sent again before its data is ignored, and done once',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    const { cmdSN } = initiator.session
    const initiatorTaskTag = initiator.write(0, block.length)
    const { targetTransferTag } = await initiator.receive()
    initiator.write(0, block.length, { cmdSN, initiatorTaskTag })
    initiator.dataOut(initiatorTaskTag, { targetTransferTag, data: block })
    await isDoneOnce(t, initiator)
  },
)

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
