import t from 'tap'
import { BlockError } from '../../src/block/block-error.ts'
import { BlockFile } from '../../src/fuse/block-file.ts'
import { Errno, errnoOf } from '../../src/fuse/errno.ts'
import { MemoryDevice } from '../support/memory-device.ts'

t.test('a file has the size of its device', async (t) => {
  const { file } = setUp()
  t.match(file, { sizeBytes: 1024, readOnly: false })
})

t.test('reads end with the file', async (t) => {
  const { memory, file } = setUp()
  memory.bytes.fill(7)
  const into = Buffer.alloc(2048)
  const read = (offset: number, length: number) => {
    const result = once((done) => file.read(offset, into, 0, length, done))
    while (memory.step());
    return result
  }
  t.equal(await read(0, 1024), 1024)
  t.equal(await read(512, 2048), 512)
  t.equal(await read(1024, 512), 0)
  t.equal(await read(4096, 512), 0)
})

t.test('writes end with the file too, and beyond it there is no space', async (t) => {
  const { memory, file } = setUp()
  const from = Buffer.alloc(2048, 9)
  const write = (offset: number, length: number) => {
    const result = once((done) => file.write(offset, from, 0, length, done))
    while (memory.step());
    return result
  }
  t.equal(await write(512, 2048), 512)
  t.equal(await write(1024, 512), Errno.NoSpace)
  t.equal(await write(4096, 1), Errno.NoSpace)
  t.equal(await write(1024, 0), 0)
  t.ok(memory.bytes.equals(Buffer.concat([Buffer.alloc(512), Buffer.alloc(512, 9)])))
})

t.test('zeros end with the file, as writes do', async (t) => {
  const { memory, file } = setUp()
  memory.bytes.fill(9)
  const zero = (offset: number, length: number) => {
    const result = once((done) => file.zero(offset, length, done))
    while (memory.step());
    return result
  }
  t.equal(await zero(512, 4096), 0)
  t.ok(memory.bytes.equals(Buffer.concat([Buffer.alloc(512, 9), Buffer.alloc(512)])))
  t.equal(await zero(1024, 512), Errno.NoSpace)
  memory.fault = () => new BlockError('EOPNOTSUPP', 'no')
  t.equal(await zero(0, 512), -95)
})

t.test('what the device could not do has an error number', async (t) => {
  const { memory, file } = setUp()
  memory.fault = (kind) => new BlockError(kind === 'write' ? 'EROFS' : 'EIO', kind)
  const buffer = Buffer.alloc(512)
  const results = [
    once((done) => file.read(0, buffer, 0, 512, done)),
    once((done) => file.write(0, buffer, 0, 512, done)),
    once((done) => file.flush(done)),
  ]
  while (memory.step());
  t.strictSame(await Promise.all(results), [Errno.InputOutput, Errno.ReadOnly, Errno.InputOutput])
})

t.test('a flush reaches the device', async (t) => {
  const { memory, file } = setUp()
  const flushed = once((done) => file.flush(done))
  memory.step()
  t.equal(await flushed, 0)
  t.equal(memory.flushes, 1)
})

t.test('error numbers are those of Linux', async (t) => {
  t.equal(errnoOf(new BlockError('EIO', '')), -5)
  t.equal(errnoOf(new BlockError('ENOSPC', '')), -28)
  t.equal(errnoOf(new BlockError('EROFS', '')), -30)
  t.equal(errnoOf(new BlockError('EBADE', '')), -52)
  t.equal(errnoOf(new Error('anything else')), -5)
})

function setUp() {
  const memory = new MemoryDevice(2, 512)
  return { memory, file: new BlockFile(memory) }
}

function once(start: (done: (result: number) => void) => void): Promise<number> {
  return new Promise((resolve) => start(resolve))
}
