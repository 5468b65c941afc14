import { randomFillSync } from 'node:crypto'
import { DataIn, NopIn, ScsiResponse } from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t from 'tap'
import { SENSE } from '../support/block-executor.ts'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const SIZE = 128 * 1024

/** A logged-in initiator, and a volume of noise whose operations end when the test says so. */
function start(keys: Record<string, string> = {}, blockBytes = 512) {
  const volume = new HeldVolume(SIZE, blockBytes)
  volume.fill(randomFillSync(Buffer.alloc(SIZE)))
  const { node, executor } = makeNode(volume)
  const initiator = new ScriptedInitiator(node)
  initiator.login({ keys })
  return { volume, executor, initiator }
}

const read = { opcode: 0x28, read: true } as const

type Piece = DataIn & { data: Buffer }

/** Checks that `pieces` are the whole answer to one read, and returns their data. */
function wholeRead(pieces: Piece[], limits: { segment: number; burst: number }): Buffer {
  let offset = 0
  let burst = 0
  for (const [index, piece] of pieces.entries()) {
    const last = index === pieces.length - 1
    const where = `PDU ${index} of ${pieces.length}`
    if (piece.dataSN !== index) throw new Error(`DataSN ${piece.dataSN} in ${where}`)
    if (piece.bufferOffset !== offset) throw new Error(`BufferOffset of ${where}`)
    if (piece.data.length === 0 || piece.data.length > limits.segment) {
      throw new Error(`${piece.data.length} bytes in ${where}`)
    }
    if (!piece.final && piece.data.length % 4 !== 0) throw new Error(`no whole words in ${where}`)
    if (piece.targetTransferTag !== 0xffffffff) throw new Error(`TargetTransferTag in ${where}`)
    if (piece.hasStatus !== last || (last && !piece.final)) throw new Error(`flags of ${where}`)
    burst += piece.data.length
    if (burst > limits.burst) throw new Error(`a burst of ${burst} bytes by ${where}`)
    if (piece.final) burst = 0
    offset += piece.data.length
  }
  return Buffer.concat(pieces.map(({ data }) => data))
}

t.test('a read comes in segments and bursts that the initiator takes, in order', async (t) => {
  const property = fc.property(
    fc.record({
      segment: fc.constantFrom(512, 515, 1000, 1536, 4096, 8192, 65536),
      burst: fc.constantFrom(512, 700, 1024, 5000, 16384, 262144),
      blockBytes: fc.constantFrom(512, 4096),
      unit: fc.nat({ max: 7 }),
      units: fc.integer({ min: 1, max: 8 }),
      /** What the initiator expects, against what the command moves. */
      excess: fc.oneof(fc.constant(0), fc.integer({ min: -40_000, max: 40_000 })),
      digest: fc.boolean(),
      now: fc.infiniteStream(fc.boolean()),
    }),
    ({ segment, burst, blockBytes, unit, units, excess, digest, now }) => {
      const keys: Record<string, string> = {
        MaxRecvDataSegmentLength: `${segment}`,
        MaxBurstLength: `${burst}`,
        FirstBurstLength: '512',
        DataDigest: digest ? 'CRC32C' : 'None',
        HeaderDigest: digest ? 'CRC32C' : 'None',
      }
      const { initiator, volume } = start(keys, blockBytes)
      volume.now = () => now.next().value
      const perBlock = 8
      const [lba, blocks] = [unit * perBlock, units * perBlock]
      const length = blocks * 512
      const expected = Math.max(length + excess, 4)
      initiator.command({ ...read, lba, blocks, expected })
      volume.releaseAll()
      const pieces = initiator.receiveAll(DataIn)
      const data = wholeRead(pieces, { segment, burst })
      const wanted = volume.bytes.subarray(lba * 512, lba * 512 + Math.min(length, expected))
      t.ok(data.equals(wanted), 'the bytes of the volume')
      t.match(pieces.at(-1), {
        status: 0,
        residualOverflow: length > expected,
        residualUnderflow: length < expected,
        residualCount: Math.abs(length - expected),
        expCmdSN: 2,
      })
      t.equal(initiator.sink.lent.size, 0)
    },
  )
  fc.assert(property, { numRuns: 150 })
})

t.test('parameter data are cut in the same way', async (t) => {
  const { initiator } = start({ MaxRecvDataSegmentLength: '515', MaxBurstLength: '513' })
  // 255 bytes at most by the CDB, so a small burst has to do.
  initiator.command({ opcode: 0x12, blocks: 255, expected: 300, read: true })
  const pieces = initiator.receiveAll(DataIn)
  t.ok(wholeRead(pieces, { segment: 515, burst: 513 }).equals(Buffer.alloc(255, 0x5a)))
  t.match(pieces[0], { residualUnderflow: true, residualCount: 45 })
})

