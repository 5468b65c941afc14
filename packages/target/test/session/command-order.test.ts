import {
  DataIn,
  encodeText,
  LoginRequest,
  LoginResponse,
  NopIn,
  NopOut,
  Reject,
  RejectReason,
  ScsiResponse,
  serialAdd,
  serialLess,
  serialLessOrEqual,
  TaskManagementFunction,
} from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t from 'tap'
import { TaskAttribute } from '../../src/scsi/scsi-task.ts'
import { HeldVolume } from '../support/held-volume.ts'
import {
  INITIATOR_NAME,
  makeNode,
  ScriptedInitiator,
  TARGET_NAME,
} from '../support/scripted-initiator.ts'

const WINDOW = 8

/** A logged-in initiator, and a volume whose operations end when the test says so. */
function start(cmdSN = 1, commandWindow = WINDOW) {
  const volume = new HeldVolume(64 * 512)
  const { node, executor } = makeNode(volume, {}, { commandWindow })
  const initiator = new ScriptedInitiator(node)
  initiator.login({ cmdSN, keys: { InitialR2T: 'No' } })
  return { volume, node, executor, initiator }
}

const read = { opcode: 0x28, blocks: 1, read: true } as const
const inquiry = { opcode: 0x12, blocks: 8, expected: 8, read: true } as const

t.test(
  'commands are executed in the order of their CmdSN, whatever order they come in',
  async (t) => {
    const permutations = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 })
    const firsts = fc.constantFrom(1, 0, 0xfffffffc)
    fc.assert(
      fc.property(permutations, firsts, (order, first) => {
        const { initiator, executor, volume } = start(first)
        volume.now = () => true
        for (const place of order) {
          initiator.command({ ...read, lba: place, cmdSN: serialAdd(first, place) })
        }
        t.same(executor.executed, [0, 1, 2, 3, 4, 5, 6, 7])
        const last = initiator.receiveAll(DataIn).at(-1)
        t.equal(last?.expCmdSN, serialAdd(first, 8))
        t.equal(last?.maxCmdSN, serialAdd(first, 8 + WINDOW - 1))
      }),
      { numRuns: 40 },
    )
  },
)

t.test('whatever ExpStatSN says, a command is executed (RFC 7143 section 7.9)', async (t) => {
  const { initiator } = start()
  for (const expStatSN of [0, 1, 100, 0x80000000, 0xffffffff]) {
    const spoil = (bytes: Buffer) => bytes.writeUInt32BE(expStatSN, 28)
    const tag = initiator.command({ ...inquiry, spoil })
    t.equal(initiator.receiveOne(DataIn).initiatorTaskTag, tag)
  }
})

t.test('the priority of a command puts it before no other (RFC 7144)', async (t) => {
  const { initiator, executor } = start()
  const first = (bytes: Buffer) => bytes.fill(0xff, 2, 4)
  initiator.command({ ...inquiry, lba: 1, cmdSN: 2, spoil: first })
  initiator.command({ ...inquiry, lba: 0, cmdSN: 1 })
  t.same(
    executor.executed.map((lba) => lba % 256),
    [0, 1],
  )
})

t.test('a write that comes before its turn keeps its data until then', async (t) => {
  const { initiator, volume } = start()
  volume.now = () => true
  const [one, two] = [Buffer.alloc(512, 1), Buffer.alloc(512, 2)]
  const write = { opcode: 0x2a, write: true, blocks: 2, final: false } as const
  const tag = initiator.command({ ...write, lba: 4, cmdSN: 2 }, one)
  initiator.dataOut({ tag, offset: 512 }, two)
  t.same(volume.writes, [], 'nothing is written out of turn')
  t.same(initiator.receive(), [])
  initiator.command({ ...inquiry, cmdSN: 1 })
  const [answered, written] = initiator.receive()
  t.equal(new DataIn().at(answered!.header, 0).expCmdSN, 2)
  t.match(new ScsiResponse().at(written!.header, 0), { initiatorTaskTag: tag, status: 0 })
  t.ok(volume.bytes.subarray(4 * 512, 6 * 512).equals(Buffer.concat([one, two])))
})

