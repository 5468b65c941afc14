/** Which portals SendTargets tells of, on several addresses and in several networks. */
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { NetworkNamespace } from '../lib/network-namespace.ts'
import { freePort } from '../lib/port.ts'
import { type Pdu, RawConnection } from '../lib/raw-connection.ts'
import { encodeKeys } from '../lib/raw-pdu.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)

const final = 0x80
const continues = 0x40
const noTag = 0xffffffff

/** Text Requests until the answer to SendTargets is whole. */
async function sendTargets(connection: RawConnection, value: string): Promise<Pdu[]> {
  const answers: Pdu[] = []
  let data = encodeKeys({ SendTargets: value })
  let targetTransferTag = noTag
  for (;;) {
    const words = [targetTransferTag, connection.cmdSN]
    const initiatorTaskTag = 9
    const fields = { opcode: 0x04, immediate: true, flags: final, initiatorTaskTag, words, data }
    connection.sendPdu(fields)
    const answer = await connection.receive()
    if (answer?.opcode !== 0x24) throw new Error(`got ${answer?.opcode} for a Text Response`)
    answers.push(answer)
    if ((answer.flags & final) !== 0) return answers
    targetTransferTag = answer.bhs.readUInt32BE(20)
    data = Buffer.alloc(0)
  }
}

/** The TargetAddress values that a host gets that connects to `host`. */
async function addressesFor(port: number, host: string): Promise<string[]> {
  const connection = await RawConnection.open(port, host)
  await connection.sendLogin({})
  const answers = await sendTargets(connection, 'All')
  connection.close()
  return addressesIn(answers)
}

function addressesIn(answers: readonly Pdu[]): string[] {
  const text = Buffer.concat(answers.map(({ data }) => data)).toString('utf8')
  return text.split('\0').flatMap((pair) => pair.match(/^TargetAddress=(.*)$/)?.[1] ?? [])
}

t.test('a host is told of the portals on the network that it came by', async (t) => {
  const port = await freePort()
  const portals = [`127.0.0.2:${port}`, `[::1]:${port}`]
  const flags = portals.flatMap((portal) => ['--portal', portal])
  const target = await TargetProcess.start(temporaryDirectory(), flags)
  await target.admitEveryone()
  const all = [`127.0.0.2:${port},1`, `${target.portal},1`]
  t.same((await addressesFor(target.port, '127.0.0.1')).sort(), all.toSorted())
  t.equal((await addressesFor(port, '127.0.0.2'))[0], all[0], 'where it came to comes first')
  t.same(await addressesFor(port, '::1'), [`[::1]:${port},1`])
  t.equal(await target.stop(), 0)
})

t.test('a portal on all addresses is told as the one that the host came to', async (t) => {
  for (const [wildcard, hosts] of [
    ['0.0.0.0', ['127.0.0.1', '127.0.0.7']],
    ['[::]', ['127.0.0.7', '::1']],
  ] as const) {
    const port = await freePort()
    const flags = ['--portal', `${wildcard}:${port}`, '--allow-unauthenticated']
    const target = await TargetProcess.start(temporaryDirectory(), flags)
    await target.admitEveryone()
    for (const host of hosts) {
      const told = host.includes(':') ? `[${host}]` : host
      t.equal((await addressesFor(port, host))[0], `${told}:${port},1`, wildcard)
    }
    t.equal(await target.stop(), 0)
  }
})

t.test('a long answer goes page by page, as long as the host takes them', async (t) => {
  const port = await freePort()
  const portals = Array.from({ length: 40 }, (_, i) => `127.0.1.${i + 1}:${port}`)
  const flags = portals.flatMap((portal) => ['--portal', portal])
  const target = await TargetProcess.start(temporaryDirectory(), flags)
  await target.admitEveryone()
  const connection = await RawConnection.open(target.port)
  await connection.sendLogin({ keys: { MaxRecvDataSegmentLength: '512' } })
  const answers = await sendTargets(connection, 'All')
  t.ok(answers.length > 2)
  for (const [index, { flags, bhs, data }] of answers.entries()) {
    const last = index === answers.length - 1
    t.equal(flags, last ? final : continues, `page ${index}`)
    t.equal(bhs.readUInt32BE(20) === noTag, last, 'there is a tag to ask for the next page with')
    if (!last) t.equal(data.length, 512)
  }
  const told = addressesIn(answers)
  t.same(told.sort(), [target.portal, ...portals].map((portal) => `${portal},1`).sort())
  connection.close()
  t.equal(await target.stop(), 0)
})

t.test(
  'between networks nothing is told: a host of one does not hear of the other',
  requires('clients', 'networks', 'root'),
  async (t) => {
    const network = await NetworkNamespace.create()
    const prefixes = ['192.0.2.1/24', '198.51.100.1/24', '2001:db8::1/64']
    for (const prefix of prefixes) await network.addAddress('lo', prefix)
    const addresses = prefixes.map((prefix) => prefix.replace(/\/.*/, ''))
    const portals = ['192.0.2.1:3260', '198.51.100.1:3260', '[2001:db8::1]:3260']
    const others = portals.slice(1).flatMap((portal) => ['--portal', portal])
    const target = await TargetProcess.startIn(network, '192.0.2.1', others)
    await target.admitEveryone()
    for (const [index, portal] of portals.entries()) {
      const listed = await runOk(...network.inside('iscsi-ls', [`iscsi://${portal}`]))
      t.same(
        addresses.filter((address) => listed.includes(address)),
        [addresses[index]],
      )
    }
    t.equal(await target.stop(), 0)
  },
)
