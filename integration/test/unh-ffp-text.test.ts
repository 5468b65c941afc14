/** Text negotiation and SendTargets in full feature phase: the UNH plan's group 17. */
import t, { type Test } from 'tap'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { ProbedTarget } from '../lib/probed-target.ts'
import { decodeKeys } from '../lib/raw-pdu.ts'
import { TargetOpcode, type TargetPdu } from '../lib/target-pdu.ts'
import { noTag, type WireInitiator } from '../lib/wire-initiator.ts'

t.teardown(cleanUp)
sendsMalformedRequests('text with both C and F bit')
t.setTimeout(60_000)
const target = await ProbedTarget.start()
const noKeys = Buffer.alloc(0)
const segmentsOf512 = { MaxRecvDataSegmentLength: '512' }

/** A Text Response to the request with this tag. */
function isAnswer(t: Test, pdu: TargetPdu, initiatorTaskTag: number, final: boolean): void {
  t.equal(pdu.opcode, TargetOpcode.TextResponse)
  t.equal(pdu.initiatorTaskTag, initiatorTaskTag)
  t.equal(pdu.final, final, 'F')
  if (final) t.equal(pdu.targetTransferTag, noTag, 'no tag to go on with')
  else t.not(pdu.targetTransferTag, noTag, 'a tag to go on with')
}

/** A Reject with the header of a Text Request that has this tag. */
function isReject(t: Test, pdu: TargetPdu, reason: number, initiatorTaskTag: number): void {
  t.equal(pdu.opcode, TargetOpcode.Reject)
  t.equal(pdu.response, reason)
  t.equal(pdu.data.readUInt8(0) & 0x3f, 0x04)
  t.equal(pdu.data.readUInt32BE(16), initiatorTaskTag)
}

/** The length of the Data-In PDUs that a READ of 2 KiB is answered with. */
async function segmentLengths(initiator: WireInitiator): Promise<number[]> {
  initiator.read(0, 2048)
  return (await initiator.receiveToStatus()).map(({ data }) => data.length)
}

/** Begins an exchange with these keys, without the F bit; the answer, which has none either. */
async function begin(t: Test, initiator: WireInitiator, keys: Record<string, string>) {
  const initiatorTaskTag = initiator.text(keys, { final: false })
  const answer = await initiator.receive()
  isAnswer(t, answer, initiatorTaskTag, false)
  return { initiatorTaskTag, answer, targetTransferTag: answer.targetTransferTag }
}

/** Ends the exchange that was begun. */
async function finish(
  t: Test,
  initiator: WireInitiator,
  exchange: { readonly initiatorTaskTag: number; readonly targetTransferTag: number },
): Promise<void> {
  initiator.text(noKeys, exchange)
  isAnswer(t, await initiator.receive(), exchange.initiatorTaskTag, true)
}

/** The keys that a whole request is answered with. */
async function ask(initiator: WireInitiator, keys: Record<string, string>) {
  initiator.text(keys)
  const { data, opcode } = await initiator.receive()
  t.equal(opcode, TargetOpcode.TextResponse)
  return decodeKeys(data)
}

t.test(
  'UNH FFP 17.1.1: SendTargets without the F bit is answered without it, with a tag to go on',
  async (t) => {
    const initiator = await target.discover(segmentsOf512)
    const exchange = await begin(t, initiator, { SendTargets: 'All' })
    t.ok(exchange.answer.data.length <= 512)
    t.equal(decodeKeys(exchange.answer.data).TargetName, target.targetName)
    await finish(t, initiator, exchange)
    initiator.close()
  },
)

t.test(
  'UNH FFP 17.1.2: MaxRecvDataSegmentLength declared in full feature phase holds from then on',
  async (t) => {
    const initiator = await target.logIn()
    t.strictSame(await segmentLengths(initiator), [2048], 'the default is 8192')
    const exchange = await begin(t, initiator, segmentsOf512)
    await finish(t, initiator, exchange)
    t.strictSame(await segmentLengths(initiator), [512, 512, 512, 512])
    initiator.close()
  },
)

t.test(
  'UNH FFP 17.2.1: a SendTargets exchange does not end before the initiator ends it',
  async (t) => {
    const initiator = await target.discover()
    await begin(t, initiator, { SendTargets: 'All' })
    initiator.close()
  },
)

