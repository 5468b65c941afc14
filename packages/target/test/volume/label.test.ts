import fs from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { levels } from '../../src/volume/array-description.ts'
import { crc32c } from '../../src/volume/crc32c.ts'
import { ExtentCursor } from '../../src/volume/extent.ts'
import {
  decodeLabel,
  encodeLabel,
  LABEL_SLOT_BYTES,
  type Label,
  LabelError,
  labelLength,
} from '../../src/volume/label.ts'
import { LABEL_SLOT_OFFSETS, readLabel, writeLabel } from '../../src/volume/label-slots.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { StripeCursor } from '../../src/volume/stripe.ts'
import { writeAll } from './io.ts'

const MIB = 1024 * 1024

const none = { offset: 0, length: 0 }

/** The worked example of docs/volume-format.md. */
const example: Label = {
  arrayId: '6a1f0f5e-57c4-4a0e-9d3b-0c1d2e3f4a5b',
  arrayName: 'tank',
  level: 'raid0',
  members: [0, 1, 2, 3].map((number) => ({
    diskId: `d15c0000-0000-4000-8000-00000000000${number}`,
    state: 'in-sync',
    since: 1,
  })),
  memberNumber: 2,
  chunkSizeBytes: 64 * 1024,
  areas: {
    intents: none,
    checksums: none,
    journal: none,
    data: { offset: MIB, length: 255 * MIB },
  },
  regionSizeBytes: 0,
  generation: 7,
  state: 'ready',
  partitions: [
    {
      id: '0b7a9d52-3e44-4f6a-8c21-9f00aa11bb22',
      name: 'vol1',
      sizeBytes: 64 * MIB,
      blockFormat: '512e',
      extents: [
        { startRow: 0, rowCount: 128 },
        { startRow: 512, rowCount: 128 },
      ],
    },
  ],
}

const names = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
const uuids = fc.uuid()

const levelOf = { 1: 'raid0', 2: 'raid1', 3: 'raid5', 4: 'raid6', 5: 'raid5', 6: 'raid10' } as const

const labels: fc.Arbitrary<Label> = fc
  .record({
    arrayId: uuids,
    arrayName: names,
    members: fc.uniqueArray(
      fc.record(
        {
          diskId: uuids,
          state: fc.constantFrom('in-sync' as const, 'rebuilding' as const, 'absent' as const),
          since: fc.nat(),
        },
        { noNullPrototype: true },
      ),
      { minLength: 1, maxLength: 256, selector: ({ diskId }) => diskId },
    ),
    memberNumber: fc.nat({ max: 255 }),
    chunkSizeBytes: fc.integer({ min: 12, max: 24 }).map((bits) => 2 ** bits),
    pages: fc.tuple(fc.nat(1000), fc.nat(1000), fc.nat(1000), fc.nat(1000)),
    regionSizeBytes: fc.integer({ min: 16, max: 31 }).map((bits) => 2 ** bits),
    generation: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    state: fc.constantFrom('ready' as const, 'making' as const, 'destroyed' as const),
    owned: fc.uniqueArray(
      fc.tuple(
        uuids,
        names,
        fc.array(fc.integer({ min: 1, max: 99 })),
        fc.constantFrom('512' as const, '512e' as const, '4kn' as const),
      ),
      { maxLength: 20, comparator: (a, b) => a[0] === b[0] || a[1] === b[1] },
    ),
  })
  .map(({ owned, pages, ...rest }) => {
    const { members, chunkSizeBytes } = rest
    const level = levelOf[members.length as 1] ?? 'raid0'
    const rowSizeBytes = chunkSizeBytes * levels[level].dataMembers(members.length)
    let row = 0
    const partitions = owned.map(([id, name, gaps, blockFormat]) => {
      const extents = [1, ...gaps].map((rowCount) => {
        row += rowCount * 2
        return { startRow: row - rowCount, rowCount }
      })
      const rows = extents.reduce((sum, { rowCount }) => sum + rowCount, 0)
      return { id, name, sizeBytes: rows * rowSizeBytes - 4096, blockFormat, extents }
    })
    const [intents, checksums, journal, data] = pages.map((page) => page * 4096)
    return {
      ...rest,
      level,
      memberNumber: rest.memberNumber % members.length,
      areas: {
        intents: { offset: intents!, length: data! },
        checksums: { offset: checksums!, length: intents! },
        journal: { offset: journal!, length: checksums! },
        data: { offset: data!, length: (row + 1) * chunkSizeBytes },
      },
      partitions: partitions.filter(({ sizeBytes }) => sizeBytes > 0),
    }
  })

