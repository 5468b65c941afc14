import { mkdir, rename, truncate, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { TargetError } from '../src/admin/target-facade.ts'
import type { OnStep } from '../src/durable-file.ts'
import { Grants } from '../src/grants.ts'
import { Hosts } from '../src/hosts.ts'
import { Inventory } from '../src/inventory.ts'
import { silentLog } from '../src/log.ts'
import type { PartitionServer, ServedPartition } from '../src/partition-server.ts'
import { StateStore } from '../src/state.ts'
import { DiskFile } from '../src/volume/disk-file.ts'
import { FaultVolume } from '../src/volume/fault-volume.ts'

const MiB = 1024 * 1024

/** What is served, by partition id. */
class Shown implements PartitionServer {
  readonly units = new Map<string, ServedPartition>()
  readonly grownNames: string[] = []
  show(partition: ServedPartition): void {
    if (this.units.has(partition.id)) throw new Error(`${partition.name} is shown already`)
    this.units.set(partition.id, partition)
  }
  grown(id: string): void {
    this.grownNames.push(this.units.get(id)?.name ?? id)
  }
  async hide(id: string): Promise<void> {
    this.units.delete(id)
  }
  readonly forgotten: string[] = []
  forget(id: string): void {
    this.forgotten.push(id)
  }
  names(): string[] {
    return [...this.units.values()].map(({ name }) => name)
  }
}

interface Opened {
  readonly inventory: Inventory
  readonly shown: Shown
  readonly faults: Map<string, FaultVolume>
  readonly state: StateStore
  readonly grants: Grants
}

async function open(t: Test, directory: string, onStep: OnStep = () => {}): Promise<Opened> {
  const shown = new Shown()
  const faults = new Map<string, FaultVolume>()
  const state = await StateStore.open(directory, onStep)
  const openDisk = async (file: string) => {
    const disk = new FaultVolume(await DiskFile.open(file))
    faults.set(file, disk)
    return disk
  }
  const inventory = new Inventory({ state, server: shown, openDisk, log: silentLog, onStep })
  await inventory.open()
  t.teardown(() => inventory.close())
  const hosts = new Hosts(state, { maxConnections: 1, maxSessions: 4, dataPorts: 'fixed' })
  const grants = new Grants({ state, inventory, hosts, changed: async () => {} })
  return { inventory, shown, faults, state, grants }
}

const disksOf = (directory: string) => ['d0', 'd1', 'd2'].map((name) => path.join(directory, name))

/** A directory with three disks; `withArray` makes r0 of the first two, with a partition `old` for all hosts. */
async function prepare(t: Test, withArray: boolean): Promise<string> {
  const directory = t.testdir()
  const { inventory, grants } = await open(t, directory)
  const disks = disksOf(directory)
  for (const disk of disks) await inventory.createDisk(disk, 8 * MiB)
  if (withArray) {
    await inventory.createArray(r0(directory))
    await inventory.createPartition({ array: 'r0', name: 'old' }, MiB)
    await grants.create({ array: 'r0', partition: 'old', host: '*' })
  }
  await inventory.close()
  return directory
}

const r0 = (directory: string) => ({
  name: 'r0',
  level: 'raid0' as const,
  chunkSizeBytes: 64 * 1024,
  disks: disksOf(directory).slice(0, 2),
})

const refused = (code: string, message: RegExp) => ({ name: 'TargetError', code, message })

t.test('disks, arrays, partitions and grants are the same after a restart', async (t) => {
  const directory = await prepare(t, true)
  const first = await open(t, directory)
  await first.inventory.createPartition({ array: 'r0', name: 'b' }, 2 * MiB)
  await first.inventory.createPartition({ array: 'r0', name: 'c' }, MiB)
  await first.inventory.deletePartition({ array: 'r0', name: 'b' })
  await first.grants.create({ array: 'r0', partition: 'c', host: '*', access: 'read-only' })
  const before = [first.inventory.listArrays(), first.inventory.listPartitions()]
  t.same(first.shown.names(), ['old', 'c'])
  await first.inventory.close()

  const second = await open(t, directory)
  t.same([second.inventory.listArrays(), second.inventory.listPartitions()], before)
  t.same(second.shown.names(), ['old', 'c'])
  t.match(second.grants.list(), [
    { partition: 'old', lun: 0, access: 'read-write' },
    { partition: 'c', lun: 1, access: 'read-only' },
  ])
  const { id } = await second.inventory.createPartition({ array: 'r0', name: 'd' }, MiB)
  const layout = { chunkSizeBytes: 64 * 1024, stripeSizeBytes: 2 * 64 * 1024 }
  t.match(second.shown.units.get(id), layout, 'a stripe is a chunk of each of two disks')
  await second.inventory.growPartition({ array: 'r0', name: 'd' }, 2 * MiB)
  t.same(second.shown.grownNames, ['d'])
  t.equal(second.shown.units.get(id)?.volume.sizeBytes, 2 * MiB)
})

const changes: Record<string, (it: Opened, directory: string) => Promise<unknown>> = {
  'disk create': ({ inventory }, directory) =>
    inventory.createDisk(path.join(directory, 'new'), 4 * MiB),
  'disk remove': ({ inventory }, directory) => inventory.removeDisk(disksOf(directory)[2]!),
  'partition create': ({ inventory }) =>
    inventory.createPartition({ array: 'r0', name: 'new' }, MiB),
  'partition grow': ({ inventory }) =>
    inventory.growPartition({ array: 'r0', name: 'old' }, 3 * MiB),
  'partition delete': ({ inventory }) => inventory.deletePartition({ array: 'r0', name: 'old' }),
  'grant delete': ({ grants }) => grants.delete({ array: 'r0', partition: 'old', host: '*' }),
}

/** Whatever was cut short: what is listed is served, and what is granted is there. */
function checkSound(t: Test, { inventory, shown, state }: Opened): void {
  const partitions = inventory.listPartitions()
  t.same(
    shown.names().sort(),
    partitions.map(({ name }) => name).sort(),
    'the partitions are served',
  )
  const ids = partitions.map(({ id }) => id)
  const left = state.current.grants.filter(({ partition }) => !ids.includes(partition))
  t.same(left, [], 'no grant is left of what is gone')
  t.same(inventory.problems(), [])
}

for (const [name, change] of Object.entries(changes)) {
  t.test(`a crash after any durable step of ${name} is mended by the next start`, async (t) => {
    let finished = false
    for (let crashAfter = 1; !finished; crashAfter++) {
      const directory = await prepare(t, true)
      let steps = 0
      const crashing = await open(t, directory, () => {
        if (++steps >= crashAfter) throw new Error(`crash after step ${steps}`)
      })
      finished = await change(crashing, directory).then(
        () => true,
        () => false,
      )
      await crashing.inventory.close()

      const restarted = await open(t, directory)
      checkSound(t, restarted)
      const grants = restarted.grants.list()
      if (!name.endsWith('delete'))
        t.match(grants, [{ lun: 0 }], 'the grant of another is as it was')
      await restarted.inventory.close()
      if (crashAfter > 50) throw new Error('the change never finishes')
    }
  })

  t.test(`a disk that fails in the midst of ${name} is mended by the next start`, async (t) => {
    for (const op of ['write', 'flush'] as const) {
      for (let after = 0; after < 4; after++) {
        const directory = await prepare(t, true)
        const failing = await open(t, directory)
        failing.faults.get(disksOf(directory)[1]!)!.failNext(op, { after, times: Infinity })
        await change(failing, directory).catch((error) => t.ok(error instanceof TargetError))
        await failing.inventory.close()
        const restarted = await open(t, directory)
        checkSound(t, restarted)
        await restarted.inventory.close()
      }
    }
  })
}

t.test(
  'an array that was made or deleted in part can be deleted, and its disks used again',
  async (t) => {
    for (const [name, prepared] of [
      ['array create', false],
      ['array delete', true],
    ] as const) {
      let finished = false
      for (let after = 0; !finished; after++) {
        const directory = await prepare(t, prepared)
        const failing = await open(t, directory)
        if (prepared) await failing.inventory.deletePartition({ array: 'r0', name: 'old' })
        failing.faults.get(disksOf(directory)[1]!)!.failNext('write', { after, times: Infinity })
        finished = await (prepared
          ? failing.inventory.deleteArray('r0')
          : failing.inventory.createArray(r0(directory))
        ).then(
          () => true,
          (error) => {
            t.match(error, refused('storage-failed', /injected fault/))
            return false
          },
        )
        await failing.inventory.close()

        const { inventory } = await open(t, directory)
        for (const array of inventory.listArrays()) await inventory.deleteArray(array.name)
        const states = inventory.listDisks().map(({ state, reason }) => reason ?? state)
        t.same(states, ['free', 'free', 'free'], `${name}, ${after} writes went well`)
        t.equal((await inventory.createArray(r0(directory))).state, 'available')
        await inventory.close()
      }
    }
  },
)

t.test('an array with a disk missing is told of and not served; the others are', async (t) => {
  const directory = await prepare(t, true)
  const disk = disksOf(directory)[1]!
  const setUp = await open(t, directory)
  await setUp.inventory.createArray({
    ...r0(directory),
    name: 'r1',
    disks: [disksOf(directory)[2]!],
  })
  await setUp.inventory.createPartition({ array: 'r1', name: 'other' }, MiB)
  await setUp.inventory.close()
  await rename(disk, `${disk}.away`)

  const { inventory, shown, state } = await open(t, directory)
  t.same(shown.names(), ['other'])
  const [, r0Listed] = inventory.listArrays()
  t.match(r0Listed, { name: 'r0', state: 'unavailable', reason: /member 1/, sizeBytes: null })
  t.match(inventory.problems(), [
    /disk .*d1 is not available: .*ENOENT/,
    /array r0 is not available/,
  ])
  const key = { array: 'r0', name: 'x' }
  await t.rejects(inventory.createPartition(key, MiB), refused('unavailable', /member 1/))
  await t.rejects(inventory.deleteArray('r0'), refused('in-use', /has partitions \(1\)/))
  t.equal(state.current.grants.length, 1, 'its partition keeps its grant')

  await rename(`${disk}.away`, disk)
  t.match(await inventory.addDisk(disk), { state: 'member', array: 'r0' })
  t.same(shown.names().sort(), ['old', 'other'])
  t.same(inventory.problems(), [])
})

t.test('a foreign or corrupt disk is told of, and used for nothing', async (t) => {
  const directory = await prepare(t, true)
  const [, corrupt, foreign] = disksOf(directory)
  await truncate(corrupt!, 0)
  await truncate(corrupt!, 8 * MiB)
  await writeFile(foreign!, Buffer.alloc(8 * MiB, 'someone else'))
  const { inventory, shown } = await open(t, directory)
  t.same(shown.names(), [])
  t.match(inventory.listDisks(), [
    { state: 'member', array: 'r0' },
    { state: 'free' },
    { state: 'unavailable', reason: /not a label/ },
  ])
  const array = { ...r0(directory), name: 'r9', disks: [foreign!] }
  await t.rejects(inventory.createArray(array), refused('in-use', /not blank/))
  t.equal(inventory.listArrays().length, 1)
})

t.test("another server's disks bring their partitions along, granted to nobody", async (t) => {
  const theirs = await prepare(t, true)
  const directory = path.join(theirs, 'ours')
  await mkdir(directory)
  const { inventory, shown, grants } = await open(t, directory)
  const [first, second] = disksOf(theirs)
  await inventory.addDisk(second!)
  t.match(inventory.listArrays(), [{ name: 'r0', state: 'unavailable', reason: /member 0/ }])
  await inventory.addDisk(first!)
  t.same(shown.names(), ['old'])
  t.same(grants.list(), [])
})

t.test('what cannot be is refused, and changes nothing', async (t) => {
  const directory = await prepare(t, true)
  const { inventory, shown, state } = await open(t, directory)
  const [d0, d1, d2] = disksOf(directory) as [string, string, string]
  const make = (change: object) => inventory.createArray({ ...r0(directory), ...change })
  const before = state.current
  const refusals: [() => Promise<unknown>, string, RegExp][] = [
    [() => inventory.createDisk(d0, MiB), 'already-exists', /EEXIST/],
    [() => inventory.createDisk(path.join(directory, 'x'), 1000), 'invalid-request', /512/],
    [() => inventory.createDisk('/nowhere/x', MiB), 'storage-failed', /ENOENT/],
    [() => inventory.addDisk(d0), 'already-exists', /already a disk/],
    [() => inventory.addDisk(directory), 'unavailable', /neither a file nor a block device/],
    [() => inventory.addDisk(path.join(directory, 'x')), 'unavailable', /ENOENT/],
    [() => inventory.removeDisk('/x'), 'not-found', /\/x is not a disk of this server/],
    [() => inventory.removeDisk(d1), 'in-use', /in use by array r0/],
    [() => make({ disks: [d2] }), 'already-exists', /array r0 already/],
    [() => make({ name: 'r1' }), 'in-use', /belongs to array r0/],
    [() => make({ name: 'r1', disks: [d2, d2] }), 'invalid-request', /given twice/],
    [() => make({ name: 'r1', disks: ['/x'] }), 'not-found', /\/x is not a disk/],
    [() => make({ name: 'r1', disks: [d2], chunkSizeBytes: 1 }), 'invalid-request', /chunk size 1/],
    [() => inventory.deleteArray('r0'), 'in-use', /has partitions/],
    [() => inventory.deleteArray('r1'), 'not-found', /no array r1/],
    [() => inventory.createPartition({ array: 'r0', name: 'x' }, 99 * MiB), 'no-space', /free/],
    [() => inventory.createPartition({ array: 'r0', name: 'old' }, MiB), 'already-exists', /old/],
    [() => inventory.createPartition({ array: 'r1', name: 'x' }, MiB), 'not-found', /no array r1/],
    [() => inventory.growPartition({ array: 'r0', name: 'old' }, 4096), 'invalid-request', /less/],
    [() => inventory.growPartition({ array: 'r0', name: 'x' }, MiB), 'not-found', /x/],
    [() => inventory.deletePartition({ array: 'r0', name: 'x' }), 'not-found', /no partition x/],
  ]
  for (const [change, code, message] of refusals) await t.rejects(change(), refused(code, message))
  t.equal(state.current, before)
  t.same(shown.names(), ['old'])
  t.same(inventory.listDisks().length, 3)
  await unlink(path.join(directory, 'x')).then(
    () => t.fail('a refused disk create left a file'),
    () => {},
  )
})
