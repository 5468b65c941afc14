import fc from 'fast-check'
import t from 'tap'
import { blockEnd, blockStart, partialBlocks } from '../../src/block/unaligned.ts'
import { UnalignedDevice } from '../../src/block/unaligned-device.ts'
import { MemoryDevice } from '../support/memory-device.ts'

const BLOCK = 16

t.test('blocks that are covered in part are those at the edges', async (t) => {
  t.strictSame(partialBlocks(0, 16, BLOCK), [])
  t.strictSame(partialBlocks(16, 48, BLOCK), [])
  t.strictSame(partialBlocks(3, 5, BLOCK), [0])
  t.strictSame(partialBlocks(0, 5, BLOCK), [0])
  t.strictSame(partialBlocks(19, 13, BLOCK), [16])
  t.strictSame(partialBlocks(19, 14, BLOCK), [16, 32])
  t.strictSame(partialBlocks(16, 17, BLOCK), [32])
  t.equal(blockStart(47, BLOCK), 32)
  t.equal(blockEnd(48, BLOCK), 48)
  t.equal(blockEnd(49, BLOCK), 64)
})

t.test('aligned transfers pass through, without a read or a copy', async (t) => {
  const { memory, device } = setUp()
  const from = Buffer.alloc(2 * BLOCK, 7)
  const written = writing(device, 32, from)
  t.equal(memory.pending.length, 1)
  memory.step()
  t.equal(await written, null)
  t.ok(memory.bytes.subarray(32, 64).equals(from))
})

t.test('a write within a block keeps the bytes beside it', async (t) => {
  const { memory, device } = setUp()
  memory.bytes.fill(1)
  const written = writing(device, 5, Buffer.alloc(3, 9))
  while (memory.step());
  t.equal(await written, null)
  t.equal(memory.bytes.toString('hex', 4, 9), '0109090901')
})

t.test('writers of both halves of a block both keep their bytes', async (t) => {
  const { memory, device } = setUp()
  const left = writing(device, 0, Buffer.alloc(8, 1))
  const right = writing(device, 8, Buffer.alloc(8, 2))
  while (memory.step(1));
  t.strictSame(await Promise.all([left, right]), [null, null])
  t.equal(memory.bytes.toString('hex', 0, 16), `${'01'.repeat(8)}${'02'.repeat(8)}`)
})

t.test('a read before a write that fails leaves the blocks as they were', async (t) => {
  const { memory, device } = setUp()
  const bad = new Error('bad')
  memory.fault = (kind, offset) => (kind === 'read' && offset === 32 ? bad : null)
  const failing = writing(device, 5, Buffer.alloc(30, 1))
  while (memory.step());
  t.equal(await failing, bad)
  t.ok(memory.bytes.equals(Buffer.alloc(memory.bytes.length)))
  // The lock is free again.
  memory.fault = () => null
  const next = writing(device, 6, Buffer.alloc(2, 1))
  while (memory.step());
  t.equal(await next, null)
})

t.test('a write that fails is told, and the next one goes on', async (t) => {
  const { memory, device } = setUp()
  const bad = new Error('bad')
  memory.fault = (kind) => (kind === 'write' ? bad : null)
  const failing = writing(device, 0, Buffer.alloc(16, 1))
  const next = writing(device, 0, Buffer.alloc(16, 2))
  memory.step()
  t.equal(await failing, bad)
  memory.fault = () => null
  memory.step()
  t.equal(await next, null)
})

t.test('nothing beyond the end is begun', async (t) => {
  const { memory, device } = setUp()
  const end = memory.bytes.length
  t.throws(() => device.read(end - 1, Buffer.alloc(2), 0, 2, () => {}), RangeError)
  t.throws(() => device.write(end - 1, Buffer.alloc(2), 0, 2, () => {}), RangeError)
  t.throws(() => device.write(-1, Buffer.alloc(2), 0, 2, () => {}), RangeError)
  t.equal(memory.pending.length, 0)
})

t.test('nothing at all is done at once, but later', async (t) => {
  const { device } = setUp()
  let called = false
  device.write(3, Buffer.alloc(0), 0, 0, () => {
    called = true
  })
  t.notOk(called)
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(called)
})

t.test('it behaves as one plain array of bytes, whatever the order below', async (t) => {
  const operation = fc.record({
    kind: fc.constantFrom('read' as const, 'write' as const, 'zero' as const),
    offset: fc.nat(16 * BLOCK - 1),
    length: fc.integer({ min: 1, max: 5 * BLOCK }),
    fill: fc.integer({ min: 1, max: 255 }),
    steps: fc.array(fc.nat(7), { maxLength: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
      const { memory, device } = setUp()
      const model = Buffer.alloc(memory.bytes.length)
      const writes: Promise<Error | null>[] = []
      for (const { kind, offset, length, fill, steps } of operations) {
        const count = Math.min(length, model.length - offset)
        if (kind === 'write') {
          writes.push(writing(device, offset, Buffer.alloc(count, fill)))
          model.fill(fill, offset, offset + count)
        } else if (kind === 'zero') {
          writes.push(new Promise((done) => device.zero(offset, count, done)))
          model.fill(0, offset, offset + count)
        } else {
          while (memory.step());
          const into = Buffer.alloc(count + 2, 0xee)
          const read = new Promise<Error | null>((done) => {
            device.read(offset, into, 1, count, done)
          })
          while (memory.step());
          if ((await read) !== null) throw new Error('the read failed')
          if (!into.subarray(1, -1).equals(model.subarray(offset, offset + count))) {
            throw new Error(`other bytes at ${offset}`)
          }
          if (into[0] !== 0xee || into.at(-1) !== 0xee) throw new Error('beyond the buffer')
        }
        for (const step of steps) memory.step(step)
      }
      for (let index = 0; memory.step(index); index += 3);
      const errors = await Promise.all(writes)
      if (errors.some((error) => error !== null)) throw new Error('a write failed')
      if (!memory.bytes.equals(model)) throw new Error('other bytes in the end')
    }),
  )
  t.pass('in all orders tried')
})

function setUp() {
  const memory = new MemoryDevice(16, BLOCK)
  return { memory, device: new UnalignedDevice(memory) }
}

function writing(device: UnalignedDevice, offset: number, from: Buffer): Promise<Error | null> {
  return new Promise((resolve) => device.write(offset, from, 0, from.length, resolve))
}
