import { copyFile, rename, truncate, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { NewArray } from '../src/admin/target-facade.ts'
import { ChangeQueue } from '../src/change-queue.ts'
import { Inventory } from '../src/inventory.ts'
import { createLog } from '../src/log.ts'
import { StateStore } from '../src/state.ts'
import { DiskFile } from '../src/volume/disk-file.ts'
import type { Volume } from '../src/volume/volume.ts'
import { readAll, writeAll } from './volume/io.ts'

const MIB = 1024 * 1024

/** An inventory of disks d0, d1, … with an array of the first ones, and a partition of 1 MiB full of ones. */
async function withArray(t: Test, diskCount: number, level: NewArray['level'], memberCount = 2) {
  const directory = t.testdir()
  const disks = Array.from({ length: diskCount }, (_, i) => path.join(directory, `d${i}`))
  const logged: string[] = []
  const changes = new ChangeQueue()
  const volumes = new Map<string, Volume>()
  const inventory = new Inventory({
    state: await StateStore.open(directory, () => {}),
    server: {
      show: ({ name, volume }) => volumes.set(name, volume),
      grown: () => {},
      hide: async () => {},
      forget: () => {},
    },
    openDisk: (file) => DiskFile.open(file),
    log: createLog({
      level: 'info',
      json: false,
      write: (line) => logged.push(line.slice(25).trim()),
    }),
    onStep: () => {},
    inTurn: (change) => changes.run(change),
    diskWatchMs: 5,
  })
  await inventory.open()
  t.teardown(async () => {
    await changes.close()
    await inventory.close()
  })
  for (const disk of disks) await inventory.createDisk(disk, 8 * MIB)
  const members = disks.slice(0, memberCount)
  const array = { name: 'r', level, chunkSizeBytes: 64 * 1024, disks: members }
  await inventory.createArray(array)
  await inventory.createPartition({ array: 'r', name: 'p' }, MIB)
  const volume = volumes.get('p')!
  await writeAll(volume, 0, Buffer.alloc(MIB, 1))
  return { inventory, disks, volume, logged, array: () => inventory.listArrays()[0]! }
}

/** Waits until it is so: the test runner's limit ends what never is. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await delay(5)
}

/** Time for several looks at the disks. */
const looks = () => delay(100)

const ones = Buffer.alloc(MIB, 1)

t.test('a mirror loses a disk whose file is deleted, and a spare takes over', async (t) => {
  const { inventory, disks, volume, logged, array } = await withArray(t, 3, 'raid1')
  const [d0, d1, spare] = disks as [string, string, string]
  await inventory.setSpare(spare, true)
  await unlink(d1)
  await until(() => array().disks.includes(spare) && array().state === 'available')
  t.match(array(), { reason: null, disks: [d0, spare] })
  t.match(inventory.listDisks(), [
    { path: d0, state: 'member', array: 'r' },
    { path: d1, state: 'unavailable', array: 'r', reason: 'its file is gone' },
    { path: spare, state: 'member', array: 'r', spare: false },
  ])
  t.same(inventory.problems(), [`disk ${d1} is not available: its file is gone`])
  const about = logged.filter((line) => line.includes(d1))
  t.same(about, [
    `warn  disk ${d1} is not available: its file is gone`,
    `error member 1, ${d1}, was taken out: its file is gone array=r`,
  ])
  t.ok((await readAll(volume, 0, MIB)).equals(ones))

  await t.rejects(inventory.reAddDisk({ array: 'r', disk: d1 }), { code: 'unavailable' })
  await inventory.removeDisk(d1)
  t.same(inventory.problems(), [])
  t.match(await inventory.createDisk(d1, 8 * MIB), { state: 'free', reason: null })
  await inventory.failDisk({ array: 'r', disk: d0 })
  t.ok((await readAll(volume, 0, MIB)).equals(ones), 'the spare has everything')
})

t.test('raid0 goes on with a disk whose file is deleted, and says so once', async (t) => {
  const { inventory, disks, volume, logged, array } = await withArray(t, 2, 'raid0')
  const d1 = disks[1]!
  await unlink(d1)
  await until(() => inventory.problems().length > 0)
  await looks()
  const reason = 'its file is gone; array r goes on with it as long as it can'
  t.same(inventory.problems(), [`disk ${d1} is not available: ${reason}`])
  t.match(inventory.listDisks()[1], { state: 'unavailable', array: 'r', reason })
  t.match(array(), { state: 'available', disks })
  t.ok((await readAll(volume, 0, MIB)).equals(ones))
  await writeAll(volume, 0, Buffer.alloc(MIB, 2))
  const about = logged.filter((line) => line.includes(d1))
  t.match(about, [
    `warn  disk ${d1} is not available: its file is gone`,
    `warn  array r cannot do without ${d1}: its file is gone`,
  ])
  t.equal(about.length, 2)
})

t.test('a file that another has replaced, or that has shrunk, is gone too', async (t) => {
  const losses: [string, (file: string) => Promise<unknown>][] = [
    [
      'another file has its place',
      async (file) => {
        await copyFile(file, `${file}.copy`)
        await rename(`${file}.copy`, file)
      },
    ],
    ['its file has shrunk', (file) => truncate(file, 4 * MIB)],
    [
      'another file has its place',
      async (file) => {
        await unlink(file)
        await writeFile(file, '')
      },
    ],
  ]
  for (const [reason, lose] of losses) {
    const { inventory, disks, volume, array } = await withArray(t, 2, 'raid1')
    await lose(disks[0]!)
    await until(() => array().state === 'degraded')
    t.match(array().disks, [disks[1]])
    t.match(inventory.listDisks()[0], { state: 'unavailable', array: 'r', reason })
    t.ok((await readAll(volume, 0, MIB)).equals(ones))
  }
})

t.test('the last good disk is given up when there is another', async (t) => {
  const { inventory, disks, volume, array } = await withArray(t, 3, 'raid1')
  const [d0, d1, d2] = disks as [string, string, string]
  await inventory.failDisk({ array: 'r', disk: d0 })
  await unlink(d1)
  await until(() => inventory.problems().some((problem) => problem.includes(`${d1} is not`)))
  await looks()
  t.match(array(), { disks: [d1] })
  await inventory.replaceDisk({ array: 'r', disk: d2 })
  await until(() => !array().disks.includes(d1))
  t.match(array(), { disks: [d2], state: 'degraded' })
  t.ok((await readAll(volume, 0, MIB)).equals(ones))
})

t.test('a file that comes back can be taken back', async (t) => {
  const { inventory, disks, volume, logged, array } = await withArray(t, 2, 'raid1')
  const [, d1] = disks as [string, string]
  await rename(d1, `${d1}.away`)
  await until(() => array().state === 'degraded')
  await writeAll(volume, 0, Buffer.alloc(MIB, 2))
  await rename(`${d1}.away`, d1)
  await until(() => inventory.listDisks()[1]!.state === 'out')
  t.ok(logged.includes(`info  disk ${d1} is there again`))
  await inventory.reAddDisk({ array: 'r', disk: d1 })
  await until(() => array().state === 'available')
  await inventory.failDisk({ array: 'r', disk: disks[0]! })
  t.ok((await readAll(volume, 0, MIB)).equals(Buffer.alloc(MIB, 2)))
})

t.test('a free disk that is gone is used for nothing', async (t) => {
  const { inventory, disks, array } = await withArray(t, 4, 'raid1')
  const [d0, , d2, d3] = disks as [string, string, string, string]
  await inventory.setSpare(d2, true)
  await unlink(d2)
  await unlink(d3)
  await until(() => inventory.problems().length === 2)
  const refusal = { code: 'unavailable', message: /its file is gone/ }
  await t.rejects(inventory.createArray({ ...newArray, disks: [d3] }), refusal)
  await t.rejects(inventory.setSpare(d3, true), refusal)
  await inventory.failDisk({ array: 'r', disk: d0 })
  await looks()
  t.match(array(), { state: 'degraded', job: null })
  await t.rejects(inventory.replaceDisk({ array: 'r', disk: d3 }), refusal)
  t.match(inventory.listDisks()[2], { state: 'unavailable', array: null, spare: true })
})

const newArray = { name: 'n', level: 'raid0', chunkSizeBytes: 64 * 1024 } as const
