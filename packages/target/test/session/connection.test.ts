import { DataIn, NopIn, ReadyToTransfer } from '@platter/protocol/iscsi'
import fc from 'fast-check'
import t from 'tap'
import { HeldVolume } from '../support/held-volume.ts'
import { makeNode, ScriptedInitiator } from '../support/scripted-initiator.ts'

const limits = { loginTimeoutMs: 100, pingAfterMs: 1000, pingTimeoutMs: 500 }

function start() {
  const volume = new HeldVolume(64 * 1024)
  const { node, executor } = makeNode(volume, {}, limits)
  return { volume, node, executor, initiator: new ScriptedInitiator(node) }
}

const inquiry = { opcode: 0x12, blocks: 4, expected: 4, read: true } as const

t.test('who does not log in in time is sent away, whatever he sends', async (t) => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('430000', 'hex')]) {
    const { initiator } = start()
    initiator.send(bytes)
    initiator.connection.onTimer(100)
    t.equal(initiator.sink.closed, null)
    initiator.send(bytes)
    initiator.connection.onTimer(101)
    t.match(initiator.sink.closed, { reason: 'timeout' })
    t.equal(initiator.connection.state, 'FREE')
    initiator.connection.onTimer(5000)
    t.same(initiator.receive(), [])
  }
})

t.test('a silent connection is pinged, and ends when it does not answer', async (t) => {
  const { initiator, node } = start()
  initiator.login()
  const { connection, sink } = initiator
  connection.onTimer(1000)
  connection.onTimer(2000)
  t.same(initiator.receive(), [], 'heard of a second ago')
  connection.onTimer(2001)
  const ping = initiator.receiveOne(NopIn)
  t.match(ping, { initiatorTaskTag: 0xffffffff, final: undefined })
  t.not(ping.targetTransferTag, 0xffffffff)
  t.equal(ping.data.length, 0)
  connection.onTimer(2501)
  t.equal(sink.closed, null)
  connection.onTimer(2502)
  t.match(sink.closed, { reason: 'timeout' })
  t.equal([...node.sessions()].length, 0)
})

t.test('who answers is pinged again only after a new silence (UNH 15.2)', async (t) => {
  const { initiator } = start()
  initiator.login()
  const { connection } = initiator
  connection.onTimer(0)
  connection.onTimer(1001)
  const { targetTransferTag: ttt, statSN } = initiator.receiveOne(NopIn)
  initiator.ping(0xffffffff, { ttt: ttt ^ 0x10000 })
  connection.onTimer(1400)
  initiator.ping(0xffffffff, { ttt })
  connection.onTimer(1502)
  t.equal(initiator.sink.closed, null)
  initiator.command(inquiry)
  t.equal(initiator.receiveOne(DataIn).statSN, statSN, 'the ping used none up')
  connection.onTimer(1700)
  connection.onTimer(2700)
  t.same(initiator.receive(), [])
  connection.onTimer(2701)
  initiator.receiveOne(NopIn)
})

t.test('who never reads what he asked for is found out by his ping', async (t) => {
  const { initiator } = start()
  initiator.login()
  const { connection, sink } = initiator
  connection.onTimer(0)
  sink.backlogBytes = sink.backlogLimitBytes + 1
  for (let i = 0; i < 20; i++) initiator.command(inquiry)
  t.ok(connection.paused)
  const taken = 20 - initiator.untaken.length / 48
  t.equal(taken, 1, 'no more is taken in')
  connection.onTimer(1)
  connection.onTimer(1002)
  connection.onTimer(1503)
  t.match(sink.closed, { reason: 'timeout' })
})

t.test('nobody is blamed for silence while we do not listen for a slow disk', async (t) => {
  const volume = new HeldVolume(32 * 1024 * 1024)
  const { node } = makeNode(volume, {}, { ...limits, commandWindow: 256 })
  const initiator = new ScriptedInitiator(node)
  initiator.login()
  const { connection } = initiator
  connection.onTimer(0)
  connection.onTimer(1001)
  const { targetTransferTag: ttt } = initiator.receiveOne(NopIn)
  for (let i = 0; !connection.paused; i++) {
    initiator.command({ opcode: 0x2a, lba: 128 * i, blocks: 128, write: true }, Buffer.alloc(65536))
  }
  for (let nowMs = 1100; nowMs < 9000; nowMs += 100) connection.onTimer(nowMs)
  t.equal(initiator.sink.closed, null)
  t.same(initiator.receive(), [])
  volume.releaseAll()
  initiator.receive()
  initiator.ping(0xffffffff, { ttt })
  connection.onTimer(9100)
  connection.onTimer(9600)
  t.equal(initiator.sink.closed, null)
})

