/**
 * What uses disks uses the files of one mount, all in their turn; then it is looked for after a new mount and
 * a restart of the server. Operations at random are in fuse-driver.test.ts.
 */
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { checkDatabase, fillDatabase, journalModes } from '../lib/database.ts'
import {
  fileSystems,
  fillFileSystem,
  makeFileSystem,
  readFileSystem,
  reuseFileSystem,
  treeChecksum,
} from '../lib/file-system.ts'
import { FuseMount } from '../lib/fuse-mount.ts'
import { runOnDisk } from '../lib/guest/disk-guest.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(300_000)

const users = requires('mount', 'fuse', 'root', 'loop', 'filesystems', 'diskUsers')
const guest = requires('mount', 'fuse', 'root', 'guest')
/** A small tree of files. */
const tree = join(import.meta.dirname, '..', '..', 'packages', 'target', 'src')
const further = { xfs: '320M', fio: '64M', database: '64M', guest: '64M' } as const

/** One checksum over the programs that the guest copies to its disk. */
const checksum = 'find programs -type f | LC_ALL=C sort | xargs sha256sum | sha256sum'

const target = await TargetProcess.start()
let ofGuest: string | undefined
let mount: FuseMount | undefined
const file = (name: 'ext4' | keyof typeof further) => mount?.file(name) ?? ''

/** Writes, or verifies what was written, at the same random places with the same seed. */
async function fio(engine: readonly string[], range: readonly string[], verify: readonly string[]) {
  const job = ['--rw=randwrite', '--bsrange=4k-256k', '--iodepth=16', '--randseed=7']
  const checks = ['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', ...verify]
  const common = ['--name=job', `--filename=${file('fio')}`, '--fallocate=none']
  await runOk('fio', [...common, ...engine, ...range, ...job, ...checks])
}
const fioJobs = [
  { engine: ['--ioengine=libaio', '--direct=1'], range: ['--offset=0', '--size=32M'] },
  { engine: ['--ioengine=psync', '--fsync=16'], range: ['--offset=32M', '--size=32M'] },
] as const

t.test('partitions are mounted', requires('mount', 'fuse'), async () => {
  await target.createPartition({
    directory: temporaryDirectory(),
    disks: 2,
    diskSize: '512M',
    chunk: '64K',
    array: 'array',
    partition: 'ext4',
    size: '64M',
  })
  for (const [name, size] of Object.entries(further)) {
    await target.addPartition(`array/${name}`, size)
  }
  mount = await FuseMount.mount(target.portal)
})

t.test('ext4 and xfs are on loop devices with direct I/O', users, async (t) => {
  const wanted = await treeChecksum(tree)
  for (const kind of fileSystems) {
    t.equal(await fillFileSystem(kind, file(kind), tree, { directIo: true }), wanted, kind)
  }
})

t.test('fio verifies what it has written, directly and through the page cache', users, async () => {
  for (const { engine, range } of fioJobs) await fio(engine, range, ['--do_verify=1'])
})

t.test('sqlite keeps what several programs write at once', users, async () => {
  await makeFileSystem('ext4', file('database'), async (directory) => {
    for (const mode of journalModes) await fillDatabase(directory, mode)
  })
})

t.test('a QEMU guest has a partition as its disk', guest, async (t) => {
  const script = [
    'mkfs.ext4 -q /dev/vda',
    'mount /dev/vda /mnt',
    'cp -a /usr/bin /mnt/programs',
    `cd /mnt; ${checksum}; cd /`,
    'umount /mnt',
    'fsck.ext4 -f -n /dev/vda',
  ]
  const said = await runOnDisk(file('guest'), script.join('\n'))
  t.match(said, /^\/dev\/vda: \d+\/\d+ files /m, 'fsck is content')
  ofGuest = /^[0-9a-f]{64}/m.exec(said)?.[0]
  t.ok(ofGuest)
})

t.test('all of it is there after a new mount and a restart of the server', users, async (t) => {
  await mount?.unmount()
  await target.stop()
  await target.serve()
  mount = await FuseMount.mount(target.portal)
  const wanted = await treeChecksum(tree)
  for (const kind of fileSystems) {
    t.equal(await readFileSystem(kind, file(kind)), wanted, `${kind}, with buffered I/O`)
    t.equal(await readFileSystem(kind, file(kind), { directIo: true }), wanted, kind)
  }
  for (const { engine, range } of fioJobs) await fio(engine, range, ['--verify_only=1'])
  await reuseFileSystem('ext4', file('database'), async (directory) => {
    for (const mode of journalModes) await checkDatabase(directory, mode)
  })
  if (ofGuest !== undefined) {
    const read = (cwd: string) => runOk('sh', ['-c', checksum], { cwd })
    t.match(await reuseFileSystem('ext4', file('guest'), read), ofGuest, 'of the guest')
  }
  await mount.unmount()
  t.equal(await target.stop(), 0)
})