t.test('data that wait for their turn take nothing of what reads need', async (t) => {
  const { initiator, volume } = start()
  const { sink } = initiator
  const write = { opcode: 0x2a, write: true, blocks: 128, lba: 0 } as const
  const tag = initiator.command({ ...write, cmdSN: 3 }, Buffer.alloc(64 * 1024, 1))
  t.equal(sink.lent.size, 0)
  // One slab is all that the read needs, and all that there is.
  sink.laterBudgetBytes = 4096
  initiator.command({ ...read, lba: 0, cmdSN: 1 })
  t.equal(sink.lent.size, 1)
  volume.releaseAll()
  t.match(initiator.receiveOne(DataIn), { hasStatus: true, status: 0 })
  initiator.manage({
    function: TaskManagementFunction.AbortTask,
    referencedTaskTag: tag,
    refCmdSN: 3,
  })
  t.same(volume.writes, [], 'aborted before its turn')
})

t.test('commands outside of the window are ignored (RFC 7143 section 4.2.2.1)', async (t) => {
  for (const first of [1, 0xfffffffe]) {
    const { initiator, executor } = start(first)
    for (const distance of [-1, -100, WINDOW, WINDOW + 1, 0x7fffffff, -0x80000000]) {
      initiator.command({ ...inquiry, cmdSN: serialAdd(first, distance) })
      initiator.sendPdu(
        ...ping((pdu) => {
          pdu.cmdSN = serialAdd(first, distance)
        }),
      )
    }
    t.same(initiator.receive(), [])
    t.same(executor.executed, [])
    initiator.command(inquiry)
    t.equal(initiator.receiveOne(DataIn).expCmdSN, serialAdd(first, 1))
  }
})

t.test('the data of an ignored command go nowhere', async (t) => {
  const { initiator, volume } = start()
  volume.now = () => true
  const write = { opcode: 0x2a, blocks: 2, write: true, final: false, cmdSN: 100 } as const
  const tag = initiator.command(write, Buffer.alloc(512, 1))
  initiator.dataOut({ tag, offset: 512 }, Buffer.alloc(512, 2))
  t.same(volume.writes, [])
  t.equal(initiator.sink.closed, null)
  initiator.command(inquiry)
  initiator.receiveOne(DataIn)
})

t.test(
  'a duplicate is ignored, of a command under way and of one kept (UNH 1.3, 16.4)',
  async (t) => {
    const { initiator, executor, volume } = start()
    const write = { opcode: 0x2a, blocks: 1, write: true, cmdSN: 1 } as const
    const tag = initiator.command(write)
    initiator.command({ ...write, tag })
    initiator.command({ ...inquiry, cmdSN: 3, tag: 70 })
    initiator.command({ ...inquiry, cmdSN: 3, tag: 71 })
    initiator.sendPdu(
      ...ping((pdu) => {
        pdu.cmdSN = 3
      }),
    )
    t.equal(executor.executed.length, 1)
    const [r2t, ...more] = initiator.receive()
    t.same(more, [])
    volume.now = () => true
    initiator.dataOut({ tag, ttt: r2t!.header.readUInt32BE(20), offset: 0 }, Buffer.alloc(512, 7))
    initiator.receiveOne(ScsiResponse)
    initiator.command({ ...read, cmdSN: 2 })
    const tags = initiator.receiveAll(DataIn).map((pdu) => pdu.initiatorTaskTag)
    t.equal(tags.length, 2)
    t.equal(tags[1], 70, 'the first of the two that were kept')
  },
)

t.test('the window closes when it is full of commands, and opens as they end', async (t) => {
  const { initiator, volume, executor } = start()
  for (let i = 0; i < WINDOW; i++) initiator.command({ ...read, lba: i })
  t.equal(executor.executed.length, WINDOW)
  initiator.command({ ...read, lba: 40 })
  t.equal(executor.executed.length, WINDOW, 'beyond MaxCmdSN')
  initiator.cmdSN--
  initiator.ping(5)
  const closed = initiator.receiveOne(NopIn)
  t.equal(closed.maxCmdSN, WINDOW)
  t.equal(closed.expCmdSN, WINDOW + 1, 'MaxCmdSN + 1')
  volume.release()
  t.equal(initiator.receiveOne(DataIn).maxCmdSN, WINDOW + 1, 'told by the response itself')
  initiator.command({ ...read, lba: 41 })
  t.equal(executor.executed.at(-1), 41)
  volume.releaseAll()
  t.equal(initiator.receiveAll(DataIn).at(-1)?.maxCmdSN, 2 * WINDOW + 1)
})

