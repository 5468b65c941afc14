/**
 * What is agreed on in a login: groups 9, 10 and 12 to 20 of the UNH plan, asked of the target as
 * unh-login.test.ts does.
 */
import t from 'tap'
import { cleanUp } from '../lib/cleanup.ts'
import { initiatorName, LoginWire, type Pairs, toFullFeature } from '../lib/login-wire.ts'
import { ProbedTarget } from '../lib/probed-target.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(120_000)
const target = await TargetProcess.start()
await target.admitEveryone()
const names: Pairs = [
  ['InitiatorName', initiatorName],
  ['TargetName', await target.targetName()],
]

/** The keys that the target answers with, in a login that succeeds. */
async function answersTo(...offers: Pairs): Promise<Record<string, string>> {
  const login = await LoginWire.open(target.port)
  const { status, transit, keys } = await login.ask(toFullFeature, [...names, ...offers])
  login.close()
  if (status !== 0 || !transit) throw new Error(`login status ${status.toString(16)}`)
  return keys
}

/** What each of these values of one key is answered with. */
async function answersOf(key: string, values: readonly string[]): Promise<string[]> {
  const answers: string[] = []
  for (const value of values) answers.push((await answersTo([key, value]))[key] ?? 'no answer')
  return answers
}

t.test('UNH login 9.1: the target has digests, and asks for none of its own accord', async (t) => {
  const keys = await answersTo()
  t.strictSame([keys.HeaderDigest, keys.DataDigest], [undefined, undefined])
})

t.test('UNH login 9.2: what digests are offered, the target answers from', async (t) => {
  const values = ['None', 'None,CRC32C', 'CRC32C,None', 'CRC32C', 'CRC64']
  const wanted = ['None', 'None', 'CRC32C', 'CRC32C', 'Reject']
  t.strictSame(await answersOf('HeaderDigest', values), wanted)
  t.strictSame(await answersOf('DataDigest', values), wanted)
})

