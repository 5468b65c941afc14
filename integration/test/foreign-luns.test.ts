/**
 * A host that is let in and tries to reach what only another has: by every way to write a LUN, every
 * operation code, reservations, third-party copies and task management. Nothing of the foreign
 * partitions may be told or changed.
 */
import { randomInt } from 'node:crypto'
import t, { type Test } from 'tap'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { ForeignFuzz } from '../lib/foreign-fuzz.ts'
import {
  type Answer,
  addressesOf,
  answersTo,
  copiesWith,
  copyTargetsAt,
  type ForeignRequest,
  flatLun,
  harmfulRequests,
  manage,
} from '../lib/foreign-requests.ts'
import { content, foreignLuns, secret } from '../lib/foreign-units.ts'
import { portOf } from '../lib/granted-hosts.ts'
import type { RawConnection } from '../lib/raw-connection.ts'
import { transferCdb } from '../lib/raw-pdu.ts'

t.teardown(cleanUp)
t.setTimeout(120_000)
sendsMalformedRequests('parameter lists and headers of noise')

const checkCondition = 2
const fuzz = await ForeignFuzz.start()
const { units } = fuzz
const { hosts, owner } = units
const addresses = foreignLuns.flatMap(addressesOf)

async function areRefused(
  t: Test,
  host: RawConnection,
  requests: readonly (readonly [Buffer | number, ForeignRequest])[],
): Promise<void> {
  const answers = await answersTo(host, requests)
  const reached = requests.filter((_, index) => {
    const { status, data } = answers[index] as Answer
    return status !== checkCondition || data.includes(secret)
  })
  t.same(
    reached.map(([lun, { name }]) => [name, lun]),
    [],
    `${requests.length} are refused`,
  )
}

t.test(
  'a host reads, writes and reserves no LUN but its own, however it is addressed',
  async (t) => {
    const a = await hosts.logIn('a')
    const harmful = harmfulRequests(portOf('a', 1), portOf('a', 2))
    const everywhere = addresses.flatMap((lun) => harmful.map((request) => [lun, request] as const))
    await areRefused(t, a, everywhere)
    t.strictSame(await units.complaints(), [])
    a.close()
    const b = await hosts.logIn('b', 2)
    const own = harmfulRequests(portOf('b', 2), portOf('b', 3))
    const answers = await answersTo(
      b,
      own.map((request) => [flatLun(1), request]),
    )
    t.same(
      answers.map(({ status }) => status),
      own.map(() => 0),
      'who has the LUN can do all of that',
    )
    b.close()
  },
)

t.test('EXTENDED COPY reaches no partition of another host', async (t) => {
  const a = await hosts.logIn('a')
  const [common] = await copyTargetsAt(a, 0)
  if (common === undefined) throw new Error('the partition of all has no name for a copy')
  const copies: ForeignRequest[] = []
  for (const lun of foreignLuns) {
    const foreign = await copyTargetsAt(owner, lun)
    t.ok(foreign.length > 1, `LUN ${lun} has ${foreign.length} names`)
    copies.push(...foreign.flatMap((target) => copiesWith(common, target)))
  }
  await areRefused(
    t,
    a,
    copies.map((request) => [0, request]),
  )
  const readCommon = () => a.command(0, transferCdb('read', 0, 8), content.length)
  t.notOk((await readCommon()).data.includes(secret))
  t.strictSame(await units.complaints(), [])
  const [copied] = await answersTo(owner, [[0, copies[0] as ForeignRequest]])
  t.equal(copied?.status, 0, 'who has both LUNs can copy')
  t.ok((await readCommon()).data.equals(content))
  a.close()
})

t.test('task management reaches no task of a LUN that is not its own', async (t) => {
  const held = await units.holdWrites()
  const a = await hosts.logIn('a')
  for (const { initiatorTaskTag: referencedTaskTag } of held) {
    const done: string[] = []
    for (const lun of addresses) {
      for (const fn of [1, 2, 3, 4, 5]) {
        const response = await manage(a, { fn, lun, referencedTaskTag })
        if (response === 0) done.push(`function ${fn} at ${lun.toString('hex')}`)
      }
    }
    t.strictSame(done, [])
  }
  // The resets of the target are for what the host sees of it; the second ends its sessions.
  for (const fn of [6, 7]) t.equal(await manage(a, { fn, lun: Buffer.alloc(8) }), 0)
  t.ok(await a.isClosedWithin(10_000))
  t.strictSame(await units.finishWrites(held), [], 'the commands of the other host go on')
  t.strictSame(await units.complaints(), [])
})

t.test('no sequence of PDUs reaches a LUN that is not its own', async (t) => {
  const fresh = randomInt(2 ** 31)
  t.comment(`fresh seed ${fresh}: npm run fuzz -- --host --seed ${fresh}`)
  for (const seed of [1, fresh]) {
    const { sequences, answers, rejects } = await fuzz.fuzz({ seed, goOn: (begun) => begun < 100 })
    t.equal(sequences, 100)
    t.ok(answers > 500, `seed ${seed}: ${answers} answers`)
    t.ok(rejects > 0, `and ${rejects} rejects`)
  }
  t.strictSame(fuzz.complaints(), [])
  t.equal(await hosts.target.stop(), 0)
})
