/** Our initiator against other people's target: tgtd. */
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { fileSystems, fillFileSystem, readFileSystem, treeChecksum } from '../lib/file-system.ts'
import { FuseMount, partitionFiles } from '../lib/fuse-mount.ts'
import { requires } from '../lib/requires.ts'
import { startTgtd } from '../lib/tgtd.ts'

t.teardown(cleanUp)
const sizeBytes = 3 * 2 ** 30
const tree = join(import.meta.dirname, '..', '..', 'node_modules')

t.test(
  'LUNs of tgtd hold file systems, and what platter wrote is what lies in its backing files',
  requires('mount', 'filesystems', 'tgt', 'root', 'fuse', 'loop'),
  async (t) => {
    const directory = temporaryDirectory()
    const backing = fileSystems.map((kind) => join(directory, kind))
    for (const file of backing) {
      await writeFile(file, '')
      await truncate(file, sizeBytes)
    }
    const wanted = await treeChecksum(tree)
    const server = await startTgtd(backing)
    const first = await FuseMount.mount(`127.0.0.1:${server.port}`)
    const files = await partitionFiles(first.directory)
    t.strictSame(
      files.map(({ size }) => size),
      [sizeBytes, sizeBytes],
    )
    for (const [index, kind] of fileSystems.entries()) {
      const file = first.file(files[index]?.name ?? '')
      t.equal(await fillFileSystem(kind, file, tree), wanted, `${kind}, as copied`)
    }
    await first.unmount()
    await server.stop()

    for (const [index, kind] of fileSystems.entries()) {
      t.equal(await readFileSystem(kind, backing[index] ?? ''), wanted, `${kind}, in tgtd's file`)
    }
    const again = await startTgtd(backing)
    const second = await FuseMount.mount(`127.0.0.1:${again.port}`)
    for (const [index, kind] of fileSystems.entries()) {
      const file = second.file(files[index]?.name ?? '')
      t.equal(await readFileSystem(kind, file), wanted, `${kind}, after a restart`)
    }
    await second.unmount()
    await again.stop()
  },
)