t.test('nothing acts on a connection that has ended', async (t) => {
  const { initiator, volume, executor } = start()
  initiator.login()
  initiator.command({ opcode: 0x28, blocks: 1, read: true })
  initiator.connection.end('shutdown', 'the server stops')
  initiator.connection.end('timeout', 'again')
  initiator.command(inquiry)
  initiator.connection.onDrain()
  initiator.connection.onTimer(1e6)
  initiator.connection.transportLost()
  volume.releaseAll()
  t.match(initiator.sink.closed, { reason: 'shutdown' })
  t.equal(executor.executed.length, 1)
  t.same(initiator.receive(), [])
})

t.test('what the connection throws of its own making is not swallowed', async (t) => {
  const { initiator, executor } = start()
  initiator.login()
  executor.execute = () => {
    throw new Error('a fault of ours')
  }
  t.throws(() => initiator.command(inquiry), /a fault of ours/)
})

/** Opcodes of an initiator, and some that are none, with fields that lead somewhere now and then. */
const anyHeader = fc
  .record({
    opcode: fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 0x10, 0x1c, 0x25, 0x3f),
    immediate: fc.boolean(),
    flags: fc.constantFrom(0x80, 0, 0xa0, 0xc0, 0xe0, 0x01, 0x85, 0xff),
    dataLength: fc.constantFrom(0, 0, 1, 4, 512, 1000),
    ahsWords: fc.constantFrom(0, 0, 0, 1, 2),
    tag: fc.constantFrom(1, 2, 3, 0xffffffff),
    word5: fc.constantFrom(0xffffffff, 0x10000, 512, 1024, 1, 0),
    cmdSN: fc.constantFrom(1, 2, 3, 4, 5, 0, 0xffffffff),
    scsiOpcode: fc.constantFrom(0x28, 0x12, 0x35, 0x55, 0xc7),
    lba: fc.constantFrom(0, 1, 127, 128, 0xffffffff),
    rest: fc.uint8Array({ minLength: 20, maxLength: 20 }),
  })
  .map((fields) => {
    const ahsBytes = 4 * fields.ahsWords
    const padded = (fields.dataLength + 3) & ~3
    const bytes = Buffer.alloc(48 + ahsBytes + padded, 0xe7)
    bytes.fill(0, 0, 48)
    bytes[0] = fields.opcode | (fields.immediate ? 0x40 : 0)
    bytes[1] = fields.flags
    bytes[4] = fields.ahsWords
    bytes.writeUIntBE(fields.dataLength, 5, 3)
    bytes.writeUInt32BE(fields.tag, 16)
    bytes.writeUInt32BE(fields.word5, 20)
    bytes.writeUInt32BE(fields.cmdSN, 24)
    bytes.set(fields.rest, 28)
    if (fields.opcode !== 1) return bytes
    // No command is a write to the medium.
    bytes[32] = fields.scsiOpcode
    bytes.writeUInt32BE(fields.lba, 34)
    return bytes
  })

t.test('whatever comes after login, nothing breaks, and no byte is written', async (t) => {
  const stream = fc.array(
    fc.oneof(
      { weight: 6, arbitrary: anyHeader },
      {
        weight: 1,
        arbitrary: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
      },
    ),
    { maxLength: 12 },
  )
  const property = fc.property(
    stream,
    fc.constantFrom(1, 13, 48, 1e6),
    fc.boolean(),
    (chunks, piece, digests) => {
      const { initiator, volume, executor, node } = start()
      const digest = digests ? 'CRC32C' : 'None'
      initiator.login({ keys: { InitialR2T: 'No', DataDigest: digest, MaxOutstandingR2T: '4' } })
      // A write is under way, which the bytes that follow may hit upon.
      initiator.command({ opcode: 0x2a, blocks: 4, write: true, cmdSN: 1, tag: 1 })
      initiator.receiveOne(ReadyToTransfer)
      const before = volume.bytes
      initiator.pieceBytes = piece
      for (const bytes of chunks) initiator.send(bytes)
      for (let i = 0; i < 50 && volume.release(); i++);
      initiator.connection.onTimer(0)
      initiator.connection.onDrain()
      initiator.connection.transportLost()
      volume.releaseAll()
      initiator.receive()
      const after = volume.bytes
      t.ok(after.subarray(2048).equals(before.subarray(2048)), 'where no write is under way')
      t.equal(initiator.sink.lent.size, 0)
      t.equal([...node.sessions()].length, 0)
      t.equal(executor.closedNexuses.length, 1)
    },
  )
  fc.assert(property, { numRuns: 500 })
})
