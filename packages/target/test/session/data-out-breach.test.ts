import {
  DataIn,
  NopIn,
  ReadyToTransfer,
  Reject,
  RejectReason,
  ScsiResponse,
  TaskManagementFunction,
  TaskManagementResponse,
} from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

/** A logged-in initiator that may send 1024 bytes unasked, and a volume that takes all at once. */
function start(keys: Record<string, string> = {}) {
  const volume = new HeldVolume(64 * 1024)
  volume.now = () => true
  const { node, executor } = makeNode(volume)
  const initiator = new ScriptedInitiator(node)
  const bursts = { FirstBurstLength: '1024', MaxBurstLength: '2048' }
  initiator.login({ keys: { InitialR2T: 'No', MaxOutstandingR2T: '2', ...bursts, ...keys } })
  return { volume, node, executor, initiator }
}

const write = { opcode: 0x2a, blocks: 16, write: true } as const
const block = Buffer.alloc(512, 0xbb)

/** The last PDU is rejected, the connection ends, and nothing was written. */
function refuses(
  t: Test,
  { initiator, volume }: ReturnType<typeof start>,
  message: RegExp,
  reason: RejectReason = RejectReason.ProtocolError,
): void {
  const rejected = initiator.receiveAll(Reject)
  t.equal(rejected.length, 1)
  t.equal(rejected[0]?.reason, reason)
  t.match(initiator.sink.closed, { reason: 'protocol-error', detail: message })
  t.equal(initiator.connection.state, 'FREE')
  t.same(volume.writes, [])
}

t.test('immediate data beyond what was agreed are refused', async (t) => {
  const cases: [Record<string, string>, number, number, RegExp][] = [
    [{ ImmediateData: 'No' }, 512, 8192, /though ImmediateData is No/],
    [{}, 1028, 8192, /1028 bytes exceed 1024/],
    [{ FirstBurstLength: '512' }, 516, 8192, /516 bytes exceed 512/],
    [{}, 512, 500, /512 bytes exceed 500/],
  ]
  for (const [keys, length, expected, message] of cases) {
    const session = start(keys)
    session.initiator.command({ ...write, expected }, Buffer.alloc(length))
    refuses(t, session, message)
    t.same(session.executor.executed, [])
  }
})

t.test('unsolicited data need InitialR2T=No', async (t) => {
  const session = start({ InitialR2T: 'Yes' })
  session.initiator.command({ ...write, final: false }, block)
  refuses(t, session, /though InitialR2T is Yes/)
  const silent = start({ InitialR2T: 'Yes' })
  const tag = silent.initiator.command(write)
  silent.initiator.receiveAll(ReadyToTransfer)
  silent.initiator.dataOut({ tag, offset: 0 }, block)
  refuses(t, silent, /unsolicited data .* after its last/)
})

t.test('unsolicited data come once, in order, and up to FirstBurstLength (UNH 7.2)', async (t) => {
  const cases: [Parameters<ScriptedInitiator['dataOut']>[0], number, RegExp][] = [
    [{ tag: 1, offset: 512 }, 512, /BufferOffset 512 is out of order, wanted 0/],
    [{ tag: 1, offset: 0 }, 1028, /up to byte 1028, wanted no more than 1024/],
  ]
  for (const [fields, length, message] of cases) {
    const session = start()
    session.initiator.command({ ...write, final: false })
    session.initiator.dataOut(fields, Buffer.alloc(length))
    refuses(t, session, message)
  }
  const session = start()
  const tag = session.initiator.command({ ...write, final: false })
  session.initiator.dataOut({ tag, offset: 0 }, Buffer.alloc(1024))
  session.initiator.receiveAll(ReadyToTransfer)
  session.volume.writes.length = 0
  session.initiator.dataOut({ tag, offset: 1024, dataSN: 1 }, block)
  refuses(t, session, /after its last/)
})

t.test('solicited data follow their R2T (UNH 7.1)', async (t) => {
  type Fields = Parameters<ScriptedInitiator['dataOut']>[0]
  const cases: [(ttts: number[]) => Omit<Fields, 'tag'>, number, RegExp][] = [
    [([ttt]) => ({ ttt: ttt! + 1, offset: 0 }), 2048, /is not the R2T due/],
    [([, second]) => ({ ttt: second!, offset: 0 }), 2048, /is not the R2T due/],
    [([ttt]) => ({ ttt: ttt!, offset: 512 }), 512, /BufferOffset 512 is out of order/],
    [([ttt]) => ({ ttt: ttt!, offset: 0 }), 2052, /no more than 2048/],
  ]
  for (const [fields, length, message] of cases) {
    const session = start()
    const { initiator } = session
    const tag = initiator.command(write)
    const ttts = initiator.receiveAll(ReadyToTransfer).map((pdu) => pdu.targetTransferTag)
    initiator.dataOut({ tag, ...fields(ttts) }, Buffer.alloc(length))
    refuses(t, session, message)
  }
})