t.test('immediate commands need no place, and do not wait for their turn', async (t) => {
  const { initiator, executor, volume } = start()
  for (let i = 0; i < WINDOW; i++) initiator.command({ ...read, lba: i })
  initiator.command({ ...inquiry, immediate: true, tag: 99 })
  const answer = initiator.receiveOne(DataIn)
  t.match(answer, { initiatorTaskTag: 99, maxCmdSN: WINDOW, expCmdSN: WINDOW + 1 })
  t.equal(executor.executed.length, WINDOW + 1)
  volume.releaseAll()
  t.equal(initiator.receiveAll(DataIn).at(-1)?.maxCmdSN, 2 * WINDOW)
})

t.test(
  'immediate commands have a bound of their own, beyond which they are rejected',
  async (t) => {
    const { initiator, volume } = start()
    for (let i = 0; i < 8; i++) initiator.command({ ...read, lba: i, immediate: true })
    t.same(initiator.receive(), [])
    const write = { opcode: 0x2a, blocks: 2, write: true, final: false, immediate: true } as const
    const tag = initiator.command(write, Buffer.alloc(512, 1))
    const rejected = initiator.receiveOne(Reject)
    t.equal(rejected.reason, RejectReason.ImmediateCommandReject)
    t.equal(rejected.data.readUInt32BE(16), tag, 'with its header')
    initiator.dataOut({ tag, offset: 512 }, Buffer.alloc(512, 2))
    t.equal(initiator.sink.closed, null, 'and its data are ignored')
    volume.releaseAll()
    t.same(volume.writes, [])
    t.equal(initiator.receiveAll(DataIn).length, 8)
    initiator.command({ ...read, immediate: true })
    volume.releaseAll()
    initiator.receiveOne(DataIn)
  },
)

function reservedAttribute(bytes: Buffer): void {
  bytes[1] = (bytes[1] as number) | 0x05
}

t.test(
  'a command that no valid initiator sends is rejected, and ends the connection',
  async (t) => {
    const wrong: [Parameters<ScriptedInitiator['command']>[0], Buffer, number][] = [
      [{ ...read, write: true }, Buffer.alloc(0), RejectReason.CommandNotSupported],
      [{ ...read, tag: 0xffffffff }, Buffer.alloc(0), RejectReason.ProtocolError],
      [{ ...read, expected: 512 }, Buffer.alloc(512), RejectReason.ProtocolError],
      [{ ...read, spoil: reservedAttribute }, Buffer.alloc(0), RejectReason.ProtocolError],
      [{ opcode: 0x2a, write: true, blocks: 1 }, Buffer.alloc(516), RejectReason.ProtocolError],
    ]
    for (const [command, data, reason] of wrong) {
      const { initiator, executor } = start()
      initiator.command(command, data)
      const rejected = initiator.receiveOne(Reject)
      t.equal(rejected.reason, reason)
      t.equal(rejected.initiatorTaskTag, 0xffffffff)
      t.equal(rejected.data.length, 48)
      t.match(initiator.sink.closed, { reason: 'protocol-error' })
      t.same(executor.executed, [])
    }
  },
)

t.test('the CmdSN of a command that is rejected has not come (RFC 7143 section 7.3)', async (t) => {
  const { initiator, executor, volume } = start()
  volume.now = () => true
  initiator.command({ ...read, cmdSN: 2, lba: 2 })
  initiator.ping(0xffffffff, { immediate: false })
  const rejected = initiator.receiveOne(Reject)
  t.equal(rejected.expCmdSN, 1)
  t.same(executor.executed, [], 'the next one waits for the gap to be filled')
  initiator.command({ ...read, cmdSN: 1, lba: 1 })
  t.same(executor.executed, [1, 2])
  t.equal(initiator.receiveAll(DataIn).at(-1)?.expCmdSN, 3)
})

