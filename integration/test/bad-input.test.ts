/**
 * What a broken or hostile peer may send: the connection that brought it is answered or closed, and
 * that is all. Memory stays bounded and other sessions do not notice. What must not be written is in
 * bad-input-writes.test.ts.
 */
import t from 'tap'
import { AttackedTarget, initiatorName, noise } from '../lib/attacked-target.ts'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { loginRequest, type RawConnection } from '../lib/raw-connection.ts'
import { encodeKeys, encodePdu, synchronizeCacheCdb, transferCdb } from '../lib/raw-pdu.ts'

t.teardown(cleanUp)
sendsMalformedRequests('broken and hostile peers')
t.setTimeout(180_000)
const KiB = 1024
const MiB = 1024 * KiB
const noDigests = { header: false, data: false }
/** How long to wait for what should happen at once, before the test says that it did not. */
const patienceMs = 10_000
/**
 * The most that a connection may hold in the server by its bounds: read data that a disk delivered (32
 * MiB), output the network has not taken (4), write data copied aside (8), and some room.
 */
const connectionMiBMax = 48

const target = await AttackedTarget.start()
const { attackedLun, watchedLun } = target

t.test('random bytes instead of a login get the connection closed', async (t) => {
  for (let seed = 0; seed < 24; seed++) {
    const connection = await target.open()
    connection.send(noise(100 + seed, 16 * KiB))
    t.equal(await connection.isClosedWithin(patienceMs), true, `seed ${100 + seed}`)
  }
})

t.test('a login with any one header byte changed does no harm', async (t) => {
  const keys = { InitiatorName: initiatorName, TargetName: target.targetName }
  const valid = encodePdu(loginRequest(encodeKeys(keys), 3), noDigests)
  for (let index = 0; index < 48; index++) {
    const changed = Buffer.from(valid)
    changed[index] = noise(200, 48)[index] ?? 0
    const connection = await target.open()
    connection.send(changed)
    connection.socket.end()
    t.equal(await connection.isClosedWithin(patienceMs), true, `byte ${index}`)
  }
})

t.test('random bytes in the full feature phase do no harm', async (t) => {
  for (let seed = 0; seed < 24; seed++) {
    const connection = await target.logIn({}, 10)
    connection.send(noise(300 + seed, 64 * KiB))
    connection.socket.end()
    t.equal(await connection.isClosedWithin(patienceMs), true, `seed ${300 + seed}`)
  }
})

t.test('random headers in the full feature phase do no harm', async (t) => {
  for (let seed = 0; seed < 24; seed++) {
    const connection = await target.logIn({}, 10)
    for (let pdu = 0; pdu < 8; pdu++) {
      const bhs = noise(400 + seed * 8 + pdu, 48)
      bhs.writeUInt32BE(0, 4)
      connection.send(bhs)
    }
    connection.socket.end()
    t.equal(await connection.isClosedWithin(patienceMs), true, `seed ${400 + seed}`)
  }
})

t.test('a PDU that no target takes is rejected, and the session goes on', async (t) => {
  const connection = await target.settled({}, 10)
  connection.sendPdu({ opcode: 0x1c, immediate: true, flags: 0x80, initiatorTaskTag: 5 })
  const answer = await connection.receive()
  t.equal(answer?.opcode, 0x3f, 'a Reject')
  t.equal(answer?.bhs[2], 0x05, 'for the reason "command not supported"')
  t.equal((await connection.command(attackedLun, Buffer.alloc(16))).status, 0)
  connection.close()
})

t.test('PDUs that end in the middle get the connection closed', async (t) => {
  const keys = encodeKeys({ InitiatorName: initiatorName, TargetName: target.targetName })
  const login = encodePdu(loginRequest(keys), noDigests)
  for (const length of [1, 20, 47, 48, login.length - 5]) {
    const connection = await target.open()
    connection.send(login.subarray(0, length))
    connection.socket.end()
    t.equal(await connection.isClosedWithin(patienceMs), true, `${length} bytes of a login`)
  }
  const ping = encodePdu(
    { opcode: 0x00, flags: 0x80, initiatorTaskTag: 1, totalAhsLength: 2, data: noise(3, 500) },
    noDigests,
  )
  for (const length of [1, 47, 48, 52, 100, ping.length - 1]) {
    const connection = await target.logIn({}, 12)
    connection.send(ping.subarray(0, length))
    connection.socket.end()
    t.equal(await connection.isClosedWithin(patienceMs), true, `${length} bytes of a NOP-Out`)
  }
})

t.test('lengths beyond what was agreed get the connection closed at once', async (t) => {
  const unlimited = await target.open()
  unlimited.sendPdu({ ...loginRequest(Buffer.alloc(0)), dataSegmentLength: 0xffffff })
  t.equal(await unlimited.isClosedWithin(patienceMs), true, 'a login of 16 MiB')
  const opcodes = { 'NOP-Out': 0x00, 'SCSI Command': 0x01, 'Text Request': 0x04, 'Data-Out': 0x05 }
  for (const [name, opcode] of Object.entries(opcodes)) {
    const connection = await target.logIn({}, 12)
    connection.sendPdu({ opcode, flags: 0x80, initiatorTaskTag: 9, dataSegmentLength: 0xfffffc })
    t.equal(await connection.isClosedWithin(patienceMs), true, `a ${name} of 16 MiB`)
  }
})

