import { readFileSync } from 'node:fs'
import t from 'tap'
import { assembleOne, MIB } from '../arrays.ts'
import { readAll } from '../io.ts'
import { openByHand, placeOf } from './array.ts'
import { crc32c } from './crc32c.ts'
import { disksOf, imagesOf, noise } from './disks.ts'
import { type Label, labelOf } from './label.ts'
import { restoreRow, rowLayout } from './parity.ts'

const CHUNK_BYTES = 8192
const PARTITION_BYTES = 100 * 1024

t.test('the worked example of the document is what it says', (t) => {
  const disk = Buffer.alloc(MIB)
  exampleBytes().copy(disk, 512 * 1024)
  const label = labelOf(disk) as Label
  t.match(label, {
    generation: 7,
    arrayId: '6a1f0f5e57c44a0e9d3b0c1d2e3f4a5b',
    arrayName: 'tank',
    level: 0,
    memberNumber: 2,
    chunkSize: 65536,
    dataSize: 255 * MIB,
    state: 'ready',
  })
  t.strictSame(label.members[2], {
    diskId: 'd15c0000000040008000000000000002',
    state: 'in sync',
    since: 1,
  })
  t.match(label.partitions, [{ name: 'vol1', size: 64 * MIB, physicalBlockSize: 4096 }])
  t.strictSame(label.partitions[0]?.extents, [
    { startRow: 0, rowCount: 128 },
    { startRow: 512, rowCount: 128 },
  ])

  // Byte 42043040 of vol1 is byte 142706336 of the array.
  const { row, holders } = placeOf(label, Math.floor(142706336 / label.chunkSize))
  t.strictSame([row, holders], [544, [1]])
  t.equal(label.dataOffset + row * label.chunkSize + (142706336 % label.chunkSize), 36734624)

  exampleBytes().copy(disk, 0)
  disk.fill(0, 512 * 1024)
  t.equal(labelOf(disk), undefined, 'an odd generation does not belong into slot 0')
  t.end()
})

t.test('the row of RAID 6 in the document is what it says', (t) => {
  const layout = rowLayout(5, 2, 7)
  t.strictSame(layout, { p: 2, q: 3, data: [4, 0, 1] })
  const row = [0x8e, 0x01, 0x9b, 0x11, 0x14].map((byte) => Buffer.of(byte))
  for (const lost of [[4], [0, 4], [1, 4], [2, 4], [3, 4], [2, 3], [0, 1]]) {
    const there = row.map((bytes, member) => (lost.includes(member) ? undefined : bytes))
    t.strictSame(restoreRow(layout, there, 1), row, `without members ${lost}`)
  }
  t.equal(crc32c(Buffer.alloc(4096)), 0x98f94189)
  t.end()
})

t.test('labels of versions 1 and 2 are read, as the server does', async (t) => {
  for (const version of [1, 2]) {
    const content = noise(PARTITION_BYTES, version)
    const disks = oldDisks(version, content)
    const array = openByHand([...disks].reverse(), 'old')
    const [partition] = array.partitions()
    t.equal(partition?.logicalBlockSize, 512)
    t.equal(partition?.physicalBlockSize, version === 1 ? 512 : 4096)
    t.equal(array.label.members[2]?.diskId, '00112233445566778899aabbccddeefd')
    t.ok(array.readPartition('vol').equals(content), `version ${version}`)
    t.throws(() => openByHand(disks.slice(1), 'old'), /member 0 is missing/)

    const volumes = disksOf(disks)
    const assembled = await assembleOne(volumes)
    const volume = assembled.openPartition('vol')
    t.ok((await readAll(volume, 0, PARTITION_BYTES)).equals(content))
    await volume.close()
    await assembled.growPartition('vol', 2 * PARTITION_BYTES)
    const grown = openByHand(await imagesOf(volumes), 'old')
    t.equal(grown.label.version, 3, 'it is written as version 3 with the next change')
    t.strictSame(grown.label.members, array.label.members)
    const zeros = Buffer.alloc(PARTITION_BYTES)
    t.ok(grown.readPartition('vol').equals(Buffer.concat([content, zeros])))
  }
})

/** The bytes of the label that the document shows. */
function exampleBytes(): Buffer {
  const path = new URL('../../../../../docs/volume-format.md', import.meta.url)
  const lines = readFileSync(path, 'utf8').matchAll(/^[0-9a-f]{4} {2}((?:[0-9a-f]{2} ?){16})/gm)
  return Buffer.from([...lines].map(([, bytes]) => bytes?.replaceAll(' ', '')).join(''), 'hex')
}

/** Three disks whose rows 2 to 8 hold a partition, with labels as they were written once. */
function oldDisks(version: number, content: Buffer): Buffer[] {
  return [0, 1, 2].map((number) => {
    const disk = Buffer.alloc(2 * MIB)
    const label = disk.subarray(0, 256 + 128 + 16)
    label.write('PLATTER\0', 0, 'latin1')
    label.writeUInt32BE(version, 8)
    label.writeUInt32BE(label.length, 12)
    label.writeBigUInt64BE(4n, 24)
    label.write('00112233445566778899aabbccddeeff', 32, 'hex')
    label.write('old', 48)
    label.writeUInt32BE(3, 116)
    label.writeUInt32BE(number, 120)
    label.writeUInt32BE(CHUNK_BYTES, 124)
    label.writeBigUInt64BE(BigInt(MIB), 128)
    label.writeBigUInt64BE(BigInt(MIB), 136)
    label.writeUInt32BE(1, 144)
    label.write('fedcba98765443210123456789abcdef', 256, 'hex')
    label.write('vol', 256 + 16)
    label.writeBigUInt64BE(BigInt(content.length), 256 + 80)
    label.writeUInt32BE(512, 256 + 88)
    label.writeUInt32BE(1, 256 + 92)
    if (version === 2) label.writeUInt32BE(4096, 256 + 96)
    label.writeBigUInt64BE(2n, 256 + 128)
    label.writeBigUInt64BE(7n, 256 + 136)
    label.writeUInt32BE(crc32c(label), 16)
    for (let chunk = 0; chunk * CHUNK_BYTES < content.length; chunk++) {
      if (chunk % 3 !== number) continue
      const at = MIB + (2 + Math.floor(chunk / 3)) * CHUNK_BYTES
      content.copy(disk, at, chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES)
    }
    return disk
  })
}
