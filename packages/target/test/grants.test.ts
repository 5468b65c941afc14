import path from 'node:path'
import t, { type Test } from 'tap'
import { Grants } from '../src/grants.ts'
import { Hosts } from '../src/hosts.ts'
import { Inventory } from '../src/inventory.ts'
import { silentLog } from '../src/log.ts'
import { StateStore } from '../src/state.ts'
import { DiskFile } from '../src/volume/disk-file.ts'

const MiB = 1024 * 1024
const a = 'iqn.2024-01.org.example:a'
const b = 'iqn.2024-01.org.example:b'

/** Partitions r0/one and r0/two, and two hosts. */
async function start(t: Test) {
  const directory = t.testdir()
  const state = await StateStore.open(directory)
  const inventory = new Inventory({
    state,
    server: { show: () => {}, grown: () => {}, hide: async () => {}, forget: () => {} },
    openDisk: (file) => DiskFile.open(file),
    log: silentLog,
    onStep: () => {},
  })
  await inventory.open()
  t.teardown(() => inventory.close())
  const disks = [path.join(directory, 'd')]
  await inventory.createDisk(disks[0]!, 8 * MiB)
  await inventory.createArray({ name: 'r0', level: 'raid0', chunkSizeBytes: 65536, disks })
  for (const name of ['one', 'two']) await inventory.createPartition({ array: 'r0', name }, MiB)
  const hosts = new Hosts(state, { maxConnections: 1, maxSessions: 4, dataPorts: 'fixed' })
  for (const name of [a, b]) await hosts.create({ name })
  let changes = 0
  const changed = async () => {
    changes++
  }
  const grants = new Grants({ state, inventory, hosts, changed })
  return { grants, hosts, inventory, changes: () => changes }
}

const key = (partition: string, host: string) => ({ array: 'r0', partition, host })
/** A grant as its host is told of it. */
const told = <G extends { partition: string; host: string }>({
  partition,
  host: _,
  ...grant
}: G) => ({
  ...grant,
  name: partition,
  sizeBytes: MiB,
})
const refused = (code: string, message: RegExp) => ({ name: 'TargetError', code, message })

t.test('a grant is exclusive for a host and shared for all, unless told otherwise', async (t) => {
  const { grants, inventory, changes } = await start(t)
  const one = { ...key('one', a), lun: 0, access: 'read-write', sharing: 'exclusive' }
  t.same(await grants.create(key('one', a.toUpperCase())), one)
  const all = { ...key('two', '*'), lun: 1, access: 'read-only', sharing: 'shared' }
  t.same(await grants.create({ ...key('two', '*'), access: 'read-only' }), all)
  const own = { ...key('two', b), lun: 1, access: 'read-write', sharing: 'shared' }
  t.same(await grants.create({ ...key('two', b), sharing: 'shared' }), own)
  t.same(grants.list(), [one, all, own])
  t.same(grants.partitionsOf(a), [told(one), told(all)])
  t.same(grants.partitionsOf(b), [told(own)], 'its own goes before that of all')
  t.equal(changes(), 3)
  const { host, lun, access, sharing } = one
  t.match(inventory.listPartitions(), [{ grants: [{ host, lun, access, sharing }] }, {}])
  t.match(await grants.set(key('two', b), { access: 'read-only' }), { ...own, access: 'read-only' })
  await grants.delete(key('two', '*'))
  t.match(await grants.set(key('two', b), { sharing: 'exclusive' }), { access: 'read-only' })
  t.same(grants.partitionsOf(a), [told(one)])
  t.equal(changes(), 6)
})

t.test('a LUN may be chosen, and stays what it is', async (t) => {
  const { grants } = await start(t)
  t.match(await grants.create({ ...key('two', a), lun: 16383 }), { lun: 16383 })
  t.match(await grants.create({ ...key('one', a), sharing: 'shared' }), { lun: 0 })
  t.match(await grants.create({ ...key('one', b), lun: 5, sharing: 'shared' }), { lun: 5 })
  t.match(await grants.set(key('one', b), { access: 'read-only' }), { lun: 5 })
})

t.test('what cannot be granted is refused in words, and changes nothing', async (t) => {
  const { grants, changes } = await start(t)
  await grants.create(key('one', a))
  await grants.create({ ...key('two', a), sharing: 'shared' })
  const before = grants.list()
  const stranger = 'iqn.2024-01.org.example:x'
  const refusals: [() => Promise<unknown>, string, RegExp][] = [
    [
      () => grants.create({ ...key('one', b), sharing: 'shared' }),
      'in-use',
      /r0\/one is granted to .*:a exclusively; .*grant set r0\/one --host .*:a --shared/,
    ],
    [() => grants.create(key('one', '*')), 'in-use', /exclusively/],
    [() => grants.create(key('one', a)), 'already-exists', /granted to .*:a already/],
    [() => grants.create(key('two', b)), 'in-use', /r0\/two is granted to .*:a already.*--shared/],
    [() => grants.create({ ...key('two', '*'), lun: 0 }), 'in-use', /LUN 0 is r0\/one for .*:a/],
    [
      () => grants.create({ ...key('two', '*'), sharing: 'exclusive' }),
      'invalid-request',
      /all hosts are granted is shared/,
    ],
    [() => grants.create(key('three', a)), 'not-found', /no partition three/],
    [() => grants.create(key('two', stranger)), 'not-found', /host create iqn.*:x/],
    [() => grants.create(key('two', 'x')), 'invalid-request', /wanted an iSCSI name/],
    [() => grants.set(key('two', b), {}), 'not-found', /r0\/two is not granted to .*:b/],
    [() => grants.delete(key('two', '*')), 'not-found', /not granted to all hosts/],
  ]
  for (const [change, code, message] of refusals) await t.rejects(change(), refused(code, message))
  await grants.create({ ...key('two', b), sharing: 'shared' })
  await t.rejects(
    grants.set(key('two', a), { sharing: 'exclusive' }),
    refused('in-use', /granted to .*:b as well/),
  )
  await grants.delete(key('two', b))
  t.same(grants.list(), before)
  t.equal(changes(), 4)
})

t.test('a host that is deleted leaves no grants', async (t) => {
  const { grants, hosts } = await start(t)
  await grants.create(key('one', a))
  await grants.create({ ...key('two', b), sharing: 'shared' })
  await hosts.delete(a)
  t.match(grants.list(), [{ host: b }])
  t.match(await grants.create(key('one', b)), { sharing: 'exclusive' })
})
