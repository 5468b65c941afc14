/** Data and status on their way to the initiator: the UNH plan's groups 9, 8.2, 16.1, 16.2, 16.3.7 and 19. */
import t from 'tap'
import { cleanUp } from '../lib/cleanup.ts'
import { ProbedTarget } from '../lib/probed-target.ts'
import { TargetOpcode, type TargetPdu } from '../lib/target-pdu.ts'
import { noTag } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
t.setTimeout(60_000)
const target = await ProbedTarget.start()

/** What a READ of 4 KiB, the LUN's first, is answered with. */
async function readWith(keys: Record<string, string>): Promise<TargetPdu[]> {
  const initiator = await target.logIn(keys)
  initiator.read(0, 4096)
  const pdus = await initiator.receiveToStatus()
  t.strictSame(await initiator.receiveRest(), [], 'nothing follows the status')
  initiator.close()
  return pdus
}

/** INQUIRY of the standard data, which are longer than 36 bytes. */
function inquiryCdb(allocationLength: number): Buffer {
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x12
  cdb.writeUInt16BE(allocationLength, 3)
  return cdb
}

t.test(
  'UNH FFP 8.2: a Data-In that wants no acknowledgement has neither Target Transfer Tag nor LUN',
  async (t) => {
    const pdus = await readWith({ MaxRecvDataSegmentLength: '1024' })
    t.equal(pdus.length, 4)
    for (const { flags, targetTransferTag, lun } of pdus) {
      t.equal(flags & 0x40, 0, 'no A bit at ErrorRecoveryLevel 0')
      t.equal(targetTransferTag, noTag)
      t.ok(lun.equals(Buffer.alloc(8)))
    }
  },
)

t.test('UNH FFP 9.1: status comes in the last Data-In only, and only if it is good', async (t) => {
  const pdus = await readWith({ MaxRecvDataSegmentLength: '1024' })
  const withStatus = pdus.map(({ hasStatus, final }) => [hasStatus, final])
  t.strictSame(withStatus, [
    [false, false],
    [false, false],
    [false, false],
    [true, true],
  ])
  t.equal(pdus.at(-1)?.status, 0)
  const initiator = await target.logIn()
  initiator.read(2 ** 40, 4096)
  const failed = await initiator.receive()
  t.equal(failed.opcode, TargetOpcode.ScsiResponse, 'a failure has a response of its own')
  t.strictSame([failed.status, ...failed.sense], [0x02, 0x05, 0x21, 0x00])
  initiator.close()
})

t.test('UNH FFP 9.2: the last Data-In of a sequence has the F bit', async (t) => {
  const twoToABurst = { MaxRecvDataSegmentLength: '512', MaxBurstLength: '1024' }
  const pdus = await readWith({ ...twoToABurst, FirstBurstLength: '1024' })
  const finals = pdus.map(({ final }) => final)
  t.strictSame(finals, [false, true, false, true, false, true, false, true])
})

t.test(
  'UNH FFP 9.3.1: no Data-In is longer than the MaxRecvDataSegmentLength of the initiator',
  async (t) => {
    for (const { data } of await readWith({ MaxRecvDataSegmentLength: '512' })) {
      t.ok(data.length <= 512, `${data.length} bytes`)
    }
  },
)

t.test('UNH FFP 9.3.3: all Data-In but the last are of whole words', async (t) => {
  const pdus = await readWith({ MaxRecvDataSegmentLength: '1023' })
  t.ok(pdus.length > 4)
  for (const { data } of pdus.slice(0, -1)) t.equal(data.length % 4, 0, `${data.length} bytes`)
  const all = Buffer.concat(pdus.map(({ data }) => data))
  t.ok(all.equals(target.content.subarray(0, 4096)))
})

t.test('UNH FFP 9.4: DataSN goes up by one with each Data-In', async (t) => {
  const pdus = await readWith({ MaxRecvDataSegmentLength: '512' })
  t.strictSame(
    pdus.map(({ dataSN }) => dataSN),
    [0, 1, 2, 3, 4, 5, 6, 7],
  )
})

t.test('UNH FFP 9.5: BufferOffset says where each Data-In belongs, in rising order', async (t) => {
  const inOrder = { DataPDUInOrder: 'Yes', DataSequenceInOrder: 'Yes' }
  const pdus = await readWith({ MaxRecvDataSegmentLength: '512', ...inOrder })
  for (const [index, { bufferOffset, data }] of pdus.entries()) {
    t.equal(bufferOffset, index * 512)
    const wanted = target.content.subarray(bufferOffset, bufferOffset + 512)
    t.ok(data.equals(wanted), `the bytes at ${bufferOffset}`)
  }
})

t.test('UNH FFP 16.1: more data expected than there are is an underflow', async (t) => {
  const initiator = await target.logIn()
  initiator.command(inquiryCdb(36), 'read', { expected: 4096 })
  const [answer] = await initiator.receiveToStatus()
  t.equal(answer?.data.length, 36)
  t.strictSame([answer?.underflow, answer?.overflow], [true, false])
  t.equal(answer?.residualCount, 4096 - 36)
  initiator.close()
})

t.test('UNH FFP 16.2: fewer data expected than there are is an overflow', async (t) => {
  const initiator = await target.logIn()
  initiator.command(inquiryCdb(36), 'read', { expected: 4 })
  const [answer] = await initiator.receiveToStatus()
  t.equal(answer?.data.length, 4)
  t.strictSame([answer?.underflow, answer?.overflow], [false, true])
  t.equal(answer?.residualCount, 36 - 4)
  initiator.close()
})

t.test(
  'UNH FFP 16.3.7: a CDB with an unknown operation code ends with CHECK CONDITION',
  async (t) => {
    const initiator = await target.logIn({ InitialR2T: 'No', DataSequenceInOrder: 'Yes' })
    initiator.command(Buffer.alloc(16, 0xff), 'none')
    const response = await initiator.receive()
    t.equal(response.response, 0, 'completed at the target')
    t.strictSame([response.status, ...response.sense], [0x02, 0x05, 0x20, 0x00])
    t.equal((await initiator.alive()).status, 0)
    initiator.close()
  },
)

t.test(
  'UNH FFP 19.1: a command that expects no data gets none, and is told what it missed',
  async (t) => {
    const initiator = await target.logIn()
    const readCapacity = Buffer.alloc(16)
    readCapacity[0] = 0x25
    initiator.command(readCapacity, 'read', { expected: 0 })
    const response = await initiator.receive()
    t.equal(response.opcode, TargetOpcode.ScsiResponse)
    t.strictSame([response.overflow, response.residualCount], [true, 8])
    initiator.command(readCapacity, 'read', { expected: 8 })
    t.equal((await initiator.receive()).data.length, 8)
    initiator.close()
  },
)

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
