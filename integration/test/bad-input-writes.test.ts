/**
 * Writes that break the rules: no byte reaches the medium that a valid WRITE did not address, that
 * was not due, or that failed its digest. Each test has a region of the attacked LUN to itself.
 */
import t from 'tap'
import { AttackedTarget, lunBytes } from '../lib/attacked-target.ts'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp } from '../lib/cleanup.ts'
import type { Pdu, RawConnection } from '../lib/raw-connection.ts'
import { encodePdu, type PduFields, transferCdb } from '../lib/raw-pdu.ts'

t.teardown(cleanUp)
sendsMalformedRequests('data that break the rules')
t.setTimeout(120_000)
const KiB = 1024
const MiB = 1024 * KiB
const patienceMs = 10_000
const bothDigests = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' }
const solicitedOnly = { InitialR2T: 'Yes', ImmediateData: 'No' }
const unknownTag = 0x7fffffff
const noTag = 0xffffffff
const initiatorTaskTag = 77
const checkCondition = 2

const target = await AttackedTarget.start()
const { attackedLun } = target

/** A WRITE of `length` bytes at `offset`; `announced` is what the initiator says it will send. */
function writeCommand(
  connection: RawConnection,
  offset: number,
  length: number,
  data?: Buffer,
  announced = length,
): PduFields {
  return {
    opcode: 0x01,
    flags: 0xa1,
    lun: attackedLun,
    initiatorTaskTag,
    words: [announced, connection.cmdSN++, 0],
    cdb: transferCdb('write', offset / 512, length / 512),
    ...(data === undefined ? {} : { data }),
  }
}

interface Piece {
  readonly tag: number
  readonly dataSN: number
  readonly offset: number
  readonly data: Buffer
  readonly final: boolean
}

function dataOut({ tag, dataSN, offset, data, final }: Piece): PduFields {
  const words = [tag, 0, 0, 0, dataSN, offset]
  const flags = final ? 0x80 : 0
  return { opcode: 0x05, flags, lun: attackedLun, initiatorTaskTag, words, data }
}

/** Sends a WRITE of 64 KiB at `offset`, and answers with the tag of the R2T that comes for all of it. */
async function solicit(connection: RawConnection, offset: number): Promise<number> {
  connection.sendPdu(writeCommand(connection, offset, 64 * KiB))
  const r2t = await connection.receive()
  if (r2t?.opcode !== 0x31) throw new Error(`wanted an R2T, got ${r2t?.bhs.toString('hex')}`)
  return r2t.bhs.readUInt32BE(20)
}

function isReject(answer: Pdu | null, reason: number): boolean {
  return answer?.opcode === 0x3f && answer.bhs[2] === reason
}

async function isZero(offset: number, length: number): Promise<boolean> {
  const seen = await target.readLun(attackedLun)
  return seen.subarray(offset, offset + length).equals(Buffer.alloc(length))
}

t.test('a WRITE whose data are cut off changes at most the blocks it addressed', async (t) => {
  const connection = await target.settled()
  const at = 1 * MiB
  const data = Buffer.alloc(8 * KiB, 0xdd)
  const write = encodePdu(writeCommand(connection, at, 8 * KiB, data), connection.digests)
  connection.send(write.subarray(0, 48 + 5000))
  connection.socket.end()
  t.equal(await connection.isClosedWithin(patienceMs), true)
  const seen = await target.readLun(attackedLun)
  for (let block = at; block < at + 8 * KiB; block += 512) {
    const found = seen.subarray(block, block + 512)
    t.ok(found.every((byte) => byte === found[0]) && [0, 0xdd].includes(found[0] ?? 1), `${block}`)
  }
  t.ok(seen.subarray(at + 8 * KiB).equals(Buffer.alloc(lunBytes - at - 8 * KiB)), 'and no more')
})

t.test('immediate data that fail their digest are never written', async (t) => {
  const connection = await target.settled(bothDigests, 14)
  t.equal(connection.digests.data, true)
  const command = writeCommand(connection, 2 * MiB, 4 * KiB, Buffer.alloc(4 * KiB, 0xee))
  const write = encodePdu(command, connection.digests)
  write[write.length - 1] = (write[write.length - 1] ?? 0) ^ 1
  connection.send(write)
  t.ok(isReject(await connection.receive(), 0x02), 'a Reject for the digest')
  connection.close()
  t.ok(await isZero(2 * MiB, 4 * KiB))
})

t.test('Data-Out that fails its digest is never written', async (t) => {
  const connection = await target.settled({ ...bothDigests, ...solicitedOnly }, 14)
  const tag = await solicit(connection, 2 * MiB)
  const data = Buffer.alloc(32 * KiB, 0xee)
  const piece = { tag, dataSN: 0, offset: 0, data, final: false }
  const bytes = encodePdu(dataOut(piece), connection.digests)
  bytes[100] = (bytes[100] ?? 0) ^ 1
  connection.send(bytes)
  t.ok(isReject(await connection.receive(), 0x02), 'a Reject for the digest')
  connection.close()
  t.ok(await isZero(2 * MiB, 64 * KiB))
})