t.test(
  'UNH login 9.3: with CRC32C agreed, the full feature phase is digested both ways',
  async (t) => {
    const probed = await ProbedTarget.start()
    const initiator = await probed.logIn({ HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' })
    t.strictSame(initiator.connection.digests, { header: true, data: true })
    initiator.read(0, 4096)
    const pdus = await initiator.receiveToStatus()
    const data = Buffer.concat(pdus.map(({ data }) => data))
    t.ok(data.equals(probed.content.subarray(0, 4096)))
    initiator.close()
  },
)

t.test('UNH login 10.1: MaxConnections is at most what was offered', async (t) => {
  t.equal((await answersTo(['MaxConnections', '1'])).MaxConnections, '1')
  const { MaxConnections } = await answersTo(['MaxConnections', '65535'])
  t.ok(Number(MaxConnections) >= 1 && Number(MaxConnections) <= 65535, `${MaxConnections}`)
  t.strictSame(await answersOf('MaxConnections', ['0', '65536', 'x']), [
    'Reject',
    'Reject',
    'Reject',
  ])
})

t.test('UNH login 12.1: markers, which are no more, are refused', async (t) => {
  const keys = await answersTo(
    ['IFMarker', 'Yes'],
    ['OFMarker', 'Yes'],
    ['IFMarkInt', '2048~8192'],
    ['OFMarkInt', '2048'],
  )
  const { IFMarker, OFMarker, IFMarkInt, OFMarkInt } = keys
  t.strictSame([IFMarker, OFMarker, IFMarkInt, OFMarkInt], ['No', 'No', 'Reject', 'Reject'])
})

t.test('UNH login 13.1: a boolean is settled by its function', async (t) => {
  t.strictSame(await answersOf('ImmediateData', ['Yes', 'No']), ['Yes', 'No'])
  t.strictSame(await answersOf('InitialR2T', ['Yes', 'No']), ['Yes', 'No'])
})

t.test('UNH login 13.2: booleans that the target does not need are as it can', async (t) => {
  for (const key of ['DataPDUInOrder', 'DataSequenceInOrder']) {
    t.strictSame(await answersOf(key, ['Yes', 'No']), ['Yes', 'Yes'], key)
  }
})

t.test('UNH login 13.3: a boolean of another spelling is answered Reject', async (t) => {
  const values = ['yes', 'NO', 'True', '1', '']
  for (const key of ['InitialR2T', 'ImmediateData', 'DataPDUInOrder']) {
    t.strictSame(new Set(await answersOf(key, values)), new Set(['Reject']), key)
  }
})

t.test('UNH login 14.1: MaxRecvDataSegmentLength is declared each way, and held to', async (t) => {
  const keys = await answersTo(['MaxRecvDataSegmentLength', '512'])
  const own = Number(keys.MaxRecvDataSegmentLength)
  t.ok(own > 512 && own < 2 ** 24, 'the target says its own, and does not answer')
  const probed = await ProbedTarget.start()
  const initiator = await probed.logIn({ MaxRecvDataSegmentLength: '512' })
  initiator.read(0, 4096)
  for (const { data } of await initiator.receiveToStatus()) t.ok(data.length <= 512)
  initiator.close()
  for (const value of ['511', '16777216', 'x']) {
    await t.rejects(answersTo(['MaxRecvDataSegmentLength', value]), /status 200/, value)
  }
})

t.test('UNH login 15.1: MaxBurstLength is the lower of both', async (t) => {
  const values = ['512', '65536', '0x4000', '511', '16777216']
  const wanted = ['512', '65536', '16384', 'Reject', 'Reject']
  t.strictSame(await answersOf('MaxBurstLength', values), wanted)
})

t.test('UNH login 16.1: a FirstBurstLength below MaxBurstLength is taken as it is', async (t) => {
  const keys = await answersTo(['MaxBurstLength', '65536'], ['FirstBurstLength', '8192'])
  t.strictSame([keys.MaxBurstLength, keys.FirstBurstLength], ['65536', '8192'])
})

t.test(
  'UNH login 16.2: a FirstBurstLength above MaxBurstLength is answered with less',
  async (t) => {
    const keys = await answersTo(['FirstBurstLength', '65536'], ['MaxBurstLength', '8192'])
    t.strictSame([keys.MaxBurstLength, keys.FirstBurstLength], ['8192', '8192'])
  },
)

t.test(
  'UNH login 16.3: what the target itself says of FirstBurstLength is not above either',
  async (t) => {
    const { FirstBurstLength = '0' } = await answersTo(['MaxBurstLength', '4096'])
    t.ok(Number(FirstBurstLength) <= 4096, FirstBurstLength)
  },
)

t.test('UNH login 17.1: DefaultTime2Retain is the lower of both', async (t) => {
  const answers = await answersOf('DefaultTime2Retain', ['0', '1', '3601'])
  t.strictSame(answers, ['0', '1', 'Reject'])
  const [most] = await answersOf('DefaultTime2Retain', ['3600'])
  t.ok(Number(most) < 3600, `${most}`)
})

t.test('UNH login 18.1: DefaultTime2Wait is the greater of both', async (t) => {
  const answers = await answersOf('DefaultTime2Wait', ['3600', '100', '3601'])
  t.strictSame(answers, ['3600', '100', 'Reject'])
  const [least] = await answersOf('DefaultTime2Wait', ['0'])
  t.ok(Number(least) > 0, `${least}`)
})

t.test('UNH login 19.1: MaxOutstandingR2T is the lower of both', async (t) => {
  t.strictSame(await answersOf('MaxOutstandingR2T', ['1', '0', '65536']), ['1', 'Reject', 'Reject'])
  const [most] = await answersOf('MaxOutstandingR2T', ['65535'])
  t.ok(Number(most) >= 1 && Number(most) < 65535, `${most}`)
})

t.test('RFC 7143 13.23: ResponseFence is held, and FastAbort is not', async (t) => {
  const offers = ['RFC3720,ResponseFence', 'FastAbort,ResponseFence,RFC3720', 'FastAbort']
  const answers = ['RFC3720', 'ResponseFence', 'Reject']
  t.strictSame(await answersOf('TaskReporting', offers), answers)
})

t.test('UNH login 20.1: ErrorRecoveryLevel is 0, which is what the target has', async (t) => {
  t.strictSame(await answersOf('ErrorRecoveryLevel', ['0', '1', '2', '3']), [
    '0',
    '0',
    '0',
    'Reject',
  ])
})
