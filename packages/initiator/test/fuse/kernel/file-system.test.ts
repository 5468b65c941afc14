import { constants } from 'node:fs'
import { constants as os } from 'node:os'
import t from 'tap'
import { BlockFile } from '../../../src/fuse/block-file.ts'
import { FuseFileSystem } from '../../../src/fuse/kernel/file-system.ts'
import {
  attributesLayout,
  FuseFlag,
  FuseOpcode,
  initOutLayout,
  statfsOutLayout,
} from '../../../src/fuse/kernel/fuse-layout.ts'
import { Directory, Tree } from '../../../src/fuse/tree.ts'
import { AnswerCollector } from '../../support/fuse-exchange.ts'
import { MemoryDevice } from '../../support/memory-device.ts'

const FILE = 2

function setUp({ readOnly = false } = {}) {
  const memory = new MemoryDevice(16, 512)
  const device = readOnly ? Object.create(memory, { readOnly: { value: true } }) : memory
  const tree = new Tree()
  tree.add(tree.root, 'memory', new BlockFile(device))
  const kernel = new AnswerCollector()
  const ready: (Error | null)[] = []
  const options = { directory: '/mnt', source: 'test', allowOther: false }
  const fileSystem = new FuseFileSystem(tree, options, (error) => ready.push(error))
  /** Sends a request, lets the device work, and gives the answer. */
  const ask = (opcode: number, body?: Buffer, nodeId = FILE) => {
    fileSystem.handle(kernel.request({ opcode, nodeId, body: body ?? Buffer.alloc(0) }))
    while (memory.step());
    return kernel.answers.pop()
  }
  return { memory, kernel, ready, ask, tree }
}

/** struct fuse_read_in and fuse_write_in. */
function transfer(offset: number, size: number, { openFlags = 0, data = Buffer.alloc(0) } = {}) {
  const body = Buffer.alloc(40)
  body.writeBigUInt64LE(BigInt(offset), 8)
  body.writeUInt32LE(size, 16)
  body.writeUInt32LE(openFlags, 32)
  return Buffer.concat([body, data])
}

function words(...values: number[]): Buffer {
  const body = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) body.writeUInt32LE(value, index * 4)
  return body
}

t.test('INIT agrees on large requests, and no more than the kernel offers', async (t) => {
  const { ask, ready } = setUp()
  const offered = 0xffffffff
  const answer = ask(FuseOpcode.Init, words(7, 40, 131072, offered), 0)
  t.equal(answer?.error, 0)
  const init = initOutLayout.decode(answer?.body as Buffer)
  t.match(init, { major: 7, minor: 31, maxWrite: 1048576, maxPages: 256, maxReadahead: 131072 })
  t.ok(init.flags & FuseFlag.AsyncDirectIo, 'direct writes of a file run side by side')
  t.strictSame(ready, [null])

  const small = ask(FuseOpcode.Init, words(7, 27, 4096, FuseFlag.BigWrites), 0)
  const less = initOutLayout.decode(small?.body as Buffer)
  t.match(less, { minor: 27, flags: FuseFlag.BigWrites, maxWrite: 131072, maxReadahead: 4096 })
})

t.test('a kernel of another protocol is refused, and the mount told', async (t) => {
  const { ask, ready } = setUp()
  t.equal(ask(FuseOpcode.Init, words(7, 22, 0, 0), 0)?.error, -os.errno.EPROTO)
  t.equal(ask(FuseOpcode.Init, words(8, 0, 0, 0), 0)?.error, -os.errno.EPROTO)
  t.match(ready[0], {
    message: 'the kernel speaks FUSE 7.22, wanted 7.23 or a later minor version',
  })
})

t.test('a file is found by its name, with its size', async (t) => {
  const { ask } = setUp()
  const found = ask(FuseOpcode.Lookup, Buffer.from('memory\0'), 1)
  t.equal(found?.error, 0)
  t.equal(found?.body.readUInt32LE(0), FILE)
  const attributes = attributesLayout.decode(found?.body as Buffer, 40)
  t.match(attributes, { inode: FILE, size: 8192, blocks: 16, mode: 0o100600, links: 1 })
  t.equal(ask(FuseOpcode.Lookup, Buffer.from('other\0'), 1)?.error, -os.errno.ENOENT)
  t.equal(ask(FuseOpcode.Lookup, Buffer.from('memory\0'), FILE)?.error, -os.errno.ENOENT)
})

t.test('attributes of the directory and of a file; none of what is not there', async (t) => {
  const { ask } = setUp()
  const root = ask(FuseOpcode.Getattr, undefined, 1)
  t.match(attributesLayout.decode(root?.body as Buffer, 16), { inode: 1, mode: 0o40755, size: 0 })
  const file = ask(FuseOpcode.Getattr)
  t.match(attributesLayout.decode(file?.body as Buffer, 16), { inode: FILE, size: 8192 })
  t.equal(ask(FuseOpcode.Getattr, undefined, 99)?.error, -os.errno.ENOENT)
})

