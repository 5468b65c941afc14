import { randomFillSync } from 'node:crypto'
import { describePdu, Opcode, ReadyToTransfer, ScsiResponse } from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const SIZE = 64 * 1024
const PAGE = 4096

interface Terms {
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly firstBurst: number
  readonly maxBurst: number
  readonly maxOutstandingR2T: number
  readonly digest: boolean
}

/** A logged-in initiator that has agreed on `terms`, and a volume of noise. */
function start(terms: Partial<Terms> = {}, blockBytes = 512) {
  const all: Terms = {
    initialR2T: false,
    immediateData: true,
    firstBurst: 8192,
    maxBurst: 16384,
    maxOutstandingR2T: 1,
    digest: false,
    ...terms,
  }
  const volume = new HeldVolume(SIZE, blockBytes)
  volume.fill(randomFillSync(Buffer.alloc(SIZE)))
  const { node, executor } = makeNode(volume, { maxOutstandingR2T: 8 })
  const initiator = new ScriptedInitiator(node)
  initiator.login({
    keys: {
      InitialR2T: all.initialR2T ? 'Yes' : 'No',
      ImmediateData: all.immediateData ? 'Yes' : 'No',
      FirstBurstLength: `${all.firstBurst}`,
      MaxBurstLength: `${all.maxBurst}`,
      MaxOutstandingR2T: `${all.maxOutstandingR2T}`,
      HeaderDigest: all.digest ? 'CRC32C' : 'None',
      DataDigest: all.digest ? 'CRC32C' : 'None',
    },
  })
  return { volume, executor, initiator, terms: all }
}

/** Where the data of a write are cut, one length after another; each at least 1. */
type Cuts = Iterator<number>

/** Sends `data` from `offset` to `end` as one sequence of Data-Out PDUs. */
function sendSequence(
  initiator: ScriptedInitiator,
  fields: { tag: number; ttt?: number; offset: number; end: number },
  data: Buffer,
  cuts: Cuts,
): void {
  let { offset } = fields
  let dataSN = 0
  do {
    const end = Math.min(offset + cuts.next().value, fields.end)
    const { end: _, ...pdu } = fields
    const final = end === fields.end
    initiator.dataOut({ ...pdu, offset, dataSN, final }, data.subarray(offset, end))
    dataSN++
    offset = end
  } while (offset < fields.end)
}

/** A write as the agreed terms allow it: immediate, unsolicited and solicited data. */
function write(
  { initiator, terms, volume }: ReturnType<typeof start>,
  command: { lba: number; blocks: number; data: Buffer },
  cuts: Cuts,
): ScsiResponse {
  const { lba, blocks, data } = command
  const most = Math.min(terms.firstBurst, data.length)
  const immediate = terms.immediateData ? Math.min(cuts.next().value - 1, most) : 0
  const unsolicited = !terms.initialR2T && immediate < most && cuts.next().value % 3 > 0
  const tag = initiator.command(
    { opcode: 0x2a, lba, blocks, write: true, expected: data.length, final: !unsolicited },
    data.subarray(0, immediate),
  )
  if (unsolicited) sendSequence(initiator, { tag, offset: immediate, end: most }, data, cuts)
  const wanted = Math.min(data.length, blocks * 512)
  let asked = unsolicited ? most : immediate
  let sent = asked
  let r2tSN = 0
  for (;;) {
    const pdus = initiator.receive()
    for (const { header } of pdus) {
      if (header[0] === Opcode.ScsiResponse) return new ScsiResponse().at(header, 0)
      if (header[0] !== Opcode.ReadyToTransfer) throw new Error(`got ${describePdu(header)}`)
    }
    const r2ts = pdus.map(({ header }) => new ReadyToTransfer().at(header, 0))
    if (r2ts.length > terms.maxOutstandingR2T) throw new Error(`${r2ts.length} R2Ts at once`)
    if (r2ts.length === 0 && !volume.release()) throw new Error(`nothing comes after ${sent}`)
    for (const r2t of r2ts) {
      const { bufferOffset, desiredDataTransferLength: length, targetTransferTag } = r2t
      if (r2t.r2tSN !== r2tSN++) throw new Error(`R2TSN ${r2t.r2tSN}`)
      if (bufferOffset !== asked) throw new Error(`an R2T for ${bufferOffset}, wanted ${asked}`)
      asked += length
      if (length > terms.maxBurst || asked > wanted || targetTransferTag === 0xffffffff) {
        throw new Error(`an R2T for ${length} bytes at ${bufferOffset}`)
      }
    }
    for (const {
      targetTransferTag: ttt,
      bufferOffset: offset,
      desiredDataTransferLength,
    } of r2ts) {
      const end = offset + desiredDataTransferLength
      sendSequence(initiator, { tag, ttt, offset, end }, data, cuts)
      sent = end
    }
  }
}

