import {
  NopOut,
  RESERVED_TAG,
  Reject,
  RejectReason,
  ScsiCommand,
  ScsiResponse,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

function start(keys: Record<string, string> = {}) {
  const { node, executor } = makeNode(new HeldVolume(64 * 1024))
  const initiator = new ScriptedInitiator(node)
  initiator.login({ keys })
  return { executor, initiator }
}

/** A TEST UNIT READY, or what `fill` makes of it, with these segments. */
function command(
  initiator: ScriptedInitiator,
  ahs: Buffer,
  fill: (pdu: ScsiCommand) => void = () => {},
  data?: Buffer,
  spoil?: (bytes: Buffer) => void,
): void {
  const set = (pdu: ScsiCommand) => {
    pdu.final = true
    pdu.cmdSN = initiator.cmdSN
    pdu.initiatorTaskTag = 7
    fill(pdu)
  }
  initiator.sendPdu(new ScsiCommand(), set, data, spoil, ahs)
}

/** AHSLength, AHSType, the reserved byte, and 16 bytes. */
const segment = (type: number) => Buffer.from([0, 17, type, 0, ...Buffer.alloc(16, 0xcd)])

t.test('the rest of a CDB may come in an additional header segment', async (t) => {
  const { initiator, executor } = start()
  command(initiator, segment(1))
  t.match(initiator.receiveOne(ScsiResponse), { initiatorTaskTag: 7, status: 2 })
  t.equal(executor.executed.length, 1)
})

t.test('a reserved AHSType is refused (RFC 7143 sections 7.7 and 11.2.2.1)', async (t) => {
  for (const type of [0, 3, 0x3f]) {
    const { initiator, executor } = start()
    command(initiator, segment(type))
    t.equal(initiator.receiveOne(Reject).reason, RejectReason.InvalidPduField)
    t.match(initiator.sink.closed, { detail: /AHSType \d+ is unknown/ })
    t.same(executor.executed, [])
  }
})

t.test(
  'only a SCSI Command has additional header segments (RFC 7143 section 11.2.1.5)',
  async (t) => {
    const { initiator } = start()
    const fill = (pdu: NopOut) => {
      pdu.immediate = true
      pdu.initiatorTaskTag = 9
      pdu.targetTransferTag = RESERVED_TAG
    }
    initiator.sendPdu(new NopOut(), fill, undefined, undefined, segment(1))
    t.equal(initiator.receiveOne(Reject).reason, RejectReason.InvalidPduField)
    t.match(initiator.sink.closed, { detail: /no SCSI Command/ })
  },
)

t.test('more than all segments that there are is not taken in', async (t) => {
  const { initiator } = start()
  command(initiator, Buffer.alloc(260))
  t.same(initiator.receive(), [])
  t.match(initiator.sink.closed, { detail: /TotalAHSLength of 260 bytes exceeds 256/ })
})

t.test('a Reject carries the complete header (RFC 7143 section 11.17.4)', async (t) => {
  const bidirectional = (pdu: ScsiCommand) => {
    pdu.read = true
    pdu.write = true
  }
  const length = Buffer.from([0, 5, 2, 0, 0, 0, 2, 0])
  const { initiator } = start()
  command(initiator, length, bidirectional)
  const refused = initiator.receiveOne(Reject)
  t.equal(refused.reason, RejectReason.CommandNotSupported)
  t.equal(refused.data.length, 56)
  t.same(refused.data.subarray(48), length)

  const digested = start({ DataDigest: 'CRC32C', HeaderDigest: 'CRC32C' })
  const write = (pdu: ScsiCommand) => {
    pdu.write = true
    pdu.expectedDataTransferLength = 4
  }
  const spoil = (bytes: Buffer) => bytes.writeUInt8((bytes.at(-5) as number) ^ 1, bytes.length - 5)
  command(digested.initiator, segment(1), write, Buffer.alloc(4), spoil)
  const failed = digested.initiator.receiveOne(Reject)
  t.equal(failed.reason, RejectReason.DataDigestError)
  t.equal(failed.data.length, 68)
  t.same(failed.data.subarray(48), segment(1))
  t.equal(digested.initiator.sink.closed, null)
})
