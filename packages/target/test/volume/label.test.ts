import fs from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
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

/** The worked example of docs/volume-format.md. */
const example: Label = {
  arrayId: '6a1f0f5e-57c4-4a0e-9d3b-0c1d2e3f4a5b',
  arrayName: 'tank',
  level: 'raid0',
  memberCount: 4,
  memberNumber: 2,
  chunkSizeBytes: 64 * 1024,
  dataOffset: MIB,
  dataSizeBytes: 255 * MIB,
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

const labels: fc.Arbitrary<Label> = fc
  .record({
    arrayId: uuids,
    arrayName: names,
    level: fc.constant('raid0' as const),
    memberCount: fc.integer({ min: 1, max: 256 }),
    memberNumber: fc.nat({ max: 255 }),
    chunkSizeBytes: fc.integer({ min: 12, max: 24 }).map((bits) => 2 ** bits),
    dataOffset: fc.nat({ max: 1000 }).map((pages) => pages * 4096),
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
  .map(({ owned, ...rest }) => {
    const rowSizeBytes = rest.chunkSizeBytes * rest.memberCount
    let row = 0
    const partitions = owned.map(([id, name, gaps, blockFormat]) => {
      const extents = [1, ...gaps].map((rowCount) => {
        row += rowCount * 2
        return { startRow: row - rowCount, rowCount }
      })
      const rows = extents.reduce((sum, { rowCount }) => sum + rowCount, 0)
      return { id, name, sizeBytes: rows * rowSizeBytes - 4096, blockFormat, extents }
    })
    const sizes = partitions.filter(({ sizeBytes }) => sizeBytes > 0)
    return {
      ...rest,
      memberNumber: rest.memberNumber % rest.memberCount,
      dataSizeBytes: (row + 1) * rest.chunkSizeBytes,
      partitions: sizes,
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
  const length = labelLength(example.partitions)
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
        if (![1, 2].includes(bytes.readUInt32BE(8))) return false
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
  newer.writeUInt32BE(3, 8)
  t.equal(kindOf(newer), 'corrupt', 'a version that is not under the checksum is damage')
  t.equal(kindOf(withChecksum(newer)), 'newer-version')
})

/** The slot, with a checksum that is right again after a change. */
function withChecksum(slot: Buffer): Buffer {
  slot.writeUInt32BE(0, 16)
  slot.writeUInt32BE(crc32c(slot, 0, slot.readUInt32BE(12)), 16)
  return slot
}

t.test('a label of version 1 is read, its physical blocks being the logical ones', async (t) => {
  const slot = encodeLabel(example)
  slot.writeUInt32BE(1, 8)
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
    slot.writeUInt32BE(logical, 256 + 88)
    slot.writeUInt32BE(physical, 256 + 96)
    t.throws(() => decodeLabel(withChecksum(slot)), { kind: 'corrupt', message: /blocks of/ })
  }
})

t.test('fields that contradict each other are corrupt', async (t) => {
  const partition = example.partitions[0]!
  const rows = (startRow: number, rowCount: number) => ({ extents: [{ startRow, rowCount }] })
  const wrong: Partial<Label>[] = [
    { memberNumber: 4 },
    { memberCount: 0, memberNumber: 0 },
    { chunkSizeBytes: 12288 },
    { generation: 0 },
    { dataSizeBytes: 255 * MIB + 4096 },
    { dataOffset: 100 },
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
  const documented = Buffer.alloc(labelLength(example.partitions))
  let lines = 0
  for (const [, at, digits] of text.matchAll(/^([0-9a-f]{4}) {2}((?:[0-9a-f]{2} ?){16})/gm)) {
    documented.write(digits!.replaceAll(' ', ''), Number.parseInt(at!, 16), 'hex')
    lines++
  }
  t.equal(lines, 26)
  t.equal(documented.toString('hex'), slot.toString('hex', 0, documented.length), 'every byte')

  const address = /Byte (\d+) of `vol1` .* member (\d+): .* byte (\d+) of the disk/s.exec(text)!
  const [partitionByte, member, diskByte] = address.slice(1).map(Number)
  const rowSizeBytes = example.chunkSizeBytes * example.memberCount
  const extents = example.partitions[0]!.extents.map(({ startRow, rowCount }) => ({
    offset: startRow * rowSizeBytes,
    length: rowCount * rowSizeBytes,
  }))
  const partition = new ExtentCursor(extents)
  partition.seek(partitionByte!, 1)
  const stripe = new StripeCursor(example)
  stripe.seek(partition.below, 1)
  t.equal(stripe.member, member)
  t.equal(example.dataOffset + stripe.memberOffset, diskByte, 'the example of an address')
})
