import fc from 'fast-check'
import t from 'tap'
import { assembleArrays, createArray } from '../../src/volume/array.ts'
import type { DiskArray } from '../../src/volume/disk-array.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { LABEL_SLOT_OFFSETS, readLabel, writeLabel } from '../../src/volume/label-slots.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { io, readAll, writeAll } from './io.ts'
import { PowerCut, PowerCutVolume } from './power-cut.ts'

const MIB = 1024 * 1024
const CHUNK = 64 * 1024

function blankDisks(count: number, sizeBytes = 5 * MIB): MemoryVolume[] {
  return Array.from({ length: count }, (_, i) => new MemoryVolume(`disk${i}`, sizeBytes))
}

function create(disks: readonly Volume[], name = 'tank'): Promise<DiskArray> {
  return createArray({ name, level: 'raid0', chunkSizeBytes: CHUNK, disks })
}

async function assembleOne(disks: readonly Volume[]): Promise<DiskArray> {
  const { arrays, failed, unlabelled } = await assembleArrays(disks)
  if (arrays.length === 1 && failed.length + unlabelled.length === 0) return arrays[0]!
  throw new Error(`not one array: ${JSON.stringify([...failed, ...unlabelled])}`)
}

async function failure(disks: readonly Volume[]): Promise<string | undefined> {
  const { arrays, failed } = await assembleArrays(disks)
  return arrays.length === 0 && failed.length === 1 ? failed[0]!.reason : undefined
}

t.test(
  'an array and its partitions are found again, whatever the order of the disks',
  async (t) => {
    const disks = blankDisks(4)
    const made = await create(disks)
    t.equal(made.sizeBytes, 16 * MIB)
    t.equal(made.freeBytes, 16 * MIB)
    await made.createPartition({ name: 'one', sizeBytes: 3 * MIB })
    await made.createPartition({ name: 'two', sizeBytes: MIB + 4096, blockSizeBytes: 4096 })
    t.equal(made.freeBytes, 16 * MIB - 3 * MIB - 5 * 4 * CHUNK, 'whole rows are taken')
    const one = made.openPartition('one')
    t.equal(one.name, 'tank/one')
    const data = Buffer.alloc(3 * MIB, 0).map((_, i) => (i >> 12) & 0xff) as Buffer
    await writeAll(one, 0, data)
    await made.close()
    for (const order of [
      [3, 1, 0, 2],
      [2, 3, 1, 0],
    ]) {
      const found = await assembleOne(order.map((number) => disks[number]!))
      t.strictSame(
        found.disks.map((disk) => disk.name),
        ['disk0', 'disk1', 'disk2', 'disk3'],
      )
      t.equal(found.id, made.id)
      t.strictSame(found.partitions, made.partitions)
      t.ok((await readAll(found.openPartition('one'), 0, 3 * MIB)).equals(data))
      t.equal(found.openPartition('two').sizeBytes, MIB + 4096)
      await found.close()
    }
  },
)

t.test('several arrays are told apart, and disks in none are named', async (t) => {
  const [a, b] = [blankDisks(2), blankDisks(3)]
  await create(a, 'a')
  await create(b, 'b')
  const blank = new MemoryVolume('blank', 2 * MIB)
  const foreign = new MemoryVolume('foreign', 2 * MIB)
  await writeAll(foreign, 0, Buffer.alloc(4096, 'somebody else'))
  const broken = new FaultVolume(new MemoryVolume('broken', 2 * MIB))
  broken.failNext('read')
  const found = await assembleArrays([b[1]!, foreign, a[1]!, blank, b[2]!, a[0]!, broken, b[0]!])
  t.strictSame(found.arrays.map((array) => array.name).sort(), ['a', 'b'])
  t.strictSame(
    found.unlabelled.map(({ disk, kind }) => [disk.name, kind]),
    [
      ['foreign', 'foreign'],
      ['blank', 'blank'],
      ['broken', 'unreadable'],
    ],
  )
  t.equal(found.failed.length, 0)
})

