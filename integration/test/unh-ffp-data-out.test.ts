/**
 * Data on their way to the target, asked for and not: the UNH plan's groups 7, 8.1, 9.3.2, 10, 16.3 and
 * 16.5. Each test has a region of the LUN to itself, which holds zeros before.
 */
import t, { type Test } from 'tap'
import { cleanUp } from '../lib/cleanup.ts'
import { ProbedTarget, solicitedOnly } from '../lib/probed-target.ts'
import { TargetOpcode } from '../lib/target-pdu.ts'
import { noTag, type WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
t.setTimeout(60_000)
const MiB = 1024 * 1024
const protocolError = 0x04
const checkCondition = 0x02
const bytes = (length: number): Buffer => Buffer.alloc(length, 0xd7)
const target = await ProbedTarget.start()

/** The last PDU is rejected, and the connection ends; nothing was written at `offset`. */
async function isBreach(t: Test, initiator: WireInitiator, offset: number): Promise<void> {
  const reject = await initiator.receive()
  t.equal(reject.opcode, TargetOpcode.Reject)
  t.equal(reject.response, protocolError)
  t.ok(await initiator.isEnded(), 'the connection ends')
  t.ok((await target.contentAt(offset, 8192)).equals(Buffer.alloc(8192)), 'nothing is written')
}

/** The next PDU is the good response of the only command, whose data are at `offset`. */
async function isWritten(
  t: Test,
  initiator: WireInitiator,
  offset: number,
  length: number,
): Promise<void> {
  const response = await initiator.receive()
  t.equal(response.opcode, TargetOpcode.ScsiResponse)
  t.equal(response.status, 0)
  t.ok((await target.contentAt(offset, length)).equals(bytes(length)))
  initiator.close()
}

t.test('UNH FFP 7.1: more data than the R2T asked for end the connection', async (t) => {
  const initiator = await target.logIn(solicitedOnly)
  const tag = initiator.write(MiB, 8192)
  const { targetTransferTag, desiredDataTransferLength } = await initiator.receive()
  t.equal(desiredDataTransferLength, 8192)
  initiator.dataOut(tag, { targetTransferTag, data: bytes(8704) })
  await isBreach(t, initiator, MiB)
})

t.test('UNH FFP 7.2: more unsolicited data than FirstBurstLength end the connection', async (t) => {
  const unsolicited = { ImmediateData: 'No', InitialR2T: 'No', FirstBurstLength: '512' }
  const initiator = await target.logIn(unsolicited)
  const tag = initiator.write(MiB, 8192, { final: false })
  initiator.dataOut(tag, { data: bytes(1024) })
  await isBreach(t, initiator, MiB)
})

t.test(
  'UNH FFP 8.1: an R2T carries a Target Transfer Tag, and the LUN of its command',
  async (t) => {
    const initiator = await target.logIn({ InitialR2T: 'No', ImmediateData: 'No' })
    const tag = initiator.write(MiB + 8192, 4096)
    const r2t = await initiator.receive()
    t.equal(r2t.opcode, TargetOpcode.ReadyToTransfer)
    t.not(r2t.targetTransferTag, noTag)
    t.equal(r2t.lun.readUInt8(1), target.lun)
    t.equal(r2t.initiatorTaskTag, tag)
    initiator.close()
  },
)

t.test('UNH FFP 9.3.2: a Data-Out without data is no error', async (t) => {
  const initiator = await target.logIn(solicitedOnly)
  const offset = MiB + 16384
  const tag = initiator.write(offset, 4096)
  const { targetTransferTag } = await initiator.receive()
  initiator.dataOut(tag, { targetTransferTag, data: bytes(0), final: false })
  initiator.dataOut(tag, { targetTransferTag, dataSN: 1, data: bytes(4096) })
  await isWritten(t, initiator, offset, 4096)
})

t.test(
  'UNH FFP 10.1: R2Ts ask for one range after the other, none longer than MaxBurstLength',
  async (t) => {
    const bursts = { MaxBurstLength: '512', FirstBurstLength: '512', MaxOutstandingR2T: '4' }
    const initiator = await target.logIn({ ...solicitedOnly, ...bursts })
    const offset = 2 * MiB
    const tag = initiator.write(offset, 2048, { initiatorTaskTag: 0xa2a2a2a2 })
    for (let index = 0; index < 4; index++) {
      const r2t = await initiator.receive()
      t.equal(r2t.opcode, TargetOpcode.ReadyToTransfer)
      t.equal(r2t.initiatorTaskTag, 0xa2a2a2a2)
      t.equal(r2t.dataSN, index, 'R2TSN')
      t.equal(r2t.bufferOffset, index * 512)
      t.equal(r2t.desiredDataTransferLength, 512)
      t.not(r2t.targetTransferTag, noTag)
      t.equal(r2t.statSN, initiator.connection.expStatSN, 'the next StatSN, which it leaves')
      const { targetTransferTag, bufferOffset } = r2t
      initiator.dataOut(tag, { targetTransferTag, offset: bufferOffset, data: bytes(512) })
    }
    await isWritten(t, initiator, offset, 2048)
  },
)

t.test(
  'UNH FFP 16.3.1: a write with its first burst as immediate data is asked for the rest',
  async (t) => {
    const firstBurst = { ImmediateData: 'Yes', InitialR2T: 'Yes', FirstBurstLength: '512' }
    const initiator = await target.logIn(firstBurst)
    const offset = 2 * MiB + 8192
    const tag = initiator.write(offset, 1024, { data: bytes(512), final: false })
    const { bufferOffset, desiredDataTransferLength, targetTransferTag } = await initiator.receive()
    t.strictSame([bufferOffset, desiredDataTransferLength], [512, 512])
    initiator.dataOut(tag, { targetTransferTag, offset: 512, data: bytes(512) })
    await isWritten(t, initiator, offset, 1024)
  },
)

t.test('UNH FFP 16.3.2: more immediate data than FirstBurstLength are an error', async (t) => {
  const firstBurst = { ImmediateData: 'Yes', InitialR2T: 'Yes', FirstBurstLength: '512' }
  const initiator = await target.logIn(firstBurst)
  initiator.write(3 * MiB, 1024, { data: bytes(1024), final: false })
  await isBreach(t, initiator, 3 * MiB)
})

t.test('UNH FFP 16.3.3: a write without immediate data is asked for all of it', async (t) => {
  const initiator = await target.logIn(solicitedOnly)
  const offset = 3 * MiB + 8192
  const tag = initiator.write(offset, 1024)
  const { bufferOffset, desiredDataTransferLength, targetTransferTag } = await initiator.receive()
  t.strictSame([bufferOffset, desiredDataTransferLength], [0, 1024])
  initiator.dataOut(tag, { targetTransferTag, data: bytes(1024) })
  await isWritten(t, initiator, offset, 1024)
})

t.test('UNH FFP 16.3.4: immediate data are an error where ImmediateData is No', async (t) => {
  const initiator = await target.logIn(solicitedOnly)
  initiator.write(4 * MiB, 1024, { data: bytes(1024) })
  await isBreach(t, initiator, 4 * MiB)
})

t.test('UNH FFP 16.3.5: unsolicited data that are all of a write need no R2T', async (t) => {
  const unsolicited = { FirstBurstLength: '1024', ImmediateData: 'No', InitialR2T: 'No' }
  const initiator = await target.logIn(unsolicited)
  const offset = 4 * MiB + 8192
  const tag = initiator.write(offset, 1024, { final: false })
  initiator.dataOut(tag, { data: bytes(1024) })
  await isWritten(t, initiator, offset, 1024)
})

t.test('UNH FFP 16.3.6: unsolicited data that end early are the incorrect amount', async (t) => {
  const initiator = await target.logIn({ InitialR2T: 'No', DataSequenceInOrder: 'Yes' })
  const tag = initiator.write(5 * MiB, 1024, { final: false })
  initiator.dataOut(tag, { data: bytes(512) })
  const response = await initiator.receive()
  t.strictSame([response.status, ...response.sense], [checkCondition, 0x0b, 0x0c, 0x0d])
  t.equal((await initiator.alive()).status, 0, 'the session goes on')
  initiator.close()
})

t.test(
  'UNH FFP 16.5: no response comes before the Data-Out with the F bit, though one went astray',
  async (t) => {
    const initiator = await target.logIn(solicitedOnly)
    const offset = 6 * MiB
    const tag = initiator.write(offset, 2048)
    const { targetTransferTag } = await initiator.receive()
    const piece = (index: number) => {
      const sequence = { targetTransferTag, dataSN: index, offset: index * 512 }
      return { ...sequence, data: bytes(512), final: index === 3 }
    }
    initiator.dataOut(tag + 1000, piece(0))
    initiator.dataOut(tag, piece(1))
    initiator.dataOut(tag, piece(2))
    t.strictSame(await initiator.receiveRest(), [], 'nothing is said yet')
    initiator.dataOut(tag, piece(3))
    const response = await initiator.receive()
    t.strictSame([response.status, ...response.sense], [checkCondition, 0x0b, 0x47, 0x05])
    t.ok((await target.contentAt(offset, 2048)).equals(Buffer.alloc(2048)), 'nothing is written')
    initiator.close()
  },
)

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
