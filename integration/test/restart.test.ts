/** A server killed at any moment comes up again with all it had promised. */
import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { askAdmin } from '../lib/admin-api.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { inquiryCdb, synchronizeCacheCdb, transferCdb, writeAtomicCdb } from '../lib/raw-pdu.ts'
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
    await writer.command(lun, Buffer.alloc(16))
    const killed = new Promise((resolve) =>
      setTimeout(resolve, 100 + random.next().value * 500),
    ).then(() => target.kill())
    while (!writer.isClosed) {
      const block = Math.floor(random.next().value * blocks)
      const cdb = transferCdb('write', block * (blockBytes / 512), blockBytes / 512)
      underway.set(block, ++serial)
      const { status } = await writer.command(lun, cdb, 0, content(serial))
      if (status === null) break
      if (status !== 0) refused++
      acknowledged[block] = serial
      underway.delete(block)
      if (serial % 64 === 0) await writer.command(lun, synchronizeCacheCdb())
    }
    await killed
    await target.serve()
    const reader = await RawConnection.logIn(target.port, { targetName })
    await reader.command(lun, Buffer.alloc(16))
    let wrong = 0
    for (let block = 0; block < blocks; block++) {
      const cdb = transferCdb('read', block * (blockBytes / 512), blockBytes / 512)
      const { data } = await reader.command(lun, cdb, blockBytes)
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

/** VPD pages 80h and 83h, as every host tells units apart by them. */
async function identity(target: TargetProcess, lun: number): Promise<string[]> {
  const host = await RawConnection.logIn(target.port, { targetName: await target.targetName() })
  const pages: string[] = []
  for (const page of [0x80, 0x83]) {
    const { status, data } = await host.command(lun, inquiryCdb(page), 255)
    if (status !== 0) throw new Error(`INQUIRY of page ${page.toString(16)}h got status ${status}`)
    pages.push(data.toString('hex'))
  }
  host.close()
  return pages
}

t.test('a partition is the same to its hosts after a restart and when it has grown', async (t) => {
  const target = await TargetProcess.start()
  const places = { directory: temporaryDirectory(), disks: 2, diskSize: '16M', chunk: '16K' }
  const names = { array: 'array', partition: 'partition', size: '4M' }
  const { lun } = await target.createPartition({ ...places, ...names })
  const other = await target.addPartition('array/other', '4M')
  const before = await identity(target, lun)
  t.not(before[0], (await identity(target, other.lun))[0], 'and another than its neighbour')
  await target.command('partition', 'grow', 'array/partition', '--size', '8M')
  t.strictSame(await identity(target, lun), before, 'grown')
  await target.kill()
  await target.serve()
  t.strictSame(await identity(target, lun), before, 'killed, and started again')
  t.equal(await target.stop(), 0)
  await target.serve()
  t.strictSame(await identity(target, lun), before, 'stopped, and started again')
  t.equal(await target.stop(), 0)
})

/** Whether the journal of an array whose first disk this is holds the beginning of a record (docs/volume-format.md). */
function holdsRecord(diskPath: string): boolean {
  const magic = Buffer.alloc(8)
  const file = openSync(diskPath, 'r')
  readSync(file, magic, 0, magic.length, 64 * 1024)
  closeSync(file)
  return magic.toString('latin1') === 'PLATTERJ'
}

t.test(
  'killed in the midst of atomic writes, it has each of them whole or not at all',
  async (t) => {
    const directory = temporaryDirectory()
    const target = await TargetProcess.start()
    const made = await target.createPartition({
      directory,
      disks: 3,
      diskSize: '8M',
      chunk: '16K',
      array: 'array',
      partition: 'partition',
      size: '8M',
    })
    const lun = made.lun
    const targetName = await target.targetName()
    // All of a write in one PDU, so that nothing but its way to the disks takes time.
    const keys = { MaxRecvDataSegmentLength: '262144', FirstBurstLength: '262144' }
    const rangeBytes = 256 * 1024
    const [ranges, rangeBlocks] = [8, rangeBytes / 512]
    const random = numbers(33)
    const content = (serial: number) =>
      Buffer.alloc(rangeBytes, serial === 0 ? 0 : `write ${serial};`)
    const acknowledged = new Array<number>(ranges).fill(0)
    let serial = 0
    let records = 0
    for (let round = 0; round < 4 || (records === 0 && round < 40); round++) {
      const writer = await RawConnection.logIn(target.port, { targetName, keys })
      await writer.command(lun, Buffer.alloc(16))
      const wait = 50 + random.next().value * 100
      const killed = new Promise((resolve) => setTimeout(resolve, wait)).then(() => target.kill())
      let range = 0
      while (!writer.isClosed) {
        range = serial++ % ranges
        const cdb = writeAtomicCdb(range * rangeBlocks, rangeBlocks)
        const { status } = await writer.command(lun, cdb, 0, content(serial))
        if (status === null) break
        t.equal(status, 0)
        acknowledged[range] = serial
      }
      await killed
      if (holdsRecord(join(directory, 'disk-0'))) records++
      await target.serve()
      const reader = await RawConnection.logIn(target.port, { targetName, keys })
      await reader.command(lun, Buffer.alloc(16))
      for (let each = 0; each < ranges; each++) {
        const cdb = transferCdb('read', each * rangeBlocks, rangeBlocks)
        const { data } = await reader.command(lun, cdb, rangeBytes)
        if (each === range && data.equals(content(serial))) acknowledged[each] = serial
        t.ok(data.equals(content(acknowledged[each] ?? 0)), `round ${round}, range ${each}`)
      }
      reader.close()
    }
    t.ok(records > 0, `${records} records were found, after ${serial} writes in all`)
    t.equal(await target.stop(), 0)
  },
)