t.test('an array is refused with the reason if a disk of it is not as it should be', async (t) => {
  const fresh = async (): Promise<[Volume, Volume, Volume]> => {
    const disks = blankDisks(3)
    await create(disks)
    return [disks[0]!, disks[1]!, disks[2]!]
  }
  let [d0, d1, d2] = await fresh()
  t.equal(await failure([d0, d2]), '1 of its 3 disks missing: member 1')
  const copy = new MemoryVolume('copy', 5 * MIB)
  await writeAll(copy, 0, await readAll(d1, 0, 5 * MIB))
  t.match(await failure([d0, d1, d2, copy]), /disk1 and copy are both member 1/)

  await writeAll(d1, LABEL_SLOT_OFFSETS[0], Buffer.alloc(4096, 1))
  t.equal(await failure([d0, d1, d2]), undefined, 'one label of two is enough')
  ;[d0, d1, d2] = await fresh()
  const label = await readLabel(d0)
  for (const offset of LABEL_SLOT_OFFSETS) {
    const first = await readAll(d1, offset, 512)
    await writeAll(d1, offset, first.fill(5, 100))
  }
  const found = await assembleArrays([d0, d1, d2])
  t.match(found.failed[0]?.reason, /member 1/)
  t.strictSame(
    found.failed[0]?.disks.map((disk) => disk?.name ?? null),
    ['disk0', null, 'disk2'],
  )
  t.match(found.unlabelled, [{ kind: 'corrupt', reason: /its label is corrupt: checksum 0x/ }])

  await writeAll(d1, 0, Buffer.alloc(MIB))
  await writeLabel(d1, { ...label, memberNumber: 1, chunkSizeBytes: 2 * CHUNK })
  t.match(await failure([d0, d1, d2]), /describe the array differently/)
  await writeLabel(d1, { ...label, memberNumber: 1 })
  await writeLabel(d0, { ...label, generation: label.generation + 1 })
  await writeLabel(d0, { ...label, generation: label.generation + 2 })
  t.match(await failure([d0, d1, d2]), /disk1 is out of date: its label has generation 2, .* 4/)

  const small = new MemoryVolume('small', 3 * MIB)
  const [e0, e1] = blankDisks(2)
  await create([e0!, e1!])
  await writeAll(small, 0, await readAll(e1!, 0, 3 * MIB))
  t.match(await failure([e0!, small]), /small has 3145728 bytes, the array uses 5242880 of it/)
})

t.test('createArray takes blank disks only, and sensible wishes', async (t) => {
  const disks = blankDisks(2)
  const wish = { name: 'tank', level: 'raid0', chunkSizeBytes: CHUNK, disks } as const
  const invalid = { name: 'ArrayError', code: 'invalid-request' }
  await t.rejects(createArray({ ...wish, name: 'a/b' }), invalid)
  await t.rejects(createArray({ ...wish, chunkSizeBytes: 100_000 }), invalid)
  await t.rejects(createArray({ ...wish, disks: [] }), invalid)
  await t.rejects(createArray({ ...wish, disks: [disks[0]!, disks[0]!] }), invalid)
  await t.rejects(createArray({ ...wish, level: 'raid9' as 'raid0' }), invalid)
  await t.rejects(createArray({ ...wish, disks: blankDisks(2, MIB) }), invalid)
  t.strictSame(
    (await assembleArrays(disks)).unlabelled.map(({ kind }) => kind),
    ['blank', 'blank'],
  )

  await writeAll(disks[1]!, 1024, Buffer.alloc(1024, 'ext4'))
  await t.rejects(createArray(wish), { code: 'in-use', message: /disk1 is not blank/ })
  await writeAll(disks[1]!, 1024, Buffer.alloc(1024))
  await writeAll(disks[1]!, 256 * 1024, Buffer.alloc(512, 1))
  await t.rejects(createArray(wish), { code: 'in-use', message: /data in its first MiB/ })
  await writeAll(disks[1]!, 256 * 1024, Buffer.alloc(512))
  await createArray(wish)
  await t.rejects(createArray(wish), { code: 'in-use', message: /disk0 belongs to array tank/ })
})

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
  await array.growPartition('a', 3 * MIB + 512)
  t.strictSame(array.partition('a').extents, [{ startRow: 0, rowCount: 25 }])
  t.equal(array.partition('a').sizeBytes, 3 * MIB + 512)
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