t.test('what is written is read again, at any offset', async (t) => {
  const { ask, memory } = setUp()
  const data = Buffer.alloc(1024, 'platter')
  const written = ask(FuseOpcode.Write, transfer(512, 1024, { data }))
  t.equal(written?.error, 0)
  t.equal(written?.body.readUInt32LE(0), 1024)
  t.ok(memory.bytes.subarray(512, 1536).equals(data))
  t.ok(ask(FuseOpcode.Read, transfer(512, 1024))?.body.equals(data))
  t.equal(ask(FuseOpcode.Read, transfer(7680, 4096))?.body.length, 512, 'reads end with the file')
  t.equal(ask(FuseOpcode.Read, transfer(8192, 4096))?.body.length, 0)
  const beyond = ask(FuseOpcode.Write, transfer(8192, 512, { data: data.subarray(0, 512) }))
  t.equal(beyond?.error, -os.errno.ENOSPC)
})

t.test(
  'a write of a file that was opened with O_DSYNC is durable when it is answered',
  async (t) => {
    const { ask, memory } = setUp()
    const data = Buffer.alloc(512)
    ask(FuseOpcode.Write, transfer(0, 512, { data }))
    t.equal(memory.flushes, 0)
    const openFlags = constants.O_WRONLY | constants.O_DSYNC
    t.equal(ask(FuseOpcode.Write, transfer(0, 512, { data, openFlags }))?.body.readUInt32LE(0), 512)
    t.equal(memory.flushes, 1)
    memory.fault = (kind) => (kind === 'flush' ? new Error('no') : null)
    const failed = ask(FuseOpcode.Write, transfer(0, 512, { data, openFlags }))
    t.equal(failed?.error, -os.errno.EIO)
  },
)

t.test('fsync flushes, and tells when it could not', async (t) => {
  const { ask, memory } = setUp()
  t.equal(ask(FuseOpcode.Fsync, Buffer.alloc(16))?.error, 0)
  t.equal(memory.flushes, 1)
  memory.fault = () => new Error('no')
  t.equal(ask(FuseOpcode.Fsync, Buffer.alloc(16))?.error, -os.errno.EIO)
  t.equal(ask(FuseOpcode.Read, transfer(0, 512))?.error, -os.errno.EIO)
})

t.test(
  'a hole or a range of zeros is made; blocks are there without being asked for',
  async (t) => {
    const { ask, memory } = setUp()
    const fallocate = (mode: number, offset: number, length: number) => {
      const body = Buffer.alloc(32)
      body.writeBigUInt64LE(BigInt(offset), 8)
      body.writeBigUInt64LE(BigInt(length), 16)
      body.writeUInt32LE(mode, 24)
      return ask(FuseOpcode.Fallocate, body)?.error
    }
    memory.bytes.fill(9)
    t.equal(fallocate(0x03, 512, 1024), 0)
    t.equal(fallocate(0x11, 4096, 512), 0)
    const wanted = Buffer.alloc(8192, 9).fill(0, 512, 1536).fill(0, 4096, 4608)
    t.ok(memory.bytes.equals(wanted))
    t.equal(fallocate(0, 0, 8192), 0)
    t.equal(fallocate(0, 8192, 512), -os.errno.ENOSPC)
    t.equal(fallocate(0x08, 0, 512), -os.errno.EOPNOTSUPP, 'nothing is cut out of a disk')
    t.ok(memory.bytes.equals(wanted))
  },
)

t.test('a read-only file is not opened for writing', async (t) => {
  const { ask } = setUp({ readOnly: true })
  t.equal(ask(FuseOpcode.Open, words(constants.O_RDONLY, 0))?.error, 0)
  t.equal(ask(FuseOpcode.Open, words(constants.O_RDWR, 0))?.error, -os.errno.EROFS)
  t.equal(ask(FuseOpcode.Open, words(constants.O_WRONLY, 0))?.error, -os.errno.EROFS)
  const mode = attributesLayout.decode(ask(FuseOpcode.Getattr)?.body as Buffer, 16).mode
  t.equal(mode, 0o100400)
})

t.test('the directory is listed in pieces as large as the kernel asks for', async (t) => {
  const { ask } = setUp()
  t.equal(ask(FuseOpcode.Opendir, words(0, 0), 1)?.error, 0)
  t.strictSame([...list(ask, 1)], ['.', '..', 'memory'])
})