/** Every write is of whole blocks, and begins and ends with a page, or with the transfer. */
function checkPages(volume: HeldVolume, start: number, end: number): void {
  for (const { offset, length } of volume.writes) {
    const stop = offset + length
    const begins = offset === start || offset % PAGE === 0
    const ends = stop === end || stop % PAGE === 0
    if (!begins || !ends)
      throw new Error(`bytes ${offset} to ${stop} written of ${start} to ${end}`)
  }
}

const anyTerms = fc
  .record({
    initialR2T: fc.boolean(),
    immediateData: fc.boolean(),
    firstBurst: fc.constantFrom(512, 700, 4096, 5000, 8192, 65536),
    maxBurst: fc.constantFrom(512, 1000, 4096, 10_000, 65536),
    maxOutstandingR2T: fc.constantFrom(1, 2, 3, 8),
    digest: fc.boolean(),
  })
  .map((terms) => ({ ...terms, firstBurst: Math.min(terms.firstBurst, terms.maxBurst) }))

t.test('a write on any terms puts its bytes on the volume, and no others', async (t) => {
  const property = fc.property(
    fc.record({
      terms: anyTerms,
      blockBytes: fc.constantFrom(512, 4096),
      lba: fc.nat({ max: 60 }),
      blocks: fc.integer({ min: 1, max: 60 }),
      /** What the initiator sends, against what the command writes; mostly the same. */
      excess: fc.oneof(
        { weight: 3, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -20_000, max: 5_000 }) },
      ),
      cuts: fc.infiniteStream(fc.integer({ min: 1, max: 6_000 })),
      pieceBytes: fc.constantFrom(1, 7, 48, 1000, 1_000_000),
      now: fc.infiniteStream(fc.boolean()),
    }),
    ({ terms, blockBytes, excess, cuts, pieceBytes, now, ...extent }) => {
      const session = start(terms, blockBytes)
      const { volume, initiator } = session
      volume.now = () => now.next().value
      initiator.pieceBytes = pieceBytes
      const perBlock = blockBytes / 512
      const lba = extent.lba - (extent.lba % perBlock)
      const blocks = extent.blocks + (-extent.blocks & (perBlock - 1))
      const data = randomFillSync(Buffer.alloc(Math.max(blocks * 512 + excess, 1)))
      const model = volume.bytes
      const length = Math.min(data.length, blocks * 512)
      const whole = length - (length % blockBytes)
      data.copy(model, lba * 512, 0, whole)

      const response = write(session, { lba, blocks, data }, cuts)
      t.match(response, {
        status: 0,
        residualOverflow: blocks * 512 > data.length,
        residualUnderflow: blocks * 512 < data.length,
        residualCount: Math.abs(blocks * 512 - data.length),
        maxCmdSN: 129,
      })
      t.same(volume.held, [], 'it was not answered before all was written')
      t.ok(volume.bytes.equals(model))
      checkPages(volume, lba * 512, lba * 512 + whole)
      t.equal(initiator.sink.closed, null)
    },
  )
  fc.assert(property, { numRuns: 300 })
})