t.test('a login that never ends is ended', async (t) => {
  const connection = await target.open()
  const continues = 0x40 | (1 << 2)
  for (let request = 0; request < 200 && !connection.isClosed; request++) {
    const text = Buffer.from(`X-org.platter.Long${request}=${'x'.repeat(7000)}`)
    connection.sendPdu({ ...loginRequest(text), flags: continues, words: [0, 1, request] })
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.equal(await connection.isClosedWithin(patienceMs), true)
})

t.test('a header that fails its digest ends the connection', async (t) => {
  const connection = await target.logIn({ HeaderDigest: 'CRC32C' }, 13)
  t.equal(connection.digests.header, true)
  const ping = encodePdu({ opcode: 0x00, flags: 0x80, initiatorTaskTag: 1 }, connection.digests)
  ping[50] = (ping[50] ?? 0) ^ 1
  connection.send(ping)
  t.equal(await connection.isClosedWithin(patienceMs), true)
})

/** Runs `attack` on a dozen connections whose peers never read, and looks at what they cost. */
async function costOfDeafPeers(attack: (connection: RawConnection) => void): Promise<number> {
  const connections: RawConnection[] = []
  for (let index = 0; index < 12; index++) {
    const connection = await target.settled({ MaxRecvDataSegmentLength: '262144' }, 20 + index)
    connection.socket.pause()
    attack(connection)
    connections.push(connection)
  }
  // Until it has stopped growing.
  let grown = -1
  for (let seen = target.grownMiB(); seen > grown; seen = target.grownMiB()) {
    grown = seen
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  for (const connection of connections) connection.close()
  t.comment(`the server has grown by ${grown} MiB`)
  return grown
}

const deafMiBMax = 12 * connectionMiBMax

t.test('peers that read no data cost a bounded amount of memory', async (t) => {
  const grown = await costOfDeafPeers((connection) => {
    for (let command = 0; command < 64; command++) {
      connection.startCommand(attackedLun, transferCdb('read', 0, 16384), 8 * MiB)
    }
  })
  t.ok(grown < deafMiBMax, `6 GiB are asked for, the server has grown by ${grown} MiB`)
})

t.test('peers that read no answers to pings cost a bounded amount of memory', async (t) => {
  const ping = { opcode: 0x00, immediate: true, flags: 0x80, data: noise(5, 8 * KiB) }
  const pings = Buffer.concat(
    Array.from({ length: 128 }, (_, tag) =>
      encodePdu({ ...ping, initiatorTaskTag: tag, words: [0xffffffff] }, noDigests),
    ),
  )
  const grown = await costOfDeafPeers((connection) => {
    for (let times = 0; times < 64; times++) connection.send(pings)
  })
  t.ok(grown < deafMiBMax, `768 MiB are sent, the server has grown by ${grown} MiB`)
})

t.test('peers that announce data and send none cost a bounded amount of memory', async (t) => {
  const verify = Buffer.alloc(16)
  verify[0] = 0x8f
  verify[1] = 0x02
  verify.writeUInt32BE(16384, 10)
  const grown = await costOfDeafPeers((connection) => {
    for (let command = 0; command < 64; command++) {
      const cdb = command % 2 === 0 ? transferCdb('write', 0, 16384) : verify
      connection.sendPdu({
        opcode: 0x01,
        flags: 0xa1,
        lun: attackedLun,
        initiatorTaskTag: 1000 + command,
        words: [8 * MiB, connection.cmdSN++, 0],
        cdb,
      })
    }
  })
  t.ok(grown < deafMiBMax, `6 GiB are announced, the server has grown by ${grown} MiB`)
})

t.test('half-open logins are closed in time, and keep nobody out meanwhile', async (t) => {
  const half: RawConnection[] = []
  for (let index = 0; index < 60; index++) {
    const connection = await target.open()
    if (index % 3 === 1) connection.send(Buffer.from([0x43]))
    if (index % 3 === 2) connection.sendPdu({ ...loginRequest(Buffer.from('Init')), flags: 0x44 })
    half.push(connection)
  }
  const wellBehaved = await target.logIn({}, 50)
  t.equal((await wellBehaved.command(watchedLun, synchronizeCacheCdb())).status !== null, true)
  wellBehaved.close()
  const grown = target.grownMiB()
  t.ok(grown < deafMiBMax, `the server has grown by ${grown} MiB`)
  const closed = await Promise.all(half.map((connection) => connection.isClosedWithin(60_000)))
  t.equal(closed.filter((it) => !it).length, 0, 'every one is closed')
})

t.test('afterwards all is as it was', async (t) => {
  const { reads, complaint } = await target.stopWatching()
  t.equal(complaint, null, `after ${reads} reads by another session`)
  t.ok(reads > 100, `${reads} reads by another session`)
  t.ok((await target.readLun(watchedLun)).equals(target.watchedContent), 'the watched LUN')
  t.ok((await target.readLun(attackedLun)).equals(target.attackedContent), 'the attacked LUN')
  t.equal(await target.process.stop(), 0)
  await target.process.serve()
  t.ok((await target.readLun(watchedLun)).equals(target.watchedContent), 'also after a restart')
})