t.test('solicited data name the LUN of their command (RFC 7143 section 4.2.5.3)', async (t) => {
  for (const [commanded, named] of [
    [0, 1],
    [5, 0],
  ] as const) {
    const session = start()
    const { initiator } = session
    // Without a Target Transfer Tag the field is reserved.
    const tag = initiator.command({ ...write, lun: commanded, final: false })
    initiator.dataOut({ tag, offset: 0, lun: named }, Buffer.alloc(1024))
    const [r2t] = initiator.receiveAll(ReadyToTransfer)
    t.equal(r2t!.buffer[r2t!.lunPosition + 1], commanded)
    session.volume.writes.length = 0
    const ttt = r2t!.targetTransferTag
    initiator.dataOut({ tag, ttt, offset: 1024, lun: named }, Buffer.alloc(2048))
    refuses(t, session, /LUN is not that of the command/, RejectReason.InvalidPduField)
  }
})

t.test('a sequence that ends early costs its command (UNH 16.3.6)', async (t) => {
  const session = start()
  const { initiator } = session
  // More than FirstBurstLength is expected, as much as that, and more after immediate data.
  const unsolicited = [
    [{ ...write, final: false }, 0],
    [{ ...write, blocks: 2, final: false }, 0],
    [{ ...write, final: false }, 256],
  ] as const
  for (const [command, immediate] of unsolicited) {
    const tag = initiator.command(command, Buffer.alloc(immediate))
    initiator.dataOut({ tag, offset: immediate }, block)
    failsAlone(t, session, tag, 0x0c0d)
  }
  const tag = initiator.command(write)
  const [first, second] = initiator.receiveAll(ReadyToTransfer)
  initiator.dataOut({ tag, ttt: first!.targetTransferTag, offset: 0 }, block)
  t.same(initiator.receive(), [], 'the other R2T is still to be answered')
  const ttt = second!.targetTransferTag
  initiator.dataOut({ tag, ttt, offset: 2048 }, Buffer.alloc(2048))
  failsAlone(t, session, tag, 0x0c0d)
})

t.test('a gap in DataSN fails the command, after the rest of what was due', async (t) => {
  const { initiator, volume } = start()
  const tag = initiator.command({ ...write, final: false }, Buffer.alloc(4))
  initiator.dataOut({ tag, offset: 4, dataSN: 1, final: false }, block)
  t.same(initiator.receive(), [])
  initiator.dataOut({ tag, offset: 516, dataSN: 2 }, block)
  const response = initiator.receiveOne(ScsiResponse)
  t.match(response, { initiatorTaskTag: tag, status: 2 })
  t.equal(response.data[2 + 2], 0x0b, 'ABORTED COMMAND')
  t.same(volume.writes, [])
  t.equal(initiator.sink.closed, null)
})

t.test('data for a task that is not there are ignored (UNH 14.1, 16.5)', async (t) => {
  const { initiator, volume } = start({ InitialR2T: 'Yes' })
  const tag = initiator.command({ ...write, blocks: 1 })
  const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
  initiator.dataOut({ tag: tag + 1, ttt, offset: 0 }, block)
  t.same(initiator.receive(), [])
  t.same(volume.writes, [])
  initiator.dataOut({ tag, ttt, offset: 0 }, block)
  t.equal(initiator.receiveOne(ScsiResponse).status, 0)
  initiator.dataOut({ tag, ttt, offset: 0 }, block)
  t.same(initiator.receive(), [])
  t.equal(volume.writes.length, 1)
  t.equal(initiator.sink.closed, null)
})

t.test('a PDU longer than MaxRecvDataSegmentLength ends the connection at once', async (t) => {
  const { initiator, volume } = start()
  initiator.ping(1, {}, Buffer.alloc(65536))
  initiator.receiveOne(NopIn)
  initiator.ping(1, {}, Buffer.alloc(65540))
  t.same(initiator.receive(), [])
  t.match(initiator.sink.closed, { reason: 'protocol-error', detail: /65540 exceeds/ })
  t.same(volume.writes, [])
})

const digests = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' }
const spoilHeader = (bytes: Buffer) => bytes.writeUInt8((bytes[30] as number) ^ 1, 30)
const spoilData = (bytes: Buffer) => bytes.writeUInt8((bytes[60] as number) ^ 1, 60)

t.test('a header that fails its digest ends the connection, unanswered', async (t) => {
  const { initiator, executor } = start(digests)
  initiator.command({ ...write, spoil: spoilHeader }, block)
  t.same(initiator.receive(), [])
  t.match(initiator.sink.closed, { reason: 'protocol-error', detail: /header digest/ })
  t.same(executor.executed, [])
})

/**
 * The command ended with ABORTED COMMAND, PROTOCOL SERVICE CRC ERROR unless told otherwise, and the
 * connection goes on.
 */
