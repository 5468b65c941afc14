import {
  DataIn,
  decodeText,
  Reject,
  RejectReason,
  type TextPair,
  TextResponse,
} from '@platter/protocol/iscsi'
import t from 'tap'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { makeNode, ScriptedInitiator, TARGET_NAME } from '../support/scripted-initiator.ts'

function start(wish: { discovery?: boolean; keys?: Record<string, string> } = {}) {
  const { node } = makeNode(new MemoryVolume('m', 65536))
  const initiator = new ScriptedInitiator(node)
  initiator.login(wish)
  return initiator
}

const record: TextPair[] = [
  ['TargetName', TARGET_NAME],
  ['TargetAddress', '192.0.2.1:3260,1'],
]

/** The answer to one request that is a whole exchange. */
function ask(initiator: ScriptedInitiator, pairs: readonly TextPair[]): TextPair[] {
  initiator.text({}, pairs)
  const answer = initiator.receiveOne(TextResponse)
  t.match(answer, { final: true, continued: false, targetTransferTag: 0xffffffff })
  return decodeText(answer.data)
}

t.test('SendTargets=All names the target in a discovery session only (UNH 17.3)', async (t) => {
  t.same(ask(start({ discovery: true }), [['SendTargets', 'All']]), record)
  t.same(ask(start(), [['SendTargets', 'All']]), [['SendTargets', 'Reject']])
})

t.test('every portal is told with the portal group tag, IPv6 in brackets', async (t) => {
  const { node } = makeNode(new MemoryVolume('m', 65536))
  const portals = [
    { host: '192.0.2.1', port: 3260 },
    { host: '2001:db8::1', port: 3261 },
  ]
  const initiator = new ScriptedInitiator(node, 0, portals)
  initiator.login({ discovery: true })
  t.same(ask(initiator, [['SendTargets', 'All']]), [
    ...record,
    ['TargetAddress', '[2001:db8::1]:3261,1'],
  ])
})

t.test('SendTargets with a name gives the addresses of that target, if it is here', async (t) => {
  for (const discovery of [true, false]) {
    t.same(ask(start({ discovery }), [['SendTargets', TARGET_NAME]]), record)
    t.same(ask(start({ discovery }), [['SendTargets', `${TARGET_NAME}2`]]), [])
  }
})

t.test('SendTargets without a value asks for the target of a normal session', async (t) => {
  t.same(ask(start(), [['SendTargets', '']]), record)
  t.same(ask(start({ discovery: true }), [['SendTargets', '']]), [['SendTargets', 'Reject']])
})

t.test('other keys are refused, or not understood', async (t) => {
  const answers = ask(start(), [
    ['InitiatorAlias', 'host'],
    ['MaxBurstLength', '512'],
    ['TargetName', TARGET_NAME],
    ['X#NodeArchitecture', 'Example/1'],
    ['X-org.example.Speed', 'high'],
  ])
  t.same(answers, [
    ['MaxBurstLength', 'Reject'],
    ['TargetName', 'Reject'],
    ['X#NodeArchitecture', 'Reject'],
    ['X-org.example.Speed', 'NotUnderstood'],
  ])
})

t.test('an exchange ends when both sides say so (UNH 17.1, 17.2)', async (t) => {
  const initiator = start({ discovery: true })
  initiator.text({ final: false }, [['SendTargets', 'All']])
  const first = initiator.receiveOne(TextResponse)
  t.match(first, { final: false, continued: false, initiatorTaskTag: 0x7e87 })
  t.not(first.targetTransferTag, 0xffffffff)
  t.same(decodeText(first.data), record)
  initiator.text({ ttt: first.targetTransferTag })
  const last = initiator.receiveOne(TextResponse)
  t.match(last, { final: true, targetTransferTag: 0xffffffff })
  t.equal(last.data.length, 0)
})

t.test('a long answer comes in segments that the initiator takes, and is fetched', async (t) => {
  const initiator = start({ keys: { MaxRecvDataSegmentLength: '512' } })
  const unknown = Array.from({ length: 60 }, (_, i): TextPair => [`X-org.example.key${i}`, 'x'])
  initiator.text({}, unknown)
  const pieces: Buffer[] = []
  let answer = initiator.receiveOne(TextResponse)
  while (answer.continued) {
    t.equal(answer.data.length, 512)
    t.equal(answer.final, false)
    pieces.push(answer.data)
    initiator.text({ ttt: answer.targetTransferTag })
    answer = initiator.receiveOne(TextResponse)
  }
  t.match(answer, { final: true, targetTransferTag: 0xffffffff })
  const text = decodeText(Buffer.concat([...pieces, answer.data]))
  t.same(
    text,
    unknown.map(([key]) => [key, 'NotUnderstood']),
  )
  t.ok(pieces.length > 2)
})

t.test('a request may be cut anywhere (UNH 17.8.1)', async (t) => {
  const initiator = start({ discovery: true })
  initiator.text({ final: false, continued: true }, Buffer.from('SendTarg'))
  const go = initiator.receiveOne(TextResponse)
  t.match(go, { final: false, continued: false })
  t.equal(go.data.length, 0)
  initiator.text({ ttt: go.targetTransferTag }, Buffer.from('ets=All\0'))
  t.same(decodeText(initiator.receiveOne(TextResponse).data), record)
})