t.test('a tag that is in use is rejected, and its task is none the wiser', async (t) => {
  const { initiator, executor } = start()
  initiator.command({ ...read, tag: 5 })
  initiator.command({ ...read, tag: 5, lba: 9 })
  t.equal(initiator.receiveOne(Reject).reason, RejectReason.TaskInProgress)
  t.match(initiator.sink.closed, { reason: 'protocol-error' })
  t.same(executor.executed, [0])
})

t.test('connections of one session share its order, each with StatSN of its own', async (t) => {
  const { initiator, node, executor, volume } = start()
  const second = new ScriptedInitiator(node)
  volume.now = () => true
  // MaxConnections is 1 unless it is negotiated.
  t.throws(() => second.login({ tsih: initiator.tsih, cid: 1 }), /login status 0x206/)
  const one = new ScriptedInitiator(node)
  one.login({ isid: '400000020000', keys: { MaxConnections: '2' } })
  const two = new ScriptedInitiator(node)
  two.login({ isid: '400000020000', tsih: one.tsih, cid: 1 })
  two.command({ ...read, lba: 2, cmdSN: 2 })
  t.same(two.receive(), [], 'CmdSN 1 has not come')
  one.command({ ...read, lba: 1, cmdSN: 1, tag: 90 })
  t.equal(one.receiveOne(DataIn).expCmdSN, 2)
  t.equal(two.receiveOne(DataIn).expCmdSN, 3, 'on the connection that it came by')
  t.same(executor.executed, [1, 2])
})

/** A NOP-Out that is not immediate, for `sendPdu`. */
function ping(fill: (pdu: NopOut) => void): [NopOut, (pdu: NopOut) => void] {
  return [
    new NopOut(),
    (pdu) => {
      pdu.initiatorTaskTag = 0x1909
      pdu.targetTransferTag = 0xffffffff
      fill(pdu)
    },
  ]
}

t.test('who joins a session is not told that commands have come which have not', async (t) => {
  for (const first of [1, 0xfffffffe]) {
    const { node } = start()
    const one = new ScriptedInitiator(node)
    one.login({ isid: '400000020000', cmdSN: first, keys: { MaxConnections: '2' } })
    const two = new ScriptedInitiator(node)
    // Two commands are still on their way over the other connection.
    const join = (transit: boolean) => (pdu: LoginRequest) => {
      Buffer.from('400000020000', 'hex').copy(pdu.buffer, pdu.isidPosition)
      pdu.tsih = one.tsih
      pdu.cid = 1
      pdu.cmdSN = serialAdd(first, 2)
      pdu.currentStage = 1
      pdu.nextStage = transit ? 3 : 0
      pdu.transit = transit
    }
    const names = { InitiatorName: INITIATOR_NAME, TargetName: TARGET_NAME }
    two.sendPdu(new LoginRequest(), join(false), encodeText(Object.entries(names)))
    const { statusClass, expCmdSN, maxCmdSN } = two.receiveOne(LoginResponse)
    t.equal(statusClass, 0)
    t.ok(serialLessOrEqual(expCmdSN, first))
    t.ok(serialLessOrEqual(serialAdd(expCmdSN, -1), maxCmdSN))
    t.ok(serialLess(maxCmdSN, serialAdd(first, WINDOW)))
    two.sendPdu(new LoginRequest(), join(true))
    t.match(two.receiveOne(LoginResponse), {
      statusClass: 0,
      expCmdSN: first,
      maxCmdSN: serialAdd(first, WINDOW - 1),
    })
  }
})

t.test('the task attribute of a command is passed on (RFC 7143 section 11.3.1)', (t) => {
  const { initiator, executor } = start()
  const { Simple, Ordered, HeadOfQueue, Other } = TaskAttribute
  for (const attribute of [0, 1, 2, 3, 4]) initiator.command({ ...inquiry, attribute })
  t.same(executor.attributes, [Simple, Simple, Ordered, HeadOfQueue, Other])
  t.end()
})
