import t from 'tap'
import { createArray } from '../../src/volume/array.ts'
import { assembleArrays } from '../../src/volume/assembly.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { LABEL_SLOT_OFFSETS, readLabel, writeLabel } from '../../src/volume/label-slots.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import type { Volume } from '../../src/volume/volume.ts'
import { assembleOne, blankDisks, CHUNK, create, MIB } from './arrays.ts'
import { readAll, writeAll } from './io.ts'

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
    await made.createPartition({ name: 'two', sizeBytes: MIB + 4096, blockFormat: '4kn' })
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