t.test('whole pages go to the volume in one write for each piece that has any', async (t) => {
  const session = start({ firstBurst: 65536, maxBurst: 65536 })
  const { volume, initiator } = session
  volume.now = () => true
  const tag = initiator.command({ opcode: 0x2a, lba: 3, blocks: 29, write: true, final: false })
  const cuts = [1000, 6000, 100, 7748]
  let offset = 0
  for (const [dataSN, length] of cuts.entries()) {
    const end = offset + length
    initiator.dataOut({ tag, offset, dataSN, final: end === 29 * 512 }, Buffer.alloc(length, 1))
    offset = end
  }
  initiator.receiveOne(ScsiResponse)
  t.same(volume.writes, [
    { offset: 3 * 512, length: PAGE - 3 * 512 },
    { offset: PAGE, length: PAGE },
    { offset: 2 * PAGE, length: PAGE },
    { offset: 3 * PAGE, length: PAGE },
  ])
})

t.test('of immediate data short of FirstBurstLength the rest is asked for', async (t) => {
  const { initiator, volume } = start({ firstBurst: 8192, maxBurst: 4096 })
  volume.now = () => true
  const tag = initiator.command({ opcode: 0x2a, blocks: 16, write: true }, Buffer.alloc(512, 1))
  t.match(initiator.receiveOne(ReadyToTransfer), {
    initiatorTaskTag: tag,
    bufferOffset: 512,
    desiredDataTransferLength: 4096,
  })
})

t.test('a command that can send nothing more unasked needs no F bit (UNH 16.3.1)', async (t) => {
  const { initiator, volume } = start({ initialR2T: true, firstBurst: 512 })
  volume.now = () => true
  const data = randomFillSync(Buffer.alloc(1024))
  const tag = initiator.command(
    { opcode: 0x2a, blocks: 2, write: true, final: false },
    data.subarray(0, 512),
  )
  const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
  initiator.dataOut({ tag, ttt, offset: 512 }, data.subarray(512))
  t.equal(initiator.receiveOne(ScsiResponse).status, 0)
  t.ok(volume.bytes.subarray(0, 1024).equals(data))
})

t.test('an empty Data-Out is no error (UNH 9.3.2)', async (t) => {
  const { initiator, volume } = start({ initialR2T: true, immediateData: false })
  volume.now = () => true
  const tag = initiator.command({ opcode: 0x2a, blocks: 1, write: true })
  const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
  initiator.dataOut({ tag, ttt, offset: 0, final: false }, Buffer.alloc(0))
  initiator.dataOut({ tag, ttt, offset: 0, dataSN: 1, final: false }, Buffer.alloc(512, 9))
  t.same(initiator.receive(), [], 'the sequence goes on until its F bit')
  initiator.dataOut({ tag, ttt, offset: 512, dataSN: 2 }, Buffer.alloc(0))
  t.equal(initiator.receiveOne(ScsiResponse).status, 0)
})

t.test('R2Ts carry the LUN, and a StatSN that they do not use up (UNH 8.1, 10.1)', async (t) => {
  const { initiator } = start({ initialR2T: true, immediateData: false, maxOutstandingR2T: 3 })
  const before = initiator.command({ opcode: 0xc7 })
  const response = initiator.receiveOne(ScsiResponse)
  t.equal(response.initiatorTaskTag, before)
  initiator.command({ opcode: 0x2a, blocks: 96, write: true, lun: 7 })
  const r2ts = initiator.receiveAll(ReadyToTransfer)
  t.same(
    r2ts.map((pdu) => [pdu.r2tSN, pdu.statSN, pdu.buffer[9]]),
    [0, 1, 2].map((r2tSN) => [r2tSN, response.statSN + 1, 7]),
  )
  t.equal(new Set(r2ts.map((pdu) => pdu.targetTransferTag)).size, 3)
})