function failsAlone(
  t: Test,
  { initiator, volume }: ReturnType<typeof start>,
  tag: number,
  code = 0x4705,
): void {
  const response = initiator.receiveOne(ScsiResponse)
  t.match(response, { initiatorTaskTag: tag, status: 2 })
  t.same([response.data[4], response.data.readUInt16BE(14)], [0x0b, code])
  t.same(volume.writes, [], 'nothing was written')
  t.equal(initiator.sink.closed, null)
  initiator.ping(1)
  const { expCmdSN, maxCmdSN } = initiator.receiveOne(NopIn)
  t.equal(maxCmdSN, expCmdSN + 127)
}

t.test(
  'a command whose immediate data fail their digest never came (UNH 5.1, 18.2.1)',
  async (t) => {
    const { initiator, volume } = start(digests)
    const command = { ...write, cmdSN: 1, tag: 70 }
    initiator.command({ ...command, blocks: 1, spoil: spoilData }, block)
    const rejected = initiator.receiveOne(Reject)
    t.match(rejected, { reason: RejectReason.DataDigestError, expCmdSN: 1 })
    t.equal(rejected.data.readUInt32BE(16), 70, 'with its own header')
    const early = initiator.command({ ...write, blocks: 1, cmdSN: 2, tag: 71 }, block)
    t.same(initiator.receive(), [], 'the next one waits for it')
    initiator.command({ ...command, blocks: 1 }, block)
    const answers = initiator.receiveAll(ScsiResponse)
    t.same(
      answers.map(({ initiatorTaskTag, status }) => [initiatorTaskTag, status]),
      [
        [70, 0],
        [early, 0],
      ],
    )
    t.equal(volume.writes.length, 2)
  },
)

t.test('solicited data that fail their digest cost their command (UNH 18.2.2)', async (t) => {
  const session = start({ ...digests, ImmediateData: 'No', InitialR2T: 'Yes' })
  const { initiator } = session
  const tag = initiator.command({ ...write, blocks: 4 })
  const { targetTransferTag: ttt } = initiator.receiveOne(ReadyToTransfer)
  initiator.dataOut({ tag, ttt, offset: 0, final: false }, block)
  initiator.dataOut({ tag, ttt, offset: 512, dataSN: 1, spoil: spoilData, final: false }, block)
  t.equal(initiator.receiveOne(Reject).reason, RejectReason.DataDigestError)
  initiator.dataOut({ tag, ttt, offset: 1024, dataSN: 2, final: false }, block)
  t.same(initiator.receive(), [], 'not before the last of what was due')
  initiator.dataOut({ tag, ttt, offset: 1536, dataSN: 3 }, block)
  failsAlone(t, session, tag)
})

t.test('unsolicited data that fail their digest cost their command', async (t) => {
  const session = start(digests)
  const { initiator } = session
  const tag = initiator.command({ ...write, final: false }, Buffer.alloc(4))
  initiator.dataOut({ tag, offset: 4, spoil: spoilData, final: false }, block)
  t.equal(initiator.receiveOne(Reject).reason, RejectReason.DataDigestError)
  initiator.dataOut({ tag, offset: 516, dataSN: 1 }, Buffer.alloc(508))
  failsAlone(t, session, tag)
})

t.test('other data that fail their digest cost their own PDU', async (t) => {
  const { initiator } = start(digests)
  initiator.text({}, [['SendTargets', '']])
  t.equal(initiator.receive().length, 1)
  const spoilt = Buffer.alloc(512)
  initiator.dataOut({ tag: 0x4711, offset: 0, spoil: spoilData }, spoilt)
  const rejected = initiator.receiveOne(Reject)
  t.equal(rejected.reason, RejectReason.DataDigestError)
  t.equal(rejected.data.readUInt32BE(16), 0x4711, 'with its own header, not that of another')
  t.equal(initiator.sink.closed, null)
})

t.test('the rest of a PDU whose task was aborted meanwhile is dropped', async (t) => {
  for (const cmdSN of [1, 2]) {
    const { initiator, volume, node, executor } = start()
    const other = new ScriptedInitiator(node)
    other.login({ isid: '400000020000' })
    // With CmdSN 2 the task waits for its turn, and its data are held.
    initiator.keepBackBytes = 200
    initiator.command({ ...write, cmdSN }, block)
    initiator.keepBackBytes = 0
    other.manage({ function: TaskManagementFunction.LogicalUnitReset })
    t.equal(other.receiveOne(TaskManagementResponse).response, 0)
    t.equal(executor.abortedTasks.length, cmdSN === 1 ? 1 : 0)
    initiator.resend()
    // Of the place that came free it is told at once.
    t.equal(initiator.receiveAll(NopIn).length, cmdSN === 1 ? 1 : 0)
    initiator.command({ opcode: 0x12, blocks: 4, expected: 4, read: true, cmdSN: 3 - cmdSN })
    initiator.receiveOne(DataIn)
    t.same(volume.writes, [])
    const data = Buffer.alloc(1024, 0xcc)
    initiator.command({ ...write, blocks: 2, lba: 8, cmdSN: 3 }, data)
    t.equal(initiator.receiveOne(ScsiResponse).status, 0)
    t.same(volume.writes, [{ offset: 4096, length: 1024 }])
    t.ok(volume.bytes.subarray(4096, 5120).equals(data))
  }
})
