import fc from 'fast-check'
import t from 'tap'
import { createArray } from '../../src/volume/array.ts'
import { assembleArrays } from '../../src/volume/assembly.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { assembleOne, blankDisks, create, MIB } from './arrays.ts'
import { io, readAll, runsOf, writeAll } from './io.ts'

t.test('partitions are made, grown, renamed and deleted', async (t) => {
  const array = await create(blankDisks(4))
  const id = 'c1b5a3f0-1111-4222-8333-444455556666'
  t.equal((await array.createPartition({ name: 'a', sizeBytes: 4 * MIB, id })).id, id)
  await array.createPartition({ name: 'b', sizeBytes: 4 * MIB })
  const refused = (code: string) => ({ name: 'ArrayError', code })
  await t.rejects(array.createPartition({ name: 'a', sizeBytes: MIB }), refused('already-exists'))
  await t.rejects(
    array.createPartition({ name: 'z', sizeBytes: MIB, id }),
    refused('already-exists'),
  )
  await t.rejects(array.createPartition({ name: '', sizeBytes: MIB }), refused('invalid-request'))
  await t.rejects(array.createPartition({ name: 'c', sizeBytes: 100 }), refused('invalid-request'))
  await t.rejects(array.createPartition({ name: 'c', sizeBytes: 9 * MIB }), refused('no-space'))
  await t.rejects(array.growPartition('c', MIB), refused('not-found'))
  await t.rejects(array.growPartition('a', MIB), refused('invalid-request'))
  await t.rejects(array.renamePartition('a', 'b'), refused('already-exists'))
  t.strictSame(
    array.partitions.map(({ name }) => name),
    ['a', 'b'],
    'nothing was changed',
  )

  const a = array.openPartition('a')
  t.throws(() => array.openPartition('a'), refused('in-use'))
  await t.rejects(array.deletePartition('a'), refused('in-use'))
  await writeAll(a, 0, Buffer.alloc(4 * MIB, 7))
  await array.growPartition('a', 8 * MIB)
  t.equal(a.sizeBytes, 8 * MIB, 'while it is open')
  t.equal(array.partition('a').extents.length, 2, 'around its neighbour')
  await writeAll(a, 4 * MIB - 4096, Buffer.alloc(8192, 8))
  const seam = await readAll(a, 4 * MIB - 8192, 16384)
  t.strictSame([seam[4095], seam[4096], seam[12287], seam[12288]], [7, 8, 8, 0])
  await array.renamePartition('a', 'c')
  t.equal(a.name, 'tank/c')
  await a.close()
  await t.rejects(readAll(a, 0, 512), /closed/)
  t.notOk(a.readNow(0, Buffer.alloc(512), 0, 512))
  await array.deletePartition('c')
  t.equal(array.freeBytes, 12 * MIB)
  await array.growPartition('b', 16 * MIB)
  t.equal(array.freeBytes, 0)
  await array.deletePartition('b')
  await array.destroy()
  await t.rejects(array.createPartition({ name: 'a', sizeBytes: MIB }), /destroyed/)
  t.strictSame(
    (await assembleArrays(array.disks)).unlabelled.map(({ kind }) => kind),
    Array(4).fill('blank'),
  )
})

t.test('growing goes on next door while there is room, and stays one extent', async (t) => {
  const array = await create(blankDisks(2))
  await array.createPartition({ name: 'a', sizeBytes: MIB })
  await array.growPartition('a', 3 * MIB)
  await array.growPartition('a', 3 * MIB + 4096)
  t.strictSame(array.partition('a').extents, [{ startRow: 0, rowCount: 25 }])
  t.equal(array.partition('a').sizeBytes, 3 * MIB + 4096)
})

t.test('a new partition never shows what another one held', async (t) => {
  const array = await create(blankDisks(3))
  for (const round of [1, 2, 3]) {
    await array.createPartition({ name: 'p', sizeBytes: 4 * MIB })
    const volume = array.openPartition('p')
    t.ok((await readAll(volume, 0, 4 * MIB)).equals(Buffer.alloc(4 * MIB)))
    await writeAll(volume, 0, Buffer.alloc(4 * MIB, round))
    await array.growPartition('p', 8 * MIB)
    t.ok((await readAll(volume, 4 * MIB, 4 * MIB)).equals(Buffer.alloc(4 * MIB)))
    await writeAll(volume, 4 * MIB, Buffer.alloc(4 * MIB, round))
    await volume.close()
    await array.deletePartition('p')
  }
  const faults = blankDisks(2).map((disk) => new FaultVolume(disk))
  const failing = await create(faults)
  faults[1]!.failNext('discard')
  const partition = { name: 'p', sizeBytes: MIB }
  await t.rejects(failing.createPartition(partition), { code: 'storage-failed' })
  t.equal(failing.partitions.length, 0)
  await failing.createPartition(partition)
})

t.test('changes asked for at once are made one after another', async (t) => {
  const array = await create(blankDisks(2))
  const wishes = Array.from({ length: 9 }, (_, i) =>
    array.createPartition({ name: `p${i}`, sizeBytes: MIB }),
  )
  const outcomes = await Promise.allSettled(wishes)
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 8, 'as many as fit')
  t.equal(array.generation, 2 + 8)
  t.strictSame((await assembleOne(array.disks)).partitions, array.partitions)
})

t.test('a table that outgrows its slot is refused', async (t) => {
  const disk = new MemoryVolume('wide', 64 * MIB)
  const array = await createArray({
    name: 'w',
    level: 'raid0',
    chunkSizeBytes: 4096,
    disks: [disk],
  })
  let made = 0
  const more = async () => {
    for (;;) {
      await array.createPartition({ name: `p${made}`, sizeBytes: 4096 })
      made++
    }
  }
  await t.rejects(more(), { code: 'no-space', message: /partition table of array w is full/ })
  t.equal(made, 453)
  t.equal((await assembleOne([disk])).partitions.length, made)
})