t.test('the checksum is CRC32C', async (t) => {
  t.equal(crc32c(Buffer.from('123456789'), 0, 9), 0xe3069283)
  // RFC 3720 appendix B.4
  t.equal(crc32c(Buffer.alloc(32), 0, 32), 0x8a9136aa)
  t.equal(crc32c(Buffer.alloc(32, 0xff), 0, 32), 0x62a8ab43)
})

t.test('what is encoded is decoded', async (t) => {
  const property = fc.property(labels, (label) => {
    const slot = encodeLabel(label)
    t.equal(slot.length, LABEL_SLOT_BYTES)
    t.strictSame(decodeLabel(slot), label)
  })
  fc.assert(property, { numRuns: 50 })
})

t.test('any damage to a label is found', async (t) => {
  const length = labelLength(example)
  for (let at = 0; at < length; at++) {
    const slot = encodeLabel(example)
    slot[at]! ^= 1 << (at % 8)
    t.throws(() => decodeLabel(slot), LabelError, `byte ${at}`)
  }
})

t.test('decoding throws nothing but LabelError, even if the checksum holds', async (t) => {
  const damage = fc.array(fc.tuple(fc.nat(500), fc.constantFrom(0, 1, 0x7f, 0xff)), {
    minLength: 1,
    maxLength: 12,
  })
  let refused = 0
  const property = fc.property(labels, damage, fc.nat(5000), (label, changes, cut) => {
    const slot = encodeLabel(label)
    for (const [at, value] of changes) if (at < 16 || at >= 20) slot[at] = value
    const length = slot.readUInt32BE(12)
    if (length <= slot.length) {
      slot.writeUInt32BE(0, 16)
      slot.writeUInt32BE(crc32c(slot, 0, length), 16)
    }
    for (const bytes of [slot, slot.subarray(0, cut)]) {
      try {
        const decoded = decodeLabel(bytes)
        // If it is taken for a label, then it is one.
        if (![1, 2, 3].includes(bytes.readUInt32BE(8))) return false
        encodeLabel(decoded)
      } catch (error) {
        if (!(error instanceof LabelError)) throw error
        refused++
      }
    }
    return true
  })
  fc.assert(property, { numRuns: 500 })
  t.ok(refused > 500, `${refused} refused`)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      t.throws(() => decodeLabel(Buffer.from(bytes)), LabelError)
    }),
  )
})

t.test('it says what is there instead of a label', async (t) => {
  const kindOf = (slot: Buffer) => {
    try {
      return decodeLabel(slot)
    } catch (error) {
      return (error as LabelError).kind
    }
  }
  t.equal(kindOf(Buffer.alloc(LABEL_SLOT_BYTES)), 'blank')
  t.equal(kindOf(Buffer.alloc(LABEL_SLOT_BYTES, 'ext4')), 'foreign')
  const newer = encodeLabel(example)
  newer.writeUInt32BE(4, 8)
  t.equal(kindOf(newer), 'corrupt', 'a version that is not under the checksum is damage')
  t.equal(kindOf(withChecksum(newer)), 'newer-version')
})

/** The slot, with a checksum that is right again after a change. */
function withChecksum(slot: Buffer): Buffer {
  slot.writeUInt32BE(0, 16)
  slot.writeUInt32BE(crc32c(slot, 0, slot.readUInt32BE(12)), 16)
  return slot
}

