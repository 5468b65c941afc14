import { DataIn, NopIn, NopOut, Reject, RejectReason, SnackRequest } from '@platter/protocol/iscsi'
import t from 'tap'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

function start(keys: Record<string, string> = {}) {
  const { node, executor } = makeNode(new MemoryVolume('m', 65536))
  const initiator = new ScriptedInitiator(node)
  initiator.login({ keys })
  return { initiator, executor }
}

const inquiry = { opcode: 0x12, blocks: 4, expected: 4, read: true } as const

t.test('a ping is answered with its tag and data, immediate or not (UNH 15.1)', async (t) => {
  for (const immediate of [true, false]) {
    for (const data of [Buffer.alloc(0), Buffer.from('ping'), Buffer.alloc(5000, 7)]) {
      const { initiator } = start()
      initiator.ping(0x77, { immediate }, data)
      const answer = initiator.receiveOne(NopIn)
      t.match(answer, { initiatorTaskTag: 0x77, targetTransferTag: 0xffffffff })
      t.equal(answer.expCmdSN, immediate ? 1 : 2)
      t.equal(answer.maxCmdSN - answer.expCmdSN, 127)
      t.ok(answer.data.equals(data))
      initiator.command(inquiry)
      t.equal(initiator.receiveOne(DataIn).statSN, answer.statSN + 1)
    }
  }
})

t.test('of ping data only what the initiator takes comes back', async (t) => {
  const { initiator } = start({ MaxRecvDataSegmentLength: '1000' })
  const data = Buffer.alloc(2000, 3)
  initiator.ping(1, {}, data)
  t.ok(initiator.receiveOne(NopIn).data.equals(data.subarray(0, 1000)))
})

t.test('an answer to our ping may be a ping itself (RFC 7143 section 11.18)', async (t) => {
  const { initiator } = start()
  initiator.ping(5, { ttt: 0x10ffff })
  t.equal(initiator.receiveOne(NopIn).initiatorTaskTag, 5)
  initiator.ping(0xffffffff, { ttt: 0x10ffff })
  t.same(initiator.receive(), [], 'without a tag there is nothing to answer')
})

t.test('a NOP-Out with neither a tag nor the I bit is rejected', async (t) => {
  const { initiator } = start()
  initiator.ping(0xffffffff, { immediate: false })
  t.equal(initiator.receiveOne(Reject).reason, RejectReason.ProtocolError)
  t.equal(initiator.sink.closed, null)
})

t.test('a ping waits for its turn like a command', async (t) => {
  const { initiator } = start()
  initiator.cmdSN = 2
  initiator.ping(9, { immediate: false }, Buffer.from('kept'))
  t.same(initiator.receive(), [])
  initiator.command({ ...inquiry, cmdSN: 1 })
  const [, kept] = initiator.receive()
  t.equal(kept?.data.toString(), 'kept')
})

t.test('a SNACK is rejected at ErrorRecoveryLevel 0 (UNH 14.3)', async (t) => {
  const { initiator } = start()
  initiator.sendPdu(new SnackRequest(), () => {})
  const rejected = initiator.receiveOne(Reject)
  t.equal(rejected.reason, RejectReason.SnackReject)
  t.equal(rejected.data[0], 0x10)
  t.equal(rejected.expCmdSN, 1)
})

t.test(
  'an opcode that is none of an initiator is rejected, and the connection goes on',
  async (t) => {
    for (const opcode of [0x03, 0x07, 0x1c, 0x20, 0x3f]) {
      const { initiator } = start()
      initiator.sendPdu(new NopOut(), (pdu) => {
        pdu.opcode = opcode
        pdu.immediate = true
      })
      const { reason } = initiator.receiveOne(Reject)
      const { CommandNotSupported, ProtocolError } = RejectReason
      t.equal(reason, opcode === 0x03 ? ProtocolError : CommandNotSupported)
      initiator.command(inquiry)
      initiator.receiveOne(DataIn)
    }
  },
)
