/** Partitions mounted by `platter` are files that ordinary programs use as disks. */
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { fileSystems, fillFileSystem, readFileSystem, treeChecksum } from '../lib/file-system.ts'
import { FuseMount } from '../lib/fuse-mount.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
const GiB = 2 ** 30
/** A real tree of many files, small and large, with links: what npm has installed for this repository. */
const tree = join(import.meta.dirname, '..', '..', 'node_modules')

async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await handle.read(buffer, 0, length, offset)
  return buffer.subarray(0, bytesRead)
}

t.test(
  'ext4 and xfs hold a real tree, through unmount, restart and a new mount',
  requires('mount', 'filesystems', 'root', 'fuse', 'loop'),
  async (t) => {
    const target = await TargetProcess.start()
    await target.createPartition({
      directory: temporaryDirectory(),
      disks: 4,
      diskSize: '1536M',
      chunk: '64K',
      array: 'array',
      partition: 'ext4',
      size: '2G',
    })
    await target.addPartition('array/xfs', '3G')
    const wanted = await treeChecksum(tree)
    const first = await FuseMount.mount(target.portal)
    t.strictSame((await readdir(first.directory)).sort(), [...fileSystems].sort())
    t.equal((await stat(first.file('ext4'))).size, 2 * GiB)
    t.equal((await stat(first.file('xfs'))).size, 3 * GiB)
    for (const kind of fileSystems) {
      t.equal(await fillFileSystem(kind, first.file(kind), tree), wanted, `${kind}, as copied`)
    }
    await first.unmount()
    t.equal(await target.stop(), 0)

    await target.serve()
    const second = await FuseMount.mount(target.portal)
    for (const kind of fileSystems) {
      t.equal(await readFileSystem(kind, second.file(kind)), wanted, `${kind}, after a restart`)
    }
    await second.unmount()
    t.equal(await target.stop(), 0)
  },
)

t.test(
  'a partition of 1 TiB is right at every offset, and takes no more space than was written',
  requires('mount', 'fuse'),
  async (t) => {
    const directory = temporaryDirectory()
    const target = await TargetProcess.start()
    await target.createPartition({
      directory,
      disks: 2,
      diskSize: '513G',
      chunk: '256K',
      array: 'array',
      partition: 'huge',
      size: '1T',
    })
    const writes = [
      0,
      2 ** 31 - 777,
      2 ** 32 - 4096,
      2 ** 32 + 513,
      999 * GiB + 1,
      1024 * GiB - 9000,
    ]
    const length = 9000
    const pattern = (index: number) => Buffer.alloc(length, `write ${index};`)
    const first = await FuseMount.mount(target.portal)
    t.equal((await stat(first.file('huge'))).size, 1024 * GiB)
    const writer = await open(first.file('huge'), 'r+')
    // In reverse, so that of those that overlap the earlier one in the list is what stays.
    for (const [index, offset] of [...writes.entries()].reverse()) {
      await writer.write(pattern(index), 0, length, offset)
    }
    await writer.datasync()
    await writer.close()
    await first.unmount()
    await target.stop()

    await target.serve()
    const second = await FuseMount.mount(target.portal)
    const reader = await open(second.file('huge'), 'r')
    for (const [index, offset] of writes.entries()) {
      const expected = index === 3 ? pattern(3).subarray(4391) : pattern(index)
      const start = offset + length - expected.length
      t.ok((await readAt(reader, start, expected.length)).equals(expected), `at byte ${start}`)
    }
    t.ok((await readAt(reader, 500 * GiB, length)).equals(Buffer.alloc(length)), 'zero elsewhere')
    t.equal((await readAt(reader, 1024 * GiB - 10, 100)).length, 10, 'reads end with the file')
    await reader.close()
    const past = await open(second.file('huge'), 'r+')
    await t.rejects(past.write(Buffer.alloc(512), 0, 512, 1024 * GiB), 'no writes beyond the end')
    await past.close()
    await second.unmount()
    await target.stop()
    for (const disk of ['disk-0', 'disk-1']) {
      t.ok((await stat(join(directory, disk))).blocks * 512 < 16 * 2 ** 20, `${disk} is sparse`)
    }
  },
)

t.test('a mount ends cleanly when its process is told to', requires('mount', 'fuse'), async (t) => {
  const target = await TargetProcess.start()
  await target.createPartition({
    directory: temporaryDirectory(),
    disks: 1,
    diskSize: '32M',
    chunk: '64K',
    array: 'array',
    partition: 'small',
    size: '16M',
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const mount = await FuseMount.mount(target.portal)
    t.equal((await stat(mount.file('small'))).size, 16 * 2 ** 20)
    t.equal(await mount.process.end(signal), 0, `${signal}: ${mount.process.log}`)
    t.strictSame(await readdir(mount.directory), [], 'nothing is mounted there any more')
  }
})