t.test('what is removed while it is listed hides nothing else', async (t) => {
  const { ask, tree, memory } = setUp()
  for (const name of ['a', 'b', 'c']) tree.add(tree.root, name, new BlockFile(memory))
  const names: string[] = []
  for (const name of list(ask, 1)) {
    names.push(name)
    if (name === 'a') for (const gone of ['memory', 'a']) tree.remove(tree.root, gone)
  }
  t.strictSame(names, ['.', '..', 'memory', 'a', 'b', 'c'])
})

t.test('files in directories, and directories that are not listed', async (t) => {
  const { ask, tree, memory } = setUp()
  const server = new Directory()
  const hidden = new Directory({ listed: false })
  tree.add(tree.root, 'server', server)
  tree.add(tree.root, '.hidden', hidden)
  tree.add(server, 'disk', new BlockFile(memory))
  t.strictSame([...list(ask, 1)], ['.', '..', 'memory', 'server'])
  const found = ask(FuseOpcode.Lookup, Buffer.from('server\0'), 1)?.body as Buffer
  const inode = found.readUInt32LE(0)
  t.match(attributesLayout.decode(found, 40), { inode, mode: 0o40755 })
  t.strictSame([...list(ask, inode)], ['.', '..', 'disk'])
  t.equal(ask(FuseOpcode.Lookup, Buffer.from('disk\0'), inode)?.error, 0)
  t.equal(ask(FuseOpcode.Lookup, Buffer.from('.hidden\0'), 1)?.error, 0)
  t.equal(ask(FuseOpcode.Readdir, transfer(0, 512))?.error, -os.errno.ENOENT, 'of a file')
  t.equal(ask(FuseOpcode.Read, transfer(0, 512), inode)?.error, -os.errno.ENOENT)
})

t.test('who has a file open keeps it when its name is gone', async (t) => {
  const { ask, tree } = setUp()
  const look = () => ask(FuseOpcode.Lookup, Buffer.from('memory\0'), 1)
  for (const _ of [1, 2, 3]) t.equal(look()?.error, 0)
  tree.remove(tree.root, 'memory')
  t.equal(look()?.error, -os.errno.ENOENT)
  ask(FuseOpcode.Forget, words(1, 0))
  t.equal(ask(FuseOpcode.Read, transfer(0, 512))?.body.length, 512)
  // One node, looked up twice.
  ask(FuseOpcode.BatchForget, words(1, 0, FILE, 0, 2, 0))
  t.equal(ask(FuseOpcode.Read, transfer(0, 512))?.error, -os.errno.ENOENT)
})

t.test('nobody makes, moves or removes a file, or changes whose it is', async (t) => {
  const { ask } = setUp()
  const { Create, Mkdir, Mknod, Rename, Rename2, Rmdir, Symlink, Unlink, Link } = FuseOpcode
  for (const opcode of [Create, Mkdir, Mknod, Rename, Rename2, Rmdir, Symlink, Unlink, Link]) {
    t.equal(ask(opcode, Buffer.from('x\0'), 1)?.error, -os.errno.EPERM)
  }
  const setattr = (valid: number) => ask(FuseOpcode.Setattr, words(valid, ...Array(20).fill(0)))
  for (const valid of [1, 2, 4]) t.equal(setattr(valid)?.error, -os.errno.EPERM)
  const truncated = setattr(8)
  t.equal(truncated?.error, 0, 'a disk has the size it has')
  t.equal(attributesLayout.decode(truncated?.body as Buffer, 16).size, 8192)
})

t.test('space, and what needs no work or is not known', async (t) => {
  const { ask, kernel } = setUp()
  const space = statfsOutLayout.decode(ask(FuseOpcode.Statfs, undefined, 1)?.body as Buffer)
  t.match(space, { blocks: 2, blocksFree: 0, files: 1, blockSize: 4096, nameLengthMax: 255 })
  for (const opcode of [FuseOpcode.Release, FuseOpcode.Releasedir, FuseOpcode.Destroy]) {
    t.equal(ask(opcode, Buffer.alloc(24))?.error, 0)
  }
  ask(FuseOpcode.Forget, Buffer.alloc(8))
  ask(FuseOpcode.BatchForget, Buffer.alloc(8))
  t.equal(kernel.forgotten, 2)
  t.equal(kernel.answers.length, 0, 'the kernel wants no answer to those')
  for (const opcode of [36, 39, 46, 4096]) t.equal(ask(opcode)?.error, -os.errno.ENOSYS)
})

/** The names in a directory, asked for one by one. */
function* list(ask: ReturnType<typeof setUp>['ask'], nodeId: number): Iterable<string> {
  for (let offset = 0; ; ) {
    const body = ask(FuseOpcode.Readdir, transfer(offset, 32), nodeId)?.body as Buffer
    if (body.length === 0) return
    yield body.toString('utf8', 24, 24 + body.readUInt32LE(16))
    offset = Number(body.readBigUInt64LE(8))
  }
}