t.test('UNH FFP 17.2.2: a negotiation does not end before the initiator ends it', async (t) => {
  const initiator = await target.logIn()
  await begin(t, initiator, segmentsOf512)
  t.strictSame(await segmentLengths(initiator), [2048], 'nor does what it declares hold before')
  initiator.close()
})

t.test('UNH FFP 17.3.1: SendTargets=All in a discovery session names the target', async (t) => {
  const initiator = await target.discover()
  const { TargetName, TargetAddress } = await ask(initiator, { SendTargets: 'All' })
  t.equal(TargetName, target.targetName)
  t.equal(TargetAddress?.split(',')[0], target.process.portal)
  initiator.close()
})

t.test(
  'UNH FFP 17.3.2: SendTargets without a name in a discovery session is refused',
  async (t) => {
    const initiator = await target.discover()
    t.strictSame(await ask(initiator, { SendTargets: '' }), { SendTargets: 'Reject' })
    initiator.close()
  },
)

t.test('UNH FFP 17.3.3: SendTargets=All in a normal session is refused', async (t) => {
  const initiator = await target.logIn()
  t.strictSame(await ask(initiator, { SendTargets: 'All' }), { SendTargets: 'Reject' })
  initiator.close()
})

t.test(
  'UNH FFP 17.3.4: SendTargets without a name in a normal session names its target',
  async (t) => {
    const initiator = await target.logIn()
    const { TargetName, TargetAddress } = await ask(initiator, { SendTargets: '' })
    t.equal(TargetName, target.targetName)
    t.equal(TargetAddress?.split(',')[0], target.process.portal)
    initiator.close()
  },
)

t.test(
  'UNH FFP 17.3.5: SendTargets with a name gives the addresses of that target only',
  async (t) => {
    const initiator = await target.discover()
    const named = await ask(initiator, { SendTargets: target.targetName })
    t.equal(named.TargetName, target.targetName)
    t.equal(named.TargetAddress?.split(',')[0], target.process.portal)
    t.strictSame(await ask(initiator, { SendTargets: 'iqn.2026-11.org.platter:nobody' }), {})
    initiator.close()
  },
)

t.test('UNH FFP 17.4.1: a discovery session negotiates nothing but SendTargets', async (t) => {
  const initiator = await target.discover({ MaxBurstLength: '1024', InitialR2T: 'No' })
  const { agreed } = initiator.connection
  t.strictSame([agreed.MaxBurstLength, agreed.InitialR2T], ['Irrelevant', 'Irrelevant'])
  const tag = initiator.text(segmentsOf512)
  isReject(t, await initiator.receive(), 0x04, tag)
  t.equal((await ask(initiator, { SendTargets: 'All' })).TargetName, target.targetName)
  initiator.close()
})

t.test(
  'UNH FFP 17.4.2: recovery of a connection is not supported, in a discovery session either',
  async (t) => {
    const initiator = await target.discover()
    await ask(initiator, { SendTargets: 'All' })
    const removeForRecovery = 2
    const tag = initiator.logOut(removeForRecovery)
    const reject = await initiator.receive()
    t.equal(reject.opcode, TargetOpcode.Reject)
    t.equal(reject.response, 0x04)
    t.equal(reject.data.readUInt32BE(16), tag)
    initiator.close()
  },
)

t.test('UNH FFP 17.5: a text request with another Initiator Task Tag is rejected', async (t) => {
  const initiator = await target.logIn()
  const { targetTransferTag } = await begin(t, initiator, segmentsOf512)
  const tag = initiator.text({ InitiatorAlias: 'somebody' }, { targetTransferTag })
  isReject(t, await initiator.receive(), 0x09, tag)
  t.equal((await initiator.alive()).status, 0)
  initiator.close()
})

t.test(
  'UNH FFP 17.6: a key declared twice in one exchange fails it, and a new one is free to declare it',
  async (t) => {
    const initiator = await target.logIn()
    const { initiatorTaskTag, targetTransferTag } = await begin(t, initiator, segmentsOf512)
    initiator.text(segmentsOf512, { initiatorTaskTag, targetTransferTag, final: false })
    isReject(t, await initiator.receive(), 0x04, initiatorTaskTag)
    await finish(t, initiator, await begin(t, initiator, segmentsOf512))
    t.strictSame(await segmentLengths(initiator), [512, 512, 512, 512])
    initiator.close()
  },
)

