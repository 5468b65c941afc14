import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import type { Grant } from '../src/grant.ts'
import { parseState, type State, StateStore } from '../src/state.ts'

const id = (digit: string) => `0000000${digit}-0000-4000-8000-000000000000`
const grant = (lun: number, partition = id('1')): Grant => ({
  host: '*',
  array: id('a'),
  partition,
  lun,
  access: 'read-write',
  sharing: 'shared',
})
const good = {
  version: 2,
  targetName: 'iqn.2026-11.org.platter:test',
  targetPortalGroupTag: 1,
  disks: ['/srv/a', '/srv/b'],
  grants: [grant(0, id('1')), grant(3, id('2'))],
}
const parse = (value: unknown) => parseState(JSON.stringify(value), '/s/state.json')

t.test('a new state directory gets a target name that it then keeps', async (t) => {
  const directory = t.testdir()
  const first = (await StateStore.open(directory)).current
  t.match(first.targetName, /^iqn\.2026-11\.org\.platter:[a-z0-9.-]+-[0-9a-f]{8}$/)
  t.same((await StateStore.open(directory)).current, first)
  t.equal((await stat(path.join(directory, 'state.json'))).mode & 0o777, 0o600)
})

t.test('what was replaced is what a restart reads', async (t) => {
  const directory = t.testdir()
  const store = await StateStore.open(directory)
  await store.replace(good as State)
  t.same((await StateStore.open(directory)).current, good)
})

t.test('a fault names its path, what was got and what was wanted', async (t) => {
  const faults: [unknown, RegExp][] = [
    [{ ...good, grants: [grant(-1)] }, /grants\[0\]\.lun: got -1, wanted 0\.\.16383/],
    [{ ...good, grants: [grant(16384)] }, /grants\[0\]\.lun: got 16384, wanted 0\.\.16383/],
    [{ ...good, disks: ['/a', 'b'] }, /disks\[1\]: got "b", wanted an absolute path/],
    [{ ...good, targetName: 'iqn.x' }, /targetName: got "iqn\.x", wanted an iSCSI name such as/],
    [{ ...good, targetPortalGroupTag: '1' }, /targetPortalGroupTag: got "1", wanted 1\.\.65535/],
    [{ ...good, extra: 1 }, /extra is not known here/],
    [{ ...good, grants: undefined }, /grants is missing/],
    [{ ...good, grants: 7 }, /grants: got 7, wanted array/],
    [{ ...good, version: 3 }, /version 3; this platterd knows version 2/],
    [{ ...good, version: 'x' }, /version: got "x", wanted 2/],
    [{ ...good, disks: ['/a', '/a'] }, /disks\[1\]: got that of disks\[0\]/],
    [
      { ...good, grants: [grant(4, id('1')), grant(4, id('2'))] },
      /grants\[1\]\.lun: got 4, which grants\[0\] has already/,
    ],
    [
      { ...good, grants: [grant(4, id('1')), grant(5, id('1'))] },
      /grants\[1\]\.partition: got that of grants\[0\]/,
    ],
    [
      { ...good, redirects: [{ host: 'x', address: 'a:1', permanent: true }] },
      /redirects\[0\]\.host: got "x", wanted the iSCSI name of a host/,
    ],
    [
      {
        ...good,
        redirects: [
          { host: '*', address: 'a:1', permanent: true },
          { host: '*', address: 'b:1', permanent: false },
        ],
      },
      /redirects\[1\]\.host: got that of redirects\[0\]/,
    ],
    [
      { ...good, hosts: [{ name: 'iqn.2024-01.org.example:a', maxConnections: 0 }] },
      /hosts\[0\]\.maxConnections: got 0/,
    ],
    [
      { ...good, hosts: [1, 2].map((n) => ({ name: 'naa.52004567ba64678d', maxConnections: n })) },
      /hosts\[1\]\.name: got that of hosts\[0\]/,
    ],
    [null, /got null, wanted object/],
    [[], /wanted object/],
  ]
  for (const [value, wanted] of faults) {
    t.throws(() => parse(value), { message: wanted })
    t.throws(() => parse(value), { message: /^\/s\/state\.json / })
  }
  t.throws(() => parseState('{', '/s/state.json'), { message: /^\/s\/state\.json is not JSON/ })
  t.same(parse(good), good)
})