/** Runs `change` on disks like these with the power cut after every number of operations in turn. */
async function cutEverywhere(
  before: () => Promise<MemoryVolume[]>,
  change: (disks: readonly Volume[]) => Promise<unknown>,
  check: (disks: MemoryVolume[], completed: boolean, cutAt: number) => Promise<void>,
): Promise<number> {
  for (let cutAt = 0; ; cutAt++) {
    let seed = cutAt * 7919 + 1
    const random = () => {
      seed = (seed * 48271) % 2147483647
      return seed / 2147483647
    }
    const cut = new PowerCut(cutAt, random)
    const disks = (await before()).map((disk) => new PowerCutVolume(disk, cut))
    const completed = await change(disks).then(
      () => true,
      () => false,
    )
    await check(
      disks.map((disk) => disk.afterCut()),
      completed,
      cutAt,
    )
    if (!cut.isCut) return cutAt
  }
}

t.test('power cut anywhere while a table changes leaves the old or the new one', async (t) => {
  const table = (array: DiskArray) =>
    array.partitions.map(({ name, sizeBytes }) => [name, sizeBytes])
  const old = [['a', MIB]]
  const before = async () => {
    const disks = blankDisks(3, 2 * MIB)
    const array = await create(disks)
    await array.createPartition({ name: 'a', sizeBytes: MIB })
    await writeAll(array.openPartition('a'), 0, Buffer.alloc(MIB, 0xaa))
    return disks
  }
  const changes: [string, (array: DiskArray) => Promise<unknown>, unknown][] = [
    [
      'create',
      (array) => array.createPartition({ name: 'b', sizeBytes: MIB }),
      [...old, ['b', MIB]],
    ],
    ['grow', (array) => array.growPartition('a', 2 * MIB), [['a', 2 * MIB]]],
    ['delete', (array) => array.deletePartition('a'), []],
  ]
  for (const [name, change, changed] of changes) {
    const ends = await cutEverywhere(
      before,
      async (disks) => change(await assembleOne(disks)),
      async (disks, completed, cutAt) => {
        // Cut again while the labels are brought up to date, then look.
        const again = new PowerCut(cutAt % 5, () => 0.5)
        const unlucky = disks.map((disk) => new PowerCutVolume(disk, again))
        await assembleArrays(unlucky)
        const array = await assembleOne(unlucky.map((disk) => disk.afterCut()))
        const found = table(array)
        const expected =
          completed || JSON.stringify(found) === JSON.stringify(changed) ? changed : old
        t.strictSame(found, expected, `${name} cut after ${cutAt} operations`)
        const generations = await Promise.all(
          disks.map(async (disk) => (await readLabel(disk)).generation),
        )
        t.equal(new Set(generations).size, 1, 'and all disks agree')
        for (const { name, sizeBytes } of array.partitions) {
          const bytes = await readAll(array.openPartition(name), 0, sizeBytes)
          const own = Buffer.alloc(sizeBytes)
          if (name === 'a') own.fill(0xaa, 0, MIB)
          t.ok(bytes.equals(own), `${name} holds its own bytes, and zeros`)
        }
        await array.createPartition({ name: 'later', sizeBytes: 512 })
      },
    )
    t.ok(ends >= 6, `${name} takes ${ends} operations`)
  }
})

t.test(
  'power cut anywhere while an array is made leaves it whole, or disks to use again',
  async (t) => {
    const ends = await cutEverywhere(
      async () => blankDisks(2, 2 * MIB),
      (disks) => create(disks),
      async (disks, completed, cutAt) => {
        const { arrays, failed, unlabelled } = await assembleArrays(disks)
        t.strictSame(failed, [], `cut after ${cutAt} operations`)
        t.equal(arrays.length, unlabelled.length === 0 ? 1 : 0)
        if (completed) t.equal(arrays.length, 1)
        if (arrays.length === 0) await create(disks)
        await assembleOne(disks)
      },
    )
    t.ok(ends > 10)
  },
)

t.test('power cut anywhere while an array is destroyed leaves it whole, or none', async (t) => {
  await cutEverywhere(
    async () => {
      const disks = blankDisks(2, 2 * MIB)
      await create(disks)
      return disks
    },
    async (disks) => (await assembleOne(disks)).destroy(),
    async (disks, completed, cutAt) => {
      const { arrays, failed, unlabelled } = await assembleArrays(disks)
      t.strictSame(failed, [], `cut after ${cutAt} operations`)
      t.equal(arrays.length, unlabelled.length === 0 ? 1 : 0)
      if (completed) t.equal(unlabelled.length, 2)
    },
  )
})

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