t.test(
  'C with F, a wrong tag and a text that is none are rejected, and no more (UNH 17.5)',
  async (t) => {
    const initiator = start({ discovery: true })
    const rejected = (reason: number) => {
      t.equal(initiator.receiveOne(Reject).reason, reason)
      t.same(ask(initiator, [['SendTargets', 'All']]), record)
      t.equal(initiator.sink.closed, null)
    }
    initiator.text({ continued: true, final: true }, [['SendTargets', 'All']])
    rejected(RejectReason.ProtocolError)
    initiator.text({ ttt: 5 }, [['SendTargets', 'All']])
    rejected(RejectReason.InvalidPduField)
    initiator.text({ final: false }, [['SendTargets', 'All']])
    const { targetTransferTag: ttt } = initiator.receiveOne(TextResponse)
    initiator.text({ ttt, tag: 9 })
    rejected(RejectReason.InvalidPduField)
    for (const text of ['no pair', '=\0', `A=${'x'.repeat(300)}\0`]) {
      initiator.text({}, Buffer.from(text))
      rejected(RejectReason.ProtocolError)
    }
  },
)

t.test('no key comes twice in an exchange, in one request or in two', async (t) => {
  const initiator = start()
  for (const key of ['InitiatorAlias', 'X-org.example.Speed', 'MaxRecvDataSegmentLength']) {
    initiator.text({}, [
      [key, '512'],
      [key, '512'],
    ])
    t.equal(initiator.receiveOne(Reject).reason, RejectReason.ProtocolError, key)
    initiator.text({ final: false }, [[key, '512']])
    const { targetTransferTag: ttt } = initiator.receiveOne(TextResponse)
    initiator.text({ ttt }, [[key, '512']])
    t.equal(initiator.receiveOne(Reject).reason, RejectReason.ProtocolError, `${key}, later`)
    t.ok(ask(initiator, [[key, '512']]), 'but again in the next exchange')
  }
})

t.test('text is bounded, however many requests it comes in', async (t) => {
  const initiator = start({ discovery: true })
  let ttt = 0xffffffff
  for (let i = 0; i < 2; i++) {
    initiator.text({ final: false, continued: true, ttt }, Buffer.alloc(30_000, 'a'))
    ttt = initiator.receiveOne(TextResponse).targetTransferTag
  }
  initiator.text({ final: false, continued: true, ttt }, Buffer.alloc(30_000, 'a'))
  t.equal(initiator.receiveOne(Reject).reason, RejectReason.ProtocolError)
})

/** The longest data segment of a read of 8 KiB. */
function segmentBytes(initiator: ScriptedInitiator): number {
  initiator.command({ opcode: 0x28, blocks: 16, read: true })
  return Math.max(...initiator.receiveAll(DataIn).map(({ data }) => data.length))
}

t.test('MaxRecvDataSegmentLength may be declared anew (UNH 17.1.2, 17.6)', async (t) => {
  const initiator = start({ keys: { MaxRecvDataSegmentLength: '4096' } })
  initiator.text({ final: false }, [['MaxRecvDataSegmentLength', '512']])
  const { targetTransferTag: ttt, data } = initiator.receiveOne(TextResponse)
  t.equal(data.length, 0, 'a declaration is not answered')
  t.equal(segmentBytes(initiator), 4096, 'not before the exchange has ended')
  initiator.text({ ttt })
  initiator.receiveOne(TextResponse)
  t.equal(segmentBytes(initiator), 512)
  t.same(ask(initiator, [['MaxRecvDataSegmentLength', '8192']]), [])
  t.equal(segmentBytes(initiator), 8192)
})

t.test('an exchange that fails or is given up changes nothing (UNH 17.7, 17.8.2)', async (t) => {
  const initiator = start({ keys: { MaxRecvDataSegmentLength: '1024' } })
  for (const value of ['511', '16777216', 'long']) {
    initiator.text({}, [['MaxRecvDataSegmentLength', value]])
    t.equal(initiator.receiveOne(Reject).reason, RejectReason.ProtocolError)
  }
  initiator.text({ continued: true }, [['MaxRecvDataSegmentLength', '512']])
  initiator.receiveOne(Reject)
  initiator.text({ final: false }, [['MaxRecvDataSegmentLength', '512']])
  const { targetTransferTag: ttt } = initiator.receiveOne(TextResponse)
  initiator.text({ ttt }, [['MaxRecvDataSegmentLength', '512']])
  t.equal(initiator.receiveOne(Reject).reason, RejectReason.ProtocolError, 'twice in an exchange')
  initiator.text({ final: false }, [['MaxRecvDataSegmentLength', '512']])
  initiator.receiveOne(TextResponse)
  t.same(ask(initiator, []), [], 'a new exchange gives up the one before')
  t.equal(segmentBytes(initiator), 1024)
})