t.test(
  'UNH FFP 17.7.1: a new text request gives up the exchange before, and what it said',
  async (t) => {
    const initiator = await target.logIn()
    const first = await begin(t, initiator, { MaxRecvDataSegmentLength: '1024' })
    const { targetTransferTag } = first
    const wrong = initiator.text({ InitiatorAlias: 'somebody' }, { targetTransferTag })
    isReject(t, await initiator.receive(), 0x09, wrong)
    const { initiatorTaskTag } = first
    initiator.text(segmentsOf512, { initiatorTaskTag, final: false })
    const answer = await initiator.receive()
    isAnswer(t, answer, initiatorTaskTag, false)
    await finish(t, initiator, { ...first, targetTransferTag: answer.targetTransferTag })
    t.strictSame(await segmentLengths(initiator), [512, 512, 512, 512])
    initiator.close()
  },
)

t.test('UNH FFP 17.7.2: what an exchange said that is never finished does not hold', async (t) => {
  const initiator = await target.logIn({ MaxRecvDataSegmentLength: '1024' })
  await begin(t, initiator, segmentsOf512)
  t.strictSame(await segmentLengths(initiator), [1024, 1024])
  initiator.close()
})

t.test(
  'UNH FFP 17.7.3: a declaration out of range fails its exchange, and a valid one holds',
  async (t) => {
    const initiator = await target.logIn()
    const tag = initiator.text({ MaxRecvDataSegmentLength: '511' })
    isReject(t, await initiator.receive(), 0x04, tag)
    t.strictSame(await segmentLengths(initiator), [2048])
    t.strictSame(await ask(initiator, segmentsOf512), {})
    t.strictSame(await segmentLengths(initiator), [512, 512, 512, 512])
    initiator.close()
  },
)

/** Text of more than a segment of 512 bytes, whose last pair goes on. */
function longText(last: string): Buffer {
  const pairs = [`InitiatorAlias=${'a'.repeat(225)}`, `X-cbit.test.first=${'b'.repeat(232)}`, last]
  return Buffer.from(pairs.join('\0'))
}

t.test(
  'UNH FFP 17.8.1: text cut amid a key is put together, and an unknown key is not understood',
  async (t) => {
    const initiator = await target.logIn(segmentsOf512)
    const text = Buffer.concat([longText('X-cbit.test.second=half'), Buffer.from('way\0')])
    const initiatorTaskTag = initiator.text(text.subarray(0, 490), {
      continued: true,
      final: false,
    })
    const empty = await initiator.receive()
    isAnswer(t, empty, initiatorTaskTag, false)
    t.equal(empty.data.length, 0, 'no answer before the text is whole')
    const { targetTransferTag } = empty
    initiator.text(text.subarray(490), { initiatorTaskTag, targetTransferTag })
    const answer = await initiator.receive()
    isAnswer(t, answer, initiatorTaskTag, true)
    t.strictSame(decodeKeys(answer.data), {
      'X-cbit.test.first': 'NotUnderstood',
      'X-cbit.test.second': 'NotUnderstood',
    })
    initiator.close()
  },
)

t.test(
  'UNH FFP 17.8.2: a text request with C and F bit fails, and nothing of it holds',
  async (t) => {
    const initiator = await target.logIn({ MaxRecvDataSegmentLength: '1024' })
    t.strictSame(await segmentLengths(initiator), [1024, 1024])
    const tag = initiator.text(segmentsOf512, { continued: true })
    isReject(t, await initiator.receive(), 0x04, tag)
    t.strictSame(await segmentLengths(initiator), [1024, 1024])
    initiator.close()
  },
)

t.test('UNH FFP 17.8.3: a declaration cut in two holds', async (t) => {
  const initiator = await target.logIn({ MaxRecvDataSegmentLength: '1024' })
  t.strictSame(await segmentLengths(initiator), [1024, 1024])
  const text = longText('MaxRecvDataSegment')
  const initiatorTaskTag = initiator.text(text, { continued: true, final: false })
  const { targetTransferTag } = await initiator.receive()
  initiator.text(Buffer.from('Length=512\0'), { initiatorTaskTag, targetTransferTag })
  isAnswer(t, await initiator.receive(), initiatorTaskTag, true)
  t.strictSame(await segmentLengths(initiator), [512, 512, 512, 512])
  initiator.close()
})

t.test('afterwards platterd stops in good order', async (t) => {
  t.equal(await target.process.stop(), 0)
})