/** The slot as a former version would have it: without members and areas. */
function asVersion(version: number, slot: Buffer): Buffer {
  const length = slot.readUInt32BE(12)
  const membersEnd = 256 + 4 * 32
  slot.writeUInt32BE(version, 8)
  slot.fill(0, 152, 256)
  slot.copyWithin(256, membersEnd, length)
  slot.fill(0, length - 4 * 32, length)
  slot.writeUInt32BE(length - 4 * 32, 12)
  return slot
}

t.test('a label of version 2 is read, all its members being in sync', async (t) => {
  const label = decodeLabel(withChecksum(asVersion(2, encodeLabel(example))))
  const { members, ...rest } = label
  t.match(rest, { level: 'raid0', areas: example.areas, partitions: example.partitions })
  t.same(
    members.map(({ diskId, state, since }) => [diskId.slice(-4), state, since]),
    [
      ['4a5b', 'in-sync', 1],
      ['4a5a', 'in-sync', 1],
      ['4a59', 'in-sync', 1],
      ['4a58', 'in-sync', 1],
    ],
    'with ids that all of them find',
  )
  t.strictSame(decodeLabel(encodeLabel(label)), label, 'and is written as one of version 3')
})

t.test('a label of version 1 is read, its physical blocks being the logical ones', async (t) => {
  const slot = asVersion(1, encodeLabel(example))
  slot.writeUInt32BE(0, 256 + 96)
  t.match(decodeLabel(withChecksum(slot)).partitions, [{ name: 'vol1', blockFormat: '512' }])
  slot.writeUInt32BE(4096, 256 + 88)
  t.match(decodeLabel(withChecksum(slot)).partitions, [{ name: 'vol1', blockFormat: '4kn' }])
})

t.test('blocks of no known format are corrupt', async (t) => {
  for (const [logical, physical] of [
    [520, 520],
    [512, 8192],
    [4096, 512],
    [512, 0],
  ] as const) {
    const slot = encodeLabel(example)
    slot.writeUInt32BE(logical, 256 + 4 * 32 + 88)
    slot.writeUInt32BE(physical, 256 + 4 * 32 + 96)
    t.throws(() => decodeLabel(withChecksum(slot)), { kind: 'corrupt', message: /blocks of/ })
  }
})

t.test('fields that contradict each other are corrupt', async (t) => {
  const partition = example.partitions[0]!
  const rows = (startRow: number, rowCount: number) => ({ extents: [{ startRow, rowCount }] })
  const data = (offset: number, length: number) => ({
    areas: { ...example.areas, data: { offset, length } },
  })
  const [first, ...others] = example.members
  const wrong: Partial<Label>[] = [
    { memberNumber: 4 },
    { members: [], memberNumber: 0 },
    { members: [first!, first!, ...others] },
    { level: 'raid10', members: [first!, others[0]!, others[1]!] },
    { level: 'raid6', members: [first!, others[0]!, others[1]!] },
    { chunkSizeBytes: 12288 },
    { generation: 0 },
    data(MIB, 255 * MIB + 4096),
    data(MIB, 0),
    data(100, 255 * MIB),
    { areas: { ...example.areas, journal: { offset: 100, length: 0 } } },
    { arrayName: 'a/b' },
    { arrayName: '' },
    { partitions: [{ ...partition, name: '..' }] },
    { partitions: [{ ...partition, sizeBytes: 65 * MIB }] },
    { partitions: [{ ...partition, sizeBytes: 0 }] },
    { partitions: [{ ...partition, sizeBytes: 1000 }] },
    { partitions: [{ ...partition, sizeBytes: 1024 }] },
    { partitions: [{ ...partition, sizeBytes: 1024 + 256, blockFormat: '512' }] },
    { partitions: [{ ...partition, ...rows(4000, 256) }] },
    { partitions: [{ ...partition, ...rows(0, 0) }] },
    { partitions: [partition, partition] },
    { partitions: [partition, { ...partition, id: example.arrayId, name: 'other' }] },
  ]
  for (const fields of wrong) {
    const slot = encodeLabel({ ...example, ...fields })
    t.throws(
      () => decodeLabel(slot),
      { name: 'LabelError', kind: 'corrupt' },
      JSON.stringify(fields),
    )
  }
  t.throws(() => encodeLabel({ ...example, partitions: Array(500).fill(partition) }), RangeError)
})

