import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { MountOptions } from '../../src/fuse/fuse-driver.ts'
import { TreeMount } from '../../src/fuse/mount.ts'
import { mountedType, prepareMountpoint } from '../../src/fuse/mountpoint.ts'
import { Tree } from '../../src/fuse/tree.ts'

const nobodyStale = () => t.fail('nothing is stale')

t.test('only an empty directory can be mounted upon', async (t) => {
  const directory = await emptyDirectory(t)
  t.equal(await prepareMountpoint(directory, nobodyStale), directory)
  await t.rejects(prepareMountpoint(join(directory, 'absent'), nobodyStale), {
    name: 'MountpointError',
    message: /does not exist; make it with: mkdir -p/,
  })
  const file = join(directory, 'file')
  await writeFile(file, '')
  await t.rejects(prepareMountpoint(file, nobodyStale), /is not a directory/)
  await t.rejects(prepareMountpoint(directory, nobodyStale), /not empty: 1 names would be hidden/)
})

t.test('what is mounted already is not mounted upon again', async (t) => {
  await t.rejects(prepareMountpoint('/proc', nobodyStale), /something mounted on it/)
  t.equal(await mountedType('/proc'), 'proc')
  t.equal(await mountedType(await emptyDirectory(t)), undefined)
})

t.test('a driver gets the tree, and where it is to be seen', async (t) => {
  const directory = await emptyDirectory(t)
  const tree = new Tree()
  let seen: Tree | undefined
  let asked: MountOptions | undefined
  const mounted = await TreeMount.mount({
    directory,
    tree,
    source: '192.0.2.1:3260',
    driver: async (given, options) => {
      seen = given
      asked = options
    },
  })
  t.equal(seen, tree)
  t.strictSame(asked, { directory, source: '192.0.2.1:3260', allowOther: false })
  // Nothing was really mounted, which is what it looks for.
  await mounted.unmounted
})

t.test('a driver that fails is told of', async (t) => {
  const directory = await emptyDirectory(t)
  const driver = () => Promise.reject(new Error('no /dev/fuse'))
  const mounting = TreeMount.mount({ directory, tree: new Tree(), source: 'x', driver })
  await t.rejects(mounting, /no \/dev\/fuse/)
})

async function emptyDirectory(t: { teardown(undo: () => Promise<void>): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'platter-'))
  t.teardown(() => rm(directory, { recursive: true }))
  return directory
}
