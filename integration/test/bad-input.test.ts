/**
 * What a broken or hostile peer may send: the connection that brought it is answered or closed, and
 * that is all. Memory stays bounded, other sessions do not notice, and no byte is written that a
 * valid WRITE did not ask for.
 */
import { createHash } from 'node:crypto'
import t from 'tap'
import { Bystander } from '../lib/bystander.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { residentBytes } from '../lib/memory.ts'
import { loginRequest, RawConnection } from '../lib/raw-connection.ts'
import { encodeKeys, encodePdu, synchronizeCacheCdb, transferCdb } from '../lib/raw-pdu.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(180_000)
const KiB = 1024
const MiB = 1024 * KiB
const lunBytes = 8 * MiB
const noDigests = { header: false, data: false }
const bothDigests = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' }
/** The most that a connection whose peer never reads may hold in the server, and some room. */
const connectionMiBMax = 24
const smallLimits = { MaxRecvDataSegmentLength: '65536' }

const target = await TargetProcess.start()
const watched = await target.createPartition({
  directory: temporaryDirectory(),
  disks: 2,
  diskSize: '32M',
  chunk: '64K',
  array: 'array',
  partition: 'watched',
  size: '8M',
})
const attacked = await target.command<{ lun: number }>(
  ...['partition', 'create', 'array/attacked', '--size', '8M'],
)
const targetName = await target.targetName()
const watchedLun = watched.lun ?? -1
const attackedLun = attacked.lun

const logIn = (keys: Record<string, string> = {}, isid = 1) =>
  RawConnection.logIn(target.port, { targetName, keys: { ...smallLimits, ...keys }, isid })

/** Bytes that look random and are the same in every run. */
function noise(seed: number, length: number): Buffer {
  const parts: Buffer[] = []
  for (let index = 0; index * 32 < length; index++) {
    parts.push(createHash('sha256').update(`${seed}.${index}`).digest())
  }
  return Buffer.concat(parts).subarray(0, length)
}

/** Writes 4 KiB at a time with immediate data, which every target takes by default. */
async function fill(lun: number, content: Buffer): Promise<void> {
  const connection = await logIn({}, 7)
  await connection.command(lun, Buffer.alloc(16))
  for (let offset = 0; offset < content.length; offset += 4 * KiB) {
    const data = content.subarray(offset, offset + 4 * KiB)
    const { status } = await connection.command(lun, transferCdb('write', offset / 512, 8), 0, data)
    if (status !== 0) throw new Error(`write at ${offset} got status ${status}`)
  }
  await connection.command(lun, synchronizeCacheCdb())
  connection.close()
}

async function readLun(lun: number): Promise<Buffer> {
  const connection = await logIn({}, 8)
  await connection.command(lun, Buffer.alloc(16))
  const parts: Buffer[] = []
  for (let offset = 0; offset < lunBytes; offset += 64 * KiB) {
    const cdb = transferCdb('read', offset / 512, 128)
    parts.push((await connection.command(lun, cdb, 64 * KiB)).data)
  }
  connection.close()
  return Buffer.concat(parts)
}

const watchedContent = noise(1, 1 * MiB)
const attackedContent = noise(2, 1 * MiB)
await fill(watchedLun, watchedContent)
await fill(attackedLun, attackedContent)
const bystanderConnection = await logIn({}, 99)
await bystanderConnection.command(watchedLun, Buffer.alloc(16))
const bystander = new Bystander(bystanderConnection, watchedLun, watchedContent)
bystander.start()
const residentBefore = residentBytes(target.pid)

t.test('random bytes instead of a login get the connection closed', async (t) => {
  for (let seed = 0; seed < 24; seed++) {
    const connection = await RawConnection.open(target.port)
    connection.send(noise(100 + seed, 16 * KiB))
    t.equal(await connection.isClosedWithin(5000), true, `seed ${100 + seed}`)
  }
})

t.test('a login with any one header byte changed does no harm', async (t) => {
  const keys = { InitiatorName: 'iqn.2026-11.org.platter:raw', TargetName: targetName }
  const valid = encodePdu(loginRequest(encodeKeys(keys), 3), noDigests)
  for (let index = 0; index < 48; index++) {
    const changed = Buffer.from(valid)
    changed[index] = noise(200, 48)[index] ?? 0
    const connection = await RawConnection.open(target.port)
    connection.send(changed)
    connection.socket.end()
    t.equal(await connection.isClosedWithin(5000), true, `byte ${index}`)
  }
})

