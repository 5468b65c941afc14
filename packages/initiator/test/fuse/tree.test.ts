import t from 'tap'
import { ReportFile } from '../../src/fuse/report-file.ts'
import { Directory, ROOT_INODE, Tree } from '../../src/fuse/tree.ts'

const file = () => new ReportFile(() => '')

t.test('entries are found by their path, and by their inode', async (t) => {
  const tree = new Tree()
  const server = new Directory()
  const disk = file()
  tree.add(tree.root, 'server', server)
  tree.add(server, 'disk', disk)
  t.equal(tree.find('/')?.inode, ROOT_INODE)
  t.equal(tree.find('/server/disk')?.content, disk)
  t.equal(tree.at(tree.find('/server/disk')?.inode ?? 0)?.content, disk)
  for (const path of ['/disk', '/server/none', '/server/disk/more']) t.notOk(tree.find(path), path)
  t.strictSame([...tree.files()], [disk])
})

t.test('a name is there once', async (t) => {
  const tree = new Tree()
  tree.add(tree.root, 'disk', file())
  t.throws(() => tree.add(tree.root, 'disk', file()), /there is a disk already/)
})

t.test('an inode is not used again, and forgotten with its last user', async (t) => {
  const tree = new Tree()
  tree.add(tree.root, 'disk', file())
  const old = tree.find('/disk')
  if (old === undefined) throw new Error('there is no /disk')
  old.lookups = 1
  tree.remove(tree.root, 'disk')
  tree.remove(tree.root, 'disk')
  tree.add(tree.root, 'disk', file())
  t.not(tree.find('/disk')?.inode, old.inode)
  t.equal(tree.at(old.inode), old)
  tree.forget(old.inode, 1)
  t.equal(tree.at(old.inode), undefined)
  tree.forget(old.inode, 1)
})