t.test(
  'after a label write failed, no change is taken until the array is assembled anew',
  async (t) => {
    for (const op of ['write', 'flush'] as const) {
      for (let failing = 0; failing < 3; failing++) {
        const disks = blankDisks(3).map((disk) => new FaultVolume(disk))
        const array = await create(disks)
        await array.createPartition({ name: 'a', sizeBytes: MIB })
        disks[failing]!.failNext(op, { tornAtBytes: 512 })
        const error = { code: 'storage-failed', message: /did not reach all its disks/ }
        await t.rejects(array.renamePartition('a', 'b'), error)
        await t.rejects(array.renamePartition('a', 'c'), error)
        t.equal(array.partitions[0]!.name, 'a')
        await array.close()
        const again = await assembleOne(disks)
        t.equal(again.partitions[0]!.name, 'b', 'some disks have it, so it counts')
        await again.renamePartition('b', 'd')
        t.equal((await assembleOne(disks)).partitions[0]!.name, 'd')
      }
    }
  },
)

t.test('a partition of many extents behaves as one plain array of bytes', async (t) => {
  const array = await createArray({
    name: 'frag',
    level: 'raid0',
    chunkSizeBytes: 4096,
    disks: blankDisks(3, MIB + 20 * 4096),
  })
  const row = 3 * 4096
  for (let i = 0; i < 20; i++) await array.createPartition({ name: `p${i}`, sizeBytes: row })
  for (let i = 1; i < 20; i += 2) await array.deletePartition(`p${i}`)
  await array.createPartition({ name: 'all', sizeBytes: 10 * row })
  t.equal(array.partition('all').extents.length, 10)
  const volume = array.openPartition('all')
  const model = Buffer.alloc(volume.sizeBytes)
  const step = fc.record({
    op: fc.constantFrom('readNow', 'writeNow', 'read', 'write', 'discard'),
    block: fc.nat({ max: 240 }),
    blocks: fc.nat({ max: 90 }),
    fill: fc.integer({ min: 1, max: 255 }),
  })
  const property = fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
    for (const { op, block, blocks, fill } of steps) {
      const offset = block * 512
      const length = Math.min(blocks * 512, volume.sizeBytes - offset)
      const buffer = Buffer.alloc(3 + length + 5, fill)
      if (op === 'writeNow' || op === 'write') {
        if (op === 'write') await io((done) => volume.write(offset, buffer, 3, length, done))
        else if (!volume.writeNow(offset, buffer, 3, length)) throw new Error('writeNow')
        model.fill(fill, offset, offset + length)
      } else if (op === 'discard') {
        await io((done) => volume.discard(offset, length, done))
        model.fill(0, offset, offset + length)
      } else {
        if (op === 'read') await io((done) => volume.read(offset, buffer, 3, length, done))
        else if (!volume.readNow(offset, buffer, 3, length)) throw new Error('readNow')
        const expected = Buffer.alloc(buffer.length, fill)
        model.copy(expected, 3, offset, offset + length)
        if (!buffer.equals(expected)) throw new Error(`${op} of ${length} at ${offset} differs`)
      }
    }
  })
  await fc.assert(property, { numRuns: 100 })
  for (let i = 0; i < 20; i += 2) {
    const other = await readAll(array.openPartition(`p${i}`), 0, row)
    t.ok(
      other.every((byte) => byte === 0),
      'and keeps to its own',
    )
  }
})

t.test('closing a partition waits for what is in flight', async (t) => {
  const array = await create(blankDisks(2))
  await array.createPartition({ name: 'p', sizeBytes: MIB })
  const volume = array.openPartition('p')
  const order: string[] = []
  const write = writeAll(volume, 0, Buffer.alloc(MIB, 1)).then(() => order.push('written'))
  const flush = io((done) => volume.flush(done)).then(() => order.push('flushed'))
  await array.close().then(() => order.push('closed'))
  await Promise.all([write, flush])
  t.equal(order.at(-1), 'closed')
  t.throws(() => array.openPartition('p'), /closed/)
})

t.test('the holes of a partition go on from extent to extent', async (t) => {
  const array = await create(blankDisks(4))
  await array.createPartition({ name: 'a', sizeBytes: 4 * MIB })
  await array.createPartition({ name: 'b', sizeBytes: 4 * MIB })
  await array.growPartition('a', 8 * MIB)
  t.equal(array.partition('a').extents.length, 2)
  const [a, b] = [array.openPartition('a'), array.openPartition('b')]
  for (const part of [a, b]) await io((done) => part.discard(0, part.sizeBytes, done))
  await writeAll(b, 0, Buffer.alloc(4 * MIB, 9))
  t.same(await runsOf(a, 0, 8 * MIB), [{ isHole: true, length: 8 * MIB }], 'none but its own')
  await writeAll(a, 3 * MIB, Buffer.alloc(2 * MIB, 7))
  const runs = [
    { isHole: true, length: 3 * MIB },
    { isHole: false, length: 2 * MIB },
    { isHole: true, length: 3 * MIB },
  ]
  t.same(await runsOf(a, 0, 8 * MIB), runs)
  t.same(await runsOf(a, 0, 8 * MIB, 1), runs.slice(0, 1))
  await Promise.all([a.close(), b.close()])
  await t.rejects(runsOf(a, 0, 512), { op: 'locate', message: /the partition is closed/ })
})