t.test('random headers in the full feature phase do no harm', async (t) => {
  for (let seed = 0; seed < 24; seed++) {
    const connection = await logIn({}, 10)
    for (let pdu = 0; pdu < 8; pdu++) {
      const bhs = noise(300 + seed * 8 + pdu, 48)
      bhs.writeUInt32BE(0, 4)
      connection.send(bhs)
    }
    connection.socket.end()
    t.equal(await connection.isClosedWithin(5000), true, `seed ${300 + seed}`)
  }
})

t.test('PDUs that end in the middle get the connection closed', async (t) => {
  const keys = encodeKeys({ InitiatorName: 'iqn.2026-11.org.platter:raw', TargetName: targetName })
  const login = encodePdu(loginRequest(keys), noDigests)
  for (const length of [1, 20, 47, 48, login.length - 5]) {
    const connection = await RawConnection.open(target.port)
    connection.send(login.subarray(0, length))
    connection.socket.end()
    t.equal(await connection.isClosedWithin(2000), true, `${length} bytes of a login`)
  }
})

t.test('a WRITE whose data are cut off changes at most the blocks it addressed', async (t) => {
  const connection = await logIn({}, 11)
  const write = encodePdu(
    {
      opcode: 0x01,
      flags: 0xa1,
      lun: attackedLun,
      initiatorTaskTag: 5,
      words: [8 * KiB, 1, 0],
      cdb: transferCdb('write', (4 * MiB) / 512, 16),
      data: Buffer.alloc(8 * KiB, 0xdd),
    },
    noDigests,
  )
  connection.send(write.subarray(0, 48 + 5000))
  connection.socket.end()
  t.equal(await connection.isClosedWithin(2000), true)
})

t.test('lengths beyond what was agreed get the connection closed at once', async (t) => {
  const unlimited = await RawConnection.open(target.port)
  unlimited.sendPdu({ ...loginRequest(Buffer.alloc(0)), dataSegmentLength: 0xffffff })
  t.equal(await unlimited.isClosedWithin(2000), true, 'a login of 16 MiB')
  const opcodes = { 'NOP-Out': 0x00, 'SCSI Command': 0x01, 'Text Request': 0x04, 'Data-Out': 0x05 }
  for (const [name, opcode] of Object.entries(opcodes)) {
    const connection = await logIn({}, 12)
    connection.sendPdu({ opcode, flags: 0x80, initiatorTaskTag: 9, dataSegmentLength: 0xfffffc })
    t.equal(await connection.isClosedWithin(2000), true, `a ${name} of 16 MiB`)
  }
})