t.test('Data-Out that no R2T asked for is rejected, and writes nothing', async (t) => {
  const cases = {
    'an unknown target transfer tag': { tag: unknownTag, offset: 0, length: 4 * KiB },
    'no target transfer tag': { tag: noTag, offset: 0, length: 4 * KiB },
    'an offset that is not due': { tag: null, offset: 4 * KiB, length: 4 * KiB },
    'an offset beyond the command': { tag: null, offset: 1 * MiB, length: 4 * KiB },
    'more than was asked for': { tag: null, offset: 60 * KiB, length: 8 * KiB },
  }
  for (const [name, { tag, offset, length }] of Object.entries(cases)) {
    const connection = await target.settled(solicitedOnly, 15)
    const due = await solicit(connection, 3 * MiB)
    const data = Buffer.alloc(length, 0xcc)
    connection.sendPdu(dataOut({ tag: tag ?? due, dataSN: 0, offset, data, final: true }))
    t.ok(isReject(await connection.receive(), 0x04), `${name}: a Reject, "protocol error"`)
    t.equal(await connection.isClosedWithin(patienceMs), true, `${name}: the end`)
  }
  t.ok(await isZero(3 * MiB, 2 * MiB))
})

t.test('Data-Out for a task that is not there is dropped, and harms nobody', async (t) => {
  const connection = await target.settled({}, 15)
  const data = Buffer.alloc(4 * KiB, 0xcc)
  for (const tag of [unknownTag, noTag]) {
    connection.sendPdu(dataOut({ tag, dataSN: 0, offset: 0, data, final: true }))
  }
  t.equal((await connection.command(attackedLun, Buffer.alloc(16))).status, 0)
  connection.close()
})

t.test(
  'a gap in DataSN ends the command with CHECK CONDITION, and the session goes on',
  async (t) => {
    const sequences = { 'one twice': [0, 0], 'one missing': [0, 2], 'in reverse': [1, 0] }
    for (const [name, [first, second]] of Object.entries(sequences)) {
      const connection = await target.settled(solicitedOnly, 16)
      const tag = await solicit(connection, 5 * MiB)
      const half = { tag, data: Buffer.alloc(32 * KiB, 0xbb) }
      connection.sendPdu(dataOut({ ...half, dataSN: first ?? 0, offset: 0, final: false }))
      connection.sendPdu(dataOut({ ...half, dataSN: second ?? 0, offset: 32 * KiB, final: true }))
      const answer = await connection.receive()
      t.equal(answer?.opcode, 0x21, `${name}: a SCSI Response`)
      t.equal(answer?.bhs[3], checkCondition, `${name}: CHECK CONDITION`)
      const sense = [answer?.data[4], answer?.data[14], answer?.data[15]]
      t.strictSame(sense, [0x0b, 0x47, 0x05], `${name}: protocol service CRC error`)
      t.equal((await connection.command(attackedLun, Buffer.alloc(16))).status, 0, `${name}: alive`)
      connection.close()
    }
    t.ok(await isZero(5 * MiB + 32 * KiB, 32 * KiB), 'what came out of order is not written')
  },
)

t.test('a WRITE that is not wholly on the unit writes nothing', async (t) => {
  const connection = await target.settled({}, 17)
  const data = Buffer.alloc(4 * KiB, 0xaa)
  for (const lba of [lunBytes / 512 - 7, lunBytes / 512, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    connection.sendPdu({
      ...writeCommand(connection, 0, 4 * KiB, data),
      cdb: transferCdb('write', lba, 8),
    })
    const answer = await connection.receive()
    t.equal(answer?.bhs[3], checkCondition, `LBA ${lba}`)
    t.strictSame([answer?.data[4], answer?.data[14]], [0x05, 0x21], `LBA ${lba} out of range`)
  }
  connection.close()
  t.ok(await isZero(7 * MiB, 1 * MiB))
})

t.test('a WRITE is bounded both by its CDB and by what the initiator announced', async (t) => {
  const connection = await target.settled({}, 18)
  const at = 6 * MiB
  connection.sendPdu(writeCommand(connection, at, 4 * KiB, Buffer.alloc(16 * KiB, 0x11), 16 * KiB))
  t.equal((await connection.receive())?.bhs[3], 0, 'more announced than addressed')
  const next = at + 64 * KiB
  connection.sendPdu(writeCommand(connection, next, 16 * KiB, Buffer.alloc(4 * KiB, 0x22), 4 * KiB))
  t.equal((await connection.receive())?.bhs[3], 0, 'more addressed than announced')
  const last = writeCommand(connection, at + 128 * KiB, 4 * KiB, Buffer.alloc(16 * KiB, 0x33))
  connection.sendPdu(last)
  t.ok(isReject(await connection.receive(), 0x04), 'more sent than announced')
  t.equal(await connection.isClosedWithin(patienceMs), true)
  const wanted = Buffer.alloc(1 * MiB)
  wanted.fill(0x11, 0, 4 * KiB)
  wanted.fill(0x22, 64 * KiB, 68 * KiB)
  const seen = await target.readLun(attackedLun)
  t.ok(seen.subarray(at, at + 1 * MiB).equals(wanted))
})

t.test('afterwards the rest is as it was', async (t) => {
  const { reads, complaint } = await target.stopWatching()
  t.equal(complaint, null, `after ${reads} reads by another session`)
  t.ok((await target.readLun(target.watchedLun)).equals(target.watchedContent), 'the watched LUN')
  const seen = await target.readLun(attackedLun)
  const start = target.attackedContent.subarray(0, 1 * MiB)
  t.ok(seen.subarray(0, 1 * MiB).equals(start), 'the attacked LUN where nothing was addressed')
  t.equal(await target.process.stop(), 0)
})