t.test('the newer of two labels counts, and a torn one does not', async (t) => {
  const disk = new MemoryVolume('disk', 2 * MIB)
  await t.rejects(readLabel(disk), { name: 'LabelError', kind: 'blank' })
  await writeLabel(disk, { ...example, generation: 1 })
  await writeLabel(disk, { ...example, generation: 2 })
  await writeLabel(disk, { ...example, generation: 3 })
  t.equal((await readLabel(disk)).generation, 3)
  const [even, odd] = LABEL_SLOT_OFFSETS
  const partitions = ['a', 'b', 'c'].map((name, i) => ({
    ...example.partitions[0]!,
    id: `0b7a9d52-3e44-4f6a-8c21-9f00aa11bb2${i}`,
    name,
    extents: [{ startRow: i * 256, rowCount: 256 }],
  }))
  const fourth = encodeLabel({ ...example, generation: 4, partitions })
  await writeAll(disk, even, fourth.subarray(0, 512))
  t.equal((await readLabel(disk)).generation, 3, 'beside the beginning of the fourth')
  await writeAll(disk, odd, Buffer.alloc(512, 1))
  await t.rejects(readLabel(disk), { name: 'LabelError', kind: 'corrupt' })
  await writeAll(disk, odd, encodeLabel({ ...example, generation: 8 }))
  await writeAll(disk, even, encodeLabel({ ...example, generation: 7 }))
  await t.rejects(readLabel(disk), { kind: 'corrupt', message: /generation 7 in slot 0/ })
})

t.test('a label of a later version is not passed over for the one before it', async (t) => {
  const disk = new MemoryVolume('disk', 2 * MIB)
  await writeLabel(disk, { ...example, generation: 4 })
  const later = encodeLabel({ ...example, generation: 5 })
  later.writeUInt32BE(4, 8)
  await writeAll(disk, LABEL_SLOT_OFFSETS[1], withChecksum(later))
  await t.rejects(readLabel(disk), { name: 'LabelError', kind: 'newer-version' })
})

t.test('a disk too small for labels, or unreadable, is refused', async (t) => {
  await t.rejects(readLabel(new MemoryVolume('tiny', 64 * 1024)), { name: 'LabelError' })
  const closed = new MemoryVolume('closed', 2 * MIB)
  await closed.close()
  await t.rejects(readLabel(closed), { name: 'VolumeError' })
})

t.test('docs/volume-format.md tells the truth', async (t) => {
  const page = new URL('../../../../docs/volume-format.md', import.meta.url)
  const text = fs.readFileSync(page, 'utf8')
  const slot = encodeLabel(example)
  const documented = Buffer.alloc(labelLength(example))
  let lines = 0
  for (const [, at, digits] of text.matchAll(/^([0-9a-f]{4}) {2}((?:[0-9a-f]{2} ?){16})/gm)) {
    documented.write(digits!.replaceAll(' ', ''), Number.parseInt(at!, 16), 'hex')
    lines++
  }
  t.equal(lines, 34)
  t.equal(documented.toString('hex'), slot.toString('hex', 0, documented.length), 'every byte')

  const address = /Byte (\d+) of `vol1` .* member (\d+): .* byte (\d+) of the disk/s.exec(text)!
  const [partitionByte, member, diskByte] = address.slice(1).map(Number)
  const rowSizeBytes = example.chunkSizeBytes * example.members.length
  const extents = example.partitions[0]!.extents.map(({ startRow, rowCount }) => ({
    offset: startRow * rowSizeBytes,
    length: rowCount * rowSizeBytes,
  }))
  const partition = new ExtentCursor(extents)
  partition.seek(partitionByte!, 1)
  const stripe = new StripeCursor({ ...example, memberCount: example.members.length })
  stripe.seek(partition.below, 1)
  t.equal(stripe.member, member)
  t.equal(example.areas.data.offset + stripe.memberOffset, diskByte, 'the example of an address')
})