t.test('a read that expects nothing gets no data, and a residual (UNH 19.1)', async (t) => {
  const { initiator, volume } = start()
  for (const wanting of [
    { read: true, expected: 0 },
    { read: false, expected: 0 },
  ]) {
    initiator.command({ opcode: 0x28, blocks: 3, ...wanting })
    t.match(initiator.receiveOne(ScsiResponse), {
      status: 0,
      residualOverflow: true,
      residualCount: 3 * 512,
    })
  }
  t.same(volume.held, [])
})

t.test('late reads overtake no PDU of their own command, and stop no other', async (t) => {
  const { initiator, volume } = start({ MaxRecvDataSegmentLength: '4096' })
  const slow = initiator.command({ ...read, lba: 0, blocks: 24 })
  t.equal(volume.held.length, 1)
  volume.now = () => true
  const quick = initiator.command({ ...read, lba: 100, blocks: 4 })
  t.equal(initiator.receiveOne(DataIn).initiatorTaskTag, quick)
  volume.release()
  const pieces = initiator.receiveAll(DataIn)
  t.equal(pieces.length, 3, 'what comes after the late part is at hand')
  t.ok(wholeRead(pieces, { segment: 4096, burst: 262144 }).equals(volume.bytes.subarray(0, 12288)))
  t.ok(pieces.every((pdu) => pdu.initiatorTaskTag === slow))
})

t.test('a read that fails midway ends with CHECK CONDITION, sense and residual', async (t) => {
  const { initiator, volume } = start({ MaxRecvDataSegmentLength: '1024' })
  const tag = initiator.command({ ...read, blocks: 8 })
  volume.release()
  volume.fail()
  const [data, response, ...more] = initiator.receive()
  t.same(more, [])
  t.match(new DataIn().at(data!.header, 0), { final: false, hasStatus: false, dataSN: 0 })
  t.match(new ScsiResponse().at(response!.header, 0), {
    initiatorTaskTag: tag,
    response: 0,
    status: 2,
    expDataSN: 1,
    residualUnderflow: true,
    residualCount: 3072,
  })
  t.equal(response!.data.readUInt16BE(0), SENSE.length)
  t.ok(response!.data.subarray(2).equals(SENSE))
  t.equal(initiator.sink.lent.size, 0)
})

t.test('a command without data that fails reports all as residual', async (t) => {
  const { initiator } = start()
  initiator.command({ opcode: 0xc7, expected: 100, read: true })
  t.match(initiator.receiveOne(ScsiResponse), {
    status: 2,
    expDataSN: 0,
    residualUnderflow: true,
    residualCount: 100,
  })
})

t.test('output that the network does not take stops reads, and input', async (t) => {
  const { initiator, volume, executor } = start({ MaxRecvDataSegmentLength: '4096' })
  const { sink, connection } = initiator
  volume.now = () => {
    sink.backlogBytes += 2 * 1024 * 1024
    return true
  }
  initiator.command({ ...read, blocks: 64 })
  t.equal(initiator.receiveAll(DataIn).length, 3, 'three segments went over the limit')
  t.ok(connection.paused)
  for (let i = 0; i < 5; i++) initiator.command({ ...read, lba: i, blocks: 8 })
  t.equal(executor.executed.length, 1, 'nothing more is taken in')
  t.same(initiator.receive(), [])
  sink.backlogBytes = 0
  connection.onDrain()
  t.equal(initiator.receiveAll(DataIn).length, 3, 'it goes on where it stopped')
  t.ok(connection.paused, 'and is full again')
  volume.now = () => true
  sink.backlogBytes = 0
  connection.onDrain()
  t.equal(initiator.receiveAll(DataIn).at(-1)?.hasStatus, true)
  t.notOk(connection.paused)
  t.equal(sink.resumed, 2, 'by the login, and by the network')
  initiator.resend()
  t.equal(initiator.receiveAll(DataIn).length, 5)
})

t.test(
  'reads wait for the budget of late data, and take their turn when some is free',
  async (t) => {
    const { initiator, volume } = start({ MaxRecvDataSegmentLength: '4096' })
    initiator.sink.laterBudgetBytes = 10_000
    const tags = [0, 1, 2, 3].map((i) => initiator.command({ ...read, lba: 8 * i, blocks: 8 }))
    t.equal(volume.held.length, 2)
    initiator.ping(77)
    t.equal(initiator.receiveOne(NopIn).initiatorTaskTag, 77, 'other PDUs go on')
    volume.releaseAll()
    const answers = initiator.receiveAll(DataIn)
    t.same(
      answers.map((pdu) => pdu.initiatorTaskTag),
      tags,
    )
    t.equal(initiator.sink.laterBudgetBytes, 10_000)
  },
)