t.test('a store refuses to open a broken file, and leaves it as it was', async (t) => {
  const directory = t.testdir({ 'state.json': '{"version":1}' })
  await chmod(path.join(directory, 'state.json'), 0o600)
  await t.rejects(StateStore.open(directory), { message: /targetName is missing/ })
  t.equal(await readFile(path.join(directory, 'state.json'), 'utf8'), '{"version":1}')
})

t.test('a state that would not be read again is not written', async (t) => {
  const store = await StateStore.open(t.testdir())
  const before = store.current
  await t.rejects(store.replace({ ...before, grants: [grant(1), grant(1)] }), {
    message: /grants\[1\]/,
  })
  t.equal(store.current, before)
  t.same((await StateStore.open(path.dirname(store.filePath))).current, before)
})

t.test('a crash after any step of a write leaves the old state or the new one', async (t) => {
  const steps = ['written', 'synced', 'renamed', 'directory synced']
  for (const crashAt of steps) {
    const directory = t.testdir()
    await (await StateStore.open(directory)).replace(good as State)
    const seen: string[] = []
    const store = await StateStore.open(directory, (step) => {
      seen.push(step)
      if (step === crashAt) throw new Error(`crash: ${step}`)
    })
    const next = { ...good, disks: ['/srv/c'] } as State
    await t.rejects(store.replace(next), { message: `crash: ${crashAt}` })
    t.same(seen, steps.slice(0, steps.indexOf(crashAt) + 1))
    const found = (await StateStore.open(directory)).current
    t.same(found, steps.indexOf(crashAt) < steps.indexOf('renamed') ? good : next, crashAt)

    const after = await StateStore.open(directory)
    await after.replace({ ...next, disks: [] })
    t.same(await readdir(directory), ['state.json'], 'the next write clears what the crash left')
  }
})

t.test('a write that fails changes nothing', async (t) => {
  const directory = t.testdir()
  const store = await StateStore.open(directory)
  const before = store.current
  await mkdir(path.join(directory, 'state.json.new'))
  await t.rejects(store.replace(good as State), { code: 'EISDIR' })
  t.equal(store.current, before)
  t.same((await StateStore.open(directory)).current, before)
})

t.test('a file that cannot be read is not taken for a missing one', async (t) => {
  const directory = t.testdir()
  await mkdir(path.join(directory, 'state.json'), { mode: 0o700 })
  await t.rejects(StateStore.open(directory), { code: 'EISDIR' })
})

t.test('what version 1 granted to all hosts they all have still, and share', async (t) => {
  const { sharing: _, ...old } = grant(3)
  const hosts = [{ name: 'iqn.2024-01.org.example:a', maxConnections: 2 }]
  const before = { ...good, version: 1, grants: [old], hosts }
  t.same(parse(before), { ...good, grants: [grant(3)], hosts })
  const directory = t.testdir({ 'state.json': JSON.stringify(before) })
  await chmod(path.join(directory, 'state.json'), 0o600)
  const store = await StateStore.open(directory)
  await store.replace(store.current)
  const text = await readFile(path.join(directory, 'state.json'), 'utf8')
  t.same(JSON.parse(text), { ...good, grants: [grant(3)], hosts }, 'and so it is written')
})

t.test('half a temporary file from a crash is not taken for the state', async (t) => {
  const directory = t.testdir()
  const { current } = await StateStore.open(directory)
  await writeFile(path.join(directory, 'state.json.new'), '{"version":')
  t.same((await StateStore.open(directory)).current, current)
})

t.test('a state file that others may use is refused, and it is said what to do', async (t) => {
  const directory = t.testdir()
  await StateStore.open(directory)
  const file = path.join(directory, 'state.json')
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    await chmod(file, mode)
    const octal = mode.toString(8)
    const message = new RegExp(`others may use .*state.json \\(mode 0${octal}\\).*: chmod 600`)
    await t.rejects(StateStore.open(directory), { message })
  }
  await chmod(file, 0o600)
  await t.resolves(StateStore.open(directory))
})