t.test('a login that never ends is ended', async (t) => {
  const connection = await RawConnection.open(target.port)
  const continues = 0x40 | (1 << 2)
  for (let request = 0; request < 200 && !connection.isClosed; request++) {
    const text = Buffer.from(`X-org.platter.Long${request}=${'x'.repeat(7000)}`)
    connection.sendPdu({ ...loginRequest(text), flags: continues, words: [0, 1, request] })
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.equal(await connection.isClosedWithin(5000), true)
})

t.test('a header that fails its digest ends the connection', async (t) => {
  const connection = await logIn(bothDigests, 13)
  t.equal(connection.digests.header, true)
  const ping = encodePdu({ opcode: 0x00, flags: 0x80, initiatorTaskTag: 1 }, connection.digests)
  ping[50] = (ping[50] ?? 0) ^ 1
  connection.send(ping)
  t.equal(await connection.isClosedWithin(2000), true)
})

t.test('data that fail their digest are never written', async (t) => {
  const connection = await logIn(bothDigests, 14)
  t.equal(connection.digests.data, true)
  const write = encodePdu(
    {
      opcode: 0x01,
      flags: 0xa1,
      lun: attackedLun,
      initiatorTaskTag: 1,
      words: [4 * KiB, connection.cmdSN, 0],
      cdb: transferCdb('write', 0, 8),
      data: Buffer.alloc(4 * KiB, 0xee),
    },
    connection.digests,
  )
  write[write.length - 1] = (write[write.length - 1] ?? 0) ^ 1
  connection.send(write)
  const answer = await connection.receive()
  const rejected = answer?.opcode === 0x3f && answer.bhs[2] === 0x02
  t.ok(answer === null || rejected || answer.bhs[3] === 2, 'a Reject, CHECK CONDITION or the end')
  connection.close()
})

t.test('Data-Out that no R2T asked for writes nothing', async (t) => {
  const cases = {
    'an unknown target transfer tag': { tag: 0x7fffffff, offset: 0, length: 4 * KiB },
    'an offset beyond the command': { tag: null, offset: 1 * MiB, length: 4 * KiB },
    'more than was asked for': { tag: null, offset: 60 * KiB, length: 8 * KiB },
  }
  for (const [name, { tag, offset, length }] of Object.entries(cases)) {
    const connection = await logIn({ InitialR2T: 'Yes', ImmediateData: 'No' }, 15)
    await connection.command(attackedLun, Buffer.alloc(16))
    const initiatorTaskTag = 77
    const fields = { lun: attackedLun, initiatorTaskTag }
    connection.sendPdu({
      ...fields,
      opcode: 0x01,
      flags: 0xa1,
      words: [64 * KiB, connection.cmdSN++, 0],
      cdb: transferCdb('write', (6 * MiB) / 512, 128),
    })
    const r2t = await connection.receive()
    t.equal(r2t?.opcode, 0x31, 'an R2T comes')
    connection.sendPdu({
      ...fields,
      opcode: 0x05,
      flags: 0x80,
      words: [tag ?? r2t?.bhs.readUInt32BE(20) ?? 0, 0, 0, 0, 0, offset],
      data: Buffer.alloc(length, 0xcc),
    })
    const answer = await connection.receive(2000)
    const refused = answer === null || answer.opcode === 0x3f || answer.bhs[3] === 2
    t.ok(refused, `${name}: a Reject, CHECK CONDITION or the end`)
    connection.close()
  }
})

t.test('peers that never read cost a bounded amount of memory', async (t) => {
  const connections: RawConnection[] = []
  for (let index = 0; index < 12; index++) {
    const connection = await logIn({ MaxRecvDataSegmentLength: '262144' }, 20 + index)
    connection.socket.pause()
    for (let command = 0; command < 64; command++) {
      connection.startCommand(attackedLun, transferCdb('read', 0, 2048), 1 * MiB)
    }
    connections.push(connection)
  }
  const grownMiB = () => Math.round((residentBytes(target.pid) - residentBefore) / MiB)
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const early = grownMiB()
  await new Promise((resolve) => setTimeout(resolve, 1500))
  const late = grownMiB()
  const most = connections.length * connectionMiBMax
  t.ok(late < most, `768 MiB are asked for, the server has grown by ${late} MiB of ${most}`)
  t.ok(late - early < 32, `no more than before: ${early} MiB after a second, ${late} MiB later`)
  for (const connection of connections) connection.close()
})

t.test('half-open logins are closed in time, and keep nobody out meanwhile', async (t) => {
  const half: RawConnection[] = []
  for (let index = 0; index < 100; index++) {
    const connection = await RawConnection.open(target.port)
    if (index % 3 === 1) connection.send(Buffer.from([0x43]))
    if (index % 3 === 2) connection.sendPdu({ ...loginRequest(Buffer.from('Init')), flags: 0x44 })
    half.push(connection)
  }
  const wellBehaved = await logIn({}, 50)
  t.equal((await wellBehaved.command(watchedLun, synchronizeCacheCdb())).status !== null, true)
  wellBehaved.close()
  const closed = await Promise.all(half.map((connection) => connection.isClosedWithin(25_000)))
  t.equal(closed.filter((it) => !it).length, 0, 'every one is closed')
})

t.test('afterwards all is as it was', async (t) => {
  await bystander.stop()
  t.equal(bystander.complaint, null, `after ${bystander.reads} reads by another session`)
  t.ok(bystander.reads > 100, `${bystander.reads} reads by another session`)
  t.ok(bystander.slowestMs < 2000, `the slowest took ${bystander.slowestMs.toFixed(0)} ms`)
  const rest = (content: Buffer) =>
    Buffer.concat([content, Buffer.alloc(lunBytes - content.length)])
  t.ok((await readLun(watchedLun)).equals(rest(watchedContent)), 'the watched LUN is unchanged')
  const seen = await readLun(attackedLun)
  // The blocks of the WRITE whose data were cut off: each may hold the old bytes or the new ones.
  for (let at = 4 * MiB; at < 4 * MiB + 8 * KiB; at += 512) {
    const block = seen.subarray(at, at + 512)
    t.ok(block.equals(Buffer.alloc(512)) || block.equals(Buffer.alloc(512, 0xdd)), `block at ${at}`)
  }
  seen.fill(0, 4 * MiB, 4 * MiB + 8 * KiB)
  // What an R2T had asked for before the transfer went wrong may have been written in part.
  for (let at = 6 * MiB; at < 6 * MiB + 64 * KiB; at += 512) {
    const block = seen.subarray(at, at + 512)
    t.ok(block.equals(Buffer.alloc(512)) || block.equals(Buffer.alloc(512, 0xcc)), `block at ${at}`)
  }
  seen.fill(0, 6 * MiB, 6 * MiB + 64 * KiB)
  t.ok(seen.equals(rest(attackedContent)), 'the attacked LUN is unchanged elsewhere')
  t.equal(await target.stop(), 0)
  await target.serve()
  t.ok((await readLun(watchedLun)).equals(rest(watchedContent)), 'also after a restart')
})
