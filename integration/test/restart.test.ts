/** A server killed at any moment comes up again with all it had promised. */
import { join } from 'node:path'
import t from 'tap'
import { askAdmin } from '../lib/admin-api.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { synchronizeCacheCdb, transferCdb } from '../lib/raw-pdu.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(300_000)
const blockBytes = 4096

/** Numbers from 0 to 1 that are the same in every run. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state / 2 ** 32
  }
}

const listed = ['disks', 'arrays', 'partitions'] as const
type Inventory = Record<(typeof listed)[number], readonly { state?: string }[]>

async function inventory({ stateDirectory }: TargetProcess): Promise<Inventory> {
  const found: Record<string, unknown> = {}
  for (const kind of listed) {
    found[kind] = (await askAdmin(stateDirectory, 'GET', `/api/v1/${kind}`)).body
  }
  return found as Inventory
}

t.test('killed in the midst of any admin request, it has done all of it or nothing', async (t) => {
  const directory = temporaryDirectory()
  const target = await TargetProcess.start()
  const random = numbers(11)
  const post = (path: string, input: object) =>
    askAdmin(target.stateDirectory, 'POST', `/api/v1/${path}`, input)
  const outcomes = { acknowledged: 0, 'done, not acknowledged': 0, 'not done': 0 }
  for (let round = 0; round < 16; round++) {
    const disks = [0, 1].map((index) => join(directory, `disk-${round}-${index}`))
    const array = `array${round}`
    const MiB = 2 ** 20
    const steps: [string, object][] = [
      ...disks.map((path): [string, object] => ['disks/create', { path, sizeBytes: 8 * MiB }]),
      ['arrays', { name: array, level: 'raid0', chunkSizeBytes: 65536, disks }],
      ['partitions', { array, name: 'one', sizeBytes: 4 * MiB }],
      ['partitions', { array, name: 'two', sizeBytes: 4 * MiB }],
    ]
    const before = 1 + (round % (steps.length - 1))
    for (const [path, input] of steps.slice(0, before)) {
      t.equal((await post(path, input)).status, 200)
    }
    const [path, input] = steps[before] ?? ['', {}]
    const known = JSON.stringify(await inventory(target))
    const answer = post(path, input)
    await new Promise((resolve) => setTimeout(resolve, random.next().value * 12))
    await target.kill()
    const acknowledged = (await answer).status === 200
    await target.serve()
    const after = await inventory(target)
    const broken = [...after.disks, ...after.arrays].filter(({ state }) => state === 'unavailable')
    t.strictSame(broken, [], `round ${round}: all disks and arrays are there after POST ${path}`)
    const done = JSON.stringify(after) !== known
    if (acknowledged) t.equal(done, true, `round ${round}: what was acknowledged is there`)
    outcomes[acknowledged ? 'acknowledged' : done ? 'done, not acknowledged' : 'not done']++
  }
  t.comment(JSON.stringify(outcomes))
  t.equal(await target.stop(), 0)
})

t.test('killed in the midst of writes, it keeps every write that it acknowledged', async (t) => {
  const target = await TargetProcess.start()
  const { lun } = await target.createPartition({
    directory: temporaryDirectory(),
    disks: 3,
    diskSize: '16M',
    chunk: '16K',
    array: 'array',
    partition: 'partition',
    size: '16M',
  })
  const targetName = await target.targetName()
  const random = numbers(22)
  const blocks = 1024
  /** For each block, the last write acknowledged, and the one on its way. */
  const acknowledged = new Array<number>(blocks).fill(0)
  const underway = new Map<number, number>()
  let serial = 0
  let refused = 0
  const content = (value: number) =>
    Buffer.alloc(blockBytes, value === 0 ? '\0' : `write ${value};`)
  for (let round = 0; round < 6; round++) {
    const writer = await RawConnection.logIn(target.port, { targetName })
    await writer.command(lun ?? -1, Buffer.alloc(16))
    const killed = new Promise((resolve) =>
      setTimeout(resolve, 100 + random.next().value * 500),
    ).then(() => target.kill())
    while (!writer.isClosed) {
      const block = Math.floor(random.next().value * blocks)
      const cdb = transferCdb('write', block * (blockBytes / 512), blockBytes / 512)
      underway.set(block, ++serial)
      const { status } = await writer.command(lun ?? -1, cdb, 0, content(serial))
      if (status === null) break
      if (status !== 0) refused++
      acknowledged[block] = serial
      underway.delete(block)
      if (serial % 64 === 0) await writer.command(lun ?? -1, synchronizeCacheCdb())
    }
    await killed
    await target.serve()
    const reader = await RawConnection.logIn(target.port, { targetName })
    await reader.command(lun ?? -1, Buffer.alloc(16))
    let wrong = 0
    for (let block = 0; block < blocks; block++) {
      const cdb = transferCdb('read', block * (blockBytes / 512), blockBytes / 512)
      const { data } = await reader.command(lun ?? -1, cdb, blockBytes)
      const maybe = underway.get(block)
      if (maybe !== undefined && data.equals(content(maybe))) acknowledged[block] = maybe
      else if (!data.equals(content(acknowledged[block] ?? 0))) wrong++
    }
    underway.clear()
    reader.close()
    t.equal(wrong, 0, `round ${round}, after ${serial} writes in all`)
  }
  t.equal(refused, 0)
  t.ok(serial > 500, `${serial} writes`)
  t.equal(await target.stop(), 0)
})