t.test(
  'ExpDataSN of a write is 0, however many R2Ts it took (RFC 7143 section 11.4.8)',
  async (t) => {
    const terms = { initialR2T: true, immediateData: false, maxBurst: 8192 }
    const { initiator, volume } = start(terms)
    volume.now = () => true
    const tag = initiator.command({ opcode: 0x2a, blocks: 48, write: true })
    for (const offset of [0, 8192, 16384]) {
      const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
      initiator.dataOut({ tag, ttt, offset }, Buffer.alloc(8192, 5))
    }
    t.match(initiator.receiveOne(ScsiResponse), { status: 0, expDataSN: 0 })
  },
)

t.test('parameter data are gathered, and no more of them than the command wants', async (t) => {
  for (const expected of [10, 700, 3000]) {
    const { initiator, executor } = start({ firstBurst: 512, maxBurst: 512 })
    const data = randomFillSync(Buffer.alloc(expected))
    const tag = initiator.command({ opcode: 0x55, blocks: 1024, write: true, expected })
    const wanted = Math.min(expected, 1024)
    for (let offset = 0; offset < wanted; ) {
      const r2t = initiator.receiveOne(ReadyToTransfer)
      const end = offset + r2t.desiredDataTransferLength
      const ttt = r2t.targetTransferTag
      initiator.dataOut({ tag, ttt, offset }, data.subarray(offset, end))
      offset = end
    }
    t.equal(initiator.receiveOne(ScsiResponse).status, 0)
    t.ok(executor.gathered[0]?.equals(data.subarray(0, wanted)))
  }
})

t.test('a command that fails at once waits for the data that it was promised', async (t) => {
  const { initiator } = start()
  const wrong = { opcode: 0xc7, write: true, expected: 2048, final: false } as const
  const tag = initiator.command(wrong, Buffer.alloc(512))
  t.same(initiator.receive(), [])
  initiator.dataOut({ tag, offset: 512, final: false }, Buffer.alloc(512))
  initiator.dataOut({ tag, offset: 1024, dataSN: 1 }, Buffer.alloc(1024))
  t.match(initiator.receiveOne(ScsiResponse), { status: 2, initiatorTaskTag: tag })
  t.equal(initiator.sink.closed, null)
})

t.test(
  'a failed write is reported once all data have come, and nothing is written after it',
  async (t) => {
    const { initiator, volume } = start({ firstBurst: 16384 })
    const tag = initiator.command(
      { opcode: 0x2a, blocks: 24, write: true, final: false },
      Buffer.alloc(4096, 1),
    )
    volume.fail()
    const before = volume.bytes
    initiator.dataOut({ tag, offset: 4096 }, Buffer.alloc(8192, 2))
    t.match(initiator.receiveOne(ScsiResponse), { status: 2, residualUnderflow: false })
    t.same(volume.held, [])
    t.ok(volume.bytes.equals(before))
  },
)

t.test('data copied aside for a slow medium are bounded: input stops', async (t) => {
  const volume = new HeldVolume(16 * 1024 * 1024)
  const initiator = new ScriptedInitiator(makeNode(volume, {}, { commandWindow: 256 }).node)
  initiator.login()
  const data = Buffer.alloc(65536, 3)
  let commands = 0
  while (!initiator.connection.paused && commands < 200) {
    initiator.command({ opcode: 0x2a, lba: 128 * (commands % 100), blocks: 128, write: true }, data)
    commands++
  }
  t.equal(commands, 129, 'the first to go over 8 MiB is the last')
  initiator.command({ opcode: 0x2a, lba: 0, blocks: 1, write: true }, Buffer.alloc(512))
  t.ok(initiator.untaken.length > 0)
  volume.release()
  t.notOk(initiator.connection.paused)
  initiator.resend()
  volume.releaseAll()
  t.equal(initiator.receiveAll(ScsiResponse).length, commands + 1)
})
