import { readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { ArrayInfo, Disk } from '../../src/admin/model.ts'
import { serve } from '../support/served-cli.ts'
import { stateDirectory } from '../support/state-directory.ts'

async function serveWithDisks(t: Test, count: number) {
  const directory = await stateDirectory(t)
  const served = await serve(t, directory)
  const disks = Array.from({ length: count }, (_, n) => path.join(directory, `d${n}`))
  for (const disk of disks) await served.json('disk', 'create', disk, '--size', '8M')
  const find = async (name: string) => {
    const arrays = (await served.json('array', 'list')) as ArrayInfo[]
    return arrays.find((array) => array.name === name)!
  }
  return { ...served, disks, find }
}

t.test('a member is taken out, taken back, and replaced', async (t) => {
  const { json, text, fails, disks, find } = await serveWithDisks(t, 3)
  const [d0, d1, d2] = disks as [string, string, string]
  await json('array', 'create', 'm', d0, d1, '--level', 'raid1')
  await json('partition', 'create', 'm/p', '--size', '2M')
  t.match(await text('array', 'show', 'm'), /state: available\nchecksums: on/)

  const refused = await fails('array', 'fail', 'm', d1)
  t.match(refused, { code: 2, err: /add --yes/ })
  await json('array', 'fail', 'm', d1, '--yes')
  t.match(await text('array', 'show', 'm'), /degraded: 1 of 2 disks absent.*1 +- +absent/s)
  t.match(await text('disk', 'list'), /d1 .*out: it was taken out of array m; take it back with/)
  t.match(await text('status'), /array m is degraded: 1 of 2 disks absent/)
  const last = await fails('array', 'fail', 'm', d0, '--yes')
  t.match(last, { code: 1, err: /array m cannot do without .*d0: it was taken out by hand/ })

  await json('array', 're-add', 'm', d1)
  await json('array', 'wait', 'm')
  t.match(await find('m'), { state: 'available', disks: [d0, d1], job: null })
  t.match(await fails('array', 'replace', 'm', d2), { err: /lacks no member; say which disk/ })
  t.match(await fails('array', 'replace', 'm', d1, '--for', d0, '--yes'), { err: /is not free/ })
  await json('array', 'replace', 'm', d2, '--for', d0, '--yes')
  t.match(await text('array', 'wait', 'm'), /0 +.*d2 +in-sync/)
  const [old] = ((await json('disk', 'list')) as Disk[]).filter((disk) => disk.path === d0)
  t.match(old, { state: 'out', array: 'm' })
  const again = await fails('array', 're-add', 'm', d0)
  t.match(again, { code: 1, err: /another disk has its place/ })
})

t.test('a spare takes over by itself, and is none then', async (t) => {
  const { json, text, disks, find } = await serveWithDisks(t, 5)
  const [d0, d1, d2, d3, d4] = disks as [string, string, string, string, string]
  await json('array', 'create', 'r', d0, d1, d2, d3, '--level', 'raid10')
  await json('disk', 'spare', d4)
  t.match(await text('disk', 'list'), /d4 .*spare/)
  await json('array', 'fail', 'r', d3, '--yes')
  await json('array', 'wait', 'r')
  t.match(await find('r'), { state: 'available', disks: [d0, d1, d2, d4] })
  t.notMatch(await text('disk', 'list'), /spare/)
})

t.test('a scrub says what it found', async (t) => {
  const { json, text, fails, disks, find } = await serveWithDisks(t, 2)
  await json('array', 'create', 'm', ...disks, '--level', 'raid1')
  await json('partition', 'create', 'm/p', '--size', '2M')
  t.equal((await find('m')).lastScrub, null)
  t.match(await fails('array', 'scrub', 'm', '--stop'), { err: /is not being scrubbed/ })
  await json('array', 'scrub', 'm')
  await json('array', 'wait', 'm')
  t.match(await find('m'), { lastScrub: { differingBytes: 0, repairedCount: 0, error: null } })
  t.match(await text('array', 'show', 'm'), /last scrub: .*, nothing was wrong/)
})

t.test('after a start without a disk the array is there, and degraded', async (t) => {
  const { json, stop, disks, directory } = await serveWithDisks(t, 2)
  const [d0, d1] = disks as [string, string]
  await json('array', 'create', 'm', d0, d1, '--level', 'raid1')
  await json('partition', 'create', 'm/p', '--size', '2M')
  t.equal(await stop(), 0)
  const bytes = await readFile(d1)
  await rm(d1)
  const second = await serve(t, path.join(directory))
  t.match(await second.json('array', 'list'), [{ state: 'degraded', disks: [d0] }])
  t.match(await second.json('partition', 'list'), [{ name: 'p', array: 'm' }])
  t.equal(bytes.length, 8 * 1024 * 1024)
})

t.test('levels and their numbers of disks', async (t) => {
  const { json, fails, disks } = await serveWithDisks(t, 4)
  const [d0, d1, d2] = disks as [string, string, string]
  for (const [level, given, message] of [
    ['raid1', [d0], /raid1 has 2 to 256 disks, not 1/],
    ['raid10', [d0, d1, d2], /raid10 has an even number of disks, 4 to 256 disks, not 3/],
    ['raid5', [d0, d1], /raid5 has 3 to 256 disks, not 2/],
    ['raid6', [d0, d1, d2], /raid6 has 4 to 256 disks, not 3/],
  ] as const) {
    t.match(await fails('array', 'create', 'x', ...given, '--level', level), { err: message })
  }
  t.match(await json('array', 'create', 'plain', d0, '--level', 'raid0'), { checksums: false })
  t.match(await json('array', 'create', 'sure', d1, '--checksums'), { checksums: true })
  t.match(await fails('array', 'scrub', 'plain'), { err: /holds everything once/ })
  await json('array', 'scrub', 'sure')
})
