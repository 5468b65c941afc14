/** Both FUSE drivers, by the same operations: a partition is a file that behaves as a disk does. */
import { randomInt } from 'node:crypto'
import { chmod, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, onCleanUp, temporaryDirectory, unmountNow } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { FileExerciser } from '../lib/file-exerciser.ts'
import { FuseMount, isMounted } from '../lib/fuse-mount.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
const MiB = 2 ** 20
const SIZE = 16 * MiB
const drivers = ['kernel', 'native'] as const

for (const driver of drivers) {
  t.test(
    `${driver}: reads and writes of every kind agree, and stay`,
    requires('mount', 'fuse'),
    async (t) => {
      const target = await TargetProcess.startWithPartition('disk')
      const mount = await FuseMount.mount(target.portal, '--driver', driver)
      const seed = randomInt(2 ** 31)
      t.comment(`seed ${seed}: npm run exercise -- --driver ${driver} --seed ${seed}`)
      const exerciser = await FileExerciser.exercise({
        path: mount.file('disk'),
        seed,
        holes: driver === 'kernel',
        goOn: (rounds) => rounds < 400,
      })
      await mount.unmount()
      await target.stop()
      await target.serve()
      const again = await FuseMount.mount(target.portal, '--driver', driver)
      await exerciser.verify(again.file('disk'))
      t.pass('after a new mount and a restart')
      await again.unmount()
      await target.stop()
    },
  )

  t.test(
    `${driver}: nothing makes, moves, removes or resizes a partition from here`,
    requires('mount', 'fuse'),
    async (t) => {
      const target = await TargetProcess.startWithPartition('disk')
      const mount = await FuseMount.mount(target.portal, '--driver', driver)
      const file = mount.file('disk')
      const refused = { code: 'EPERM' }
      await t.rejects(writeFile(mount.file('other'), ''), refused)
      await t.rejects(rm(file), refused)
      await t.rejects(rename(file, mount.file('other')), refused)
      await t.rejects(chmod(file, 0o777), refused)
      await t.rejects(stat(mount.file('other')), { code: 'ENOENT' })
      const truncating = await open(file, 'w')
      await truncating.close()
      t.equal((await stat(file)).size, SIZE)
      t.strictSame(await readdir(mount.directory), ['disk'])
      await mount.unmount()
      await target.stop()
    },
  )

  t.test(
    `${driver}: a mount goes with its process, however that ends`,
    requires('mount', 'fuse'),
    async (t) => {
      const target = await TargetProcess.startWithPartition('disk')
      const first = await FuseMount.mount(target.portal, '--driver', driver)
      await first.process.end('SIGKILL')
      for (let look = 0; look < 100 && isMounted(first.directory); look++) {
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      t.notOk(isMounted(first.directory))
      const second = await FuseMount.mount(target.portal, '--driver', driver)
      t.equal((await stat(second.file('disk'))).size, SIZE)
      await second.unmount()
      await target.stop()
    },
  )
}

/** What the server's disk files take of their file system, in bytes. */
async function allocatedBytes(directory: string): Promise<number> {
  const disks = await Promise.all(
    (await readdir(directory)).map((name) => stat(join(directory, name))),
  )
  return disks.reduce((sum, { blocks }) => sum + blocks * 512, 0)
}

t.test(
  'for root, the kernel reads ahead by whole requests',
  requires('mount', 'fuse', 'root'),
  async (t) => {
    const target = await TargetProcess.startWithPartition('disk')
    const mount = await FuseMount.mount(target.portal, '--driver', 'kernel')
    const device = (await runOk('mountpoint', ['-d', mount.directory])).trim()
    t.equal(await readFile(`/sys/class/bdi/${device}/read_ahead_kb`, 'utf8'), '1024\n')
    await mount.unmount()
    await target.stop()
  },
)

t.test(
  'kernel: a hole in the file is a hole in the disks',
  requires('mount', 'fuse'),
  async (t) => {
    const directory = temporaryDirectory()
    const target = await TargetProcess.startWithPartition('disk', directory)
    const mount = await FuseMount.mount(target.portal, '--driver', 'kernel')
    const file = mount.file('disk')
    const handle = await open(file, 'r+')
    await handle.write(Buffer.alloc(8 * MiB, 'x'), 0, 8 * MiB, 0)
    await handle.datasync()
    const full = await allocatedBytes(directory)
    t.ok(full >= 8 * MiB)
    // Not on block boundaries: the bytes beside it stay.
    await runOk('fallocate', ['--punch-hole', '--offset', '100', '--length', `${6 * MiB}`, file])
    t.ok((await allocatedBytes(directory)) <= full - 5 * MiB, 'the space is back')
    const wanted = Buffer.alloc(8 * MiB, 'x').fill(0, 100, 100 + 6 * MiB)
    t.ok((await handle.read(Buffer.alloc(8 * MiB), 0, 8 * MiB, 0)).buffer.equals(wanted))
    await runOk('fallocate', ['--zero-range', '--offset', `${7 * MiB}`, '--length', '1000', file])
    wanted.fill(0, 7 * MiB, 7 * MiB + 1000)
    t.ok((await handle.read(Buffer.alloc(8 * MiB), 0, 8 * MiB, 0)).buffer.equals(wanted))
    await handle.close()
    await mount.unmount()
    await target.stop()
  },
)

t.test(
  'kernel: fstrim of a file system on the file gives space back to the server',
  requires('mount', 'fuse', 'filesystems', 'root', 'loop'),
  async (t) => {
    const directory = temporaryDirectory()
    const target = await TargetProcess.startWithPartition('disk', directory)
    const mount = await FuseMount.mount(target.portal, '--driver', 'kernel')
    const mounted = temporaryDirectory()
    onCleanUp(() => unmountNow(mounted))
    await runOk('mkfs.ext4', ['-q', '-F', mount.file('disk')])
    await runOk('mount', ['-o', 'loop', mount.file('disk'), mounted])
    await writeFile(join(mounted, 'large'), Buffer.alloc(8 * MiB, 'y'))
    await runOk('sync', ['-f', mounted])
    const full = await allocatedBytes(directory)
    await rm(join(mounted, 'large'))
    await runOk('sync', ['-f', mounted])
    await runOk('fstrim', [mounted])
    t.ok((await allocatedBytes(directory)) <= full - 7 * MiB)
    await runOk('umount', [mounted])
    await runOk('fsck.ext4', ['-f', '-n', mount.file('disk')])
    await mount.unmount()
    await target.stop()
  },
)
