/** What hosts may take of a server: each bound has its answer, and one host cannot starve another. */
import type { Socket } from 'node:net'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { encodePdu, transferCdb } from '../lib/raw-pdu.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)

const host = (name: string) => `iqn.2024-01.org.example:${name}`
const outOfResources = 0x0302
const tooManyConnections = 0x0206
const flags = [
  ['--max-sessions', '4'],
  ['--max-sessions-per-host', '2'],
  ['--max-connections-per-host', '3'],
  ['--max-commands', '4'],
  ['--login-timeout', '2'],
].flat()
const target = await TargetProcess.start(temporaryDirectory(), flags)
const targetName = await target.targetName()
const directory = temporaryDirectory()
const { lun } = await target.createPartition({
  ...{ directory, disks: 1, diskSize: '64M', chunk: '64K' },
  ...{ array: 'r0', partition: 'data', size: '8M' },
})

type Login = Omit<Parameters<RawConnection['sendLogin']>[0], 'targetName'>

/** A connection on which a login was tried, and its status. */
async function logIn(options: Login) {
  const connection = await RawConnection.open(target.port)
  const response = await connection.sendLogin({ targetName, ...options })
  return { connection, status: response?.bhs.readUInt16BE(36), response }
}

/** Waits for the server to say so: its log comes another way than its answers. */
async function logged(wanted: RegExp): Promise<void> {
  while (!wanted.test(target.log)) await new Promise((resolve) => setTimeout(resolve, 20))
}

t.test('sessions and connections are bounded for each host and in all', async (t) => {
  const keys = { MaxConnections: '8' }
  const a1 = await logIn({ initiatorName: host('a'), isid: 1, keys })
  const a2 = await logIn({ initiatorName: host('a'), isid: 2, keys })
  t.same([a1.status, a2.status], [0, 0])
  t.equal((await logIn({ initiatorName: host('a'), isid: 3 })).status, outOfResources)
  await logged(/0x302: the host has 2 sessions, of at most 2/)

  const { tsih } = a1.connection
  const join = (cid: number) => logIn({ initiatorName: host('a'), isid: 1, tsih, cid })
  const joined = await join(1)
  t.equal(joined.status, 0)
  t.equal((await join(2)).status, tooManyConnections)
  await logged(/0x206: the host has 3 connections, of at most 3/)

  await target.command('host', 'create', host('b'), '--max-sessions', '1')
  const b1 = await logIn({ initiatorName: host('b'), isid: 1 })
  t.equal(b1.status, 0)
  t.equal((await logIn({ initiatorName: host('b'), isid: 2 })).status, outOfResources)
  const c1 = await logIn({ initiatorName: host('c'), isid: 1 })
  t.equal(c1.status, 0)
  t.equal((await logIn({ initiatorName: host('d'), isid: 1 })).status, outOfResources)
  await logged(/0x302: there are 4 sessions, of at most 4/)
  const again = await logIn({ initiatorName: host('c'), isid: 1 })
  t.equal(again.status, 0, 'a session that replaces its own is let in')
  for (const { connection } of [a2, joined, a1, b1, c1, again]) connection.close()
})

/** Logs in until the sessions of before are gone. */
async function eventually(options: Login) {
  for (;;) {
    const { connection, status, response } = await logIn(options)
    if (status === 0) return { connection, response }
    connection.close()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test('a session is told how many commands it may have in progress', async (t) => {
  const { connection, response } = await eventually({ initiatorName: host('a') })
  const [expCmdSN = 0, maxCmdSN = 0] = [28, 32].map((at) => response?.bhs.readUInt32BE(at))
  t.equal(maxCmdSN - expCmdSN + 1, 4)
  connection.close()
})

t.test('a login that is not done in time is ended', async (t) => {
  const connection = await RawConnection.open(target.port)
  await connection.closed
  t.ok(connection.isClosed)
  await logged(/no login within 2000 ms/)
})

t.test('a host that floods does not starve another', async (t) => {
  const flooding = [1, 2].map((isid) => eventually({ initiatorName: host('a'), isid }))
  const { connection } = await eventually({ initiatorName: host('b') })
  await connection.command(lun, Buffer.alloc(16))
  const flooders = (await Promise.all(flooding)).map((it) => it.connection)
  for (const flooder of flooders) await outrunCapture(flooder)
  const floods = flooders.map(({ socket }) => flood(socket))
  for (const { answered } of floods) await answered
  for (let reads = 0; reads < 50; reads++) {
    const { status } = await connection.command(lun, transferCdb('read', 8 * reads, 8), 4096)
    if (status !== 0) throw new Error(`read ${reads} got status ${status}`)
  }
  const answered = floods.map((it) => it.stop())
  t.pass('the other has done 50 reads meanwhile')
  t.ok(
    answered.every((bytes) => bytes > 0),
    `answered ${answered.join(' and ')} bytes of flood`,
  )
  connection.close()
  t.equal(await target.stop(), 0)
})

/** Of each connection the capture holds the first MiB, and a flood is too much for tshark. */
async function outrunCapture(connection: RawConnection): Promise<void> {
  await connection.command(lun, Buffer.alloc(16))
  for (let reads = 0; reads < 20; reads++) {
    await connection.command(lun, transferCdb('read', 0, 128), 65536)
  }
}

/** Sends pings that are to be answered as fast as the network takes them, until stopped. */
function flood(socket: Socket) {
  const fields = { opcode: 0x00, immediate: true, flags: 0x80, words: [0xffffffff, 1] }
  const pings = Buffer.concat(
    Array.from({ length: 1000 }, (_, tag) =>
      encodePdu({ ...fields, initiatorTaskTag: tag }, { header: false, data: false }),
    ),
  )
  let stopped = false
  let bytes = 0
  socket.removeAllListeners('data')
  const answered = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      resolve()
    })
  })
  const send = () => {
    while (!stopped && socket.write(pings));
  }
  socket.on('drain', send)
  send()
  return {
    answered,
    /** How much has been answered. */
    stop: () => {
      stopped = true
      socket.destroy()
      return bytes
    },
  }
}
