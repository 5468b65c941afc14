import fc from 'fast-check'
import t from 'tap'
import { createArray } from '../../src/volume/array.ts'
import type { DiskArray } from '../../src/volume/disk-array.ts'
import type { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { assembleOne, blankDisks, MIB } from './arrays.ts'
import { readAll, writeAll } from './io.ts'

const SECTOR = 512
const BLOCK = 4096
const CHUNK = 8 * BLOCK
const SIZE = 32 * CHUNK

/** RAID 0 with checksums, and a partition that is full. */
async function makeArray(disks: readonly MemoryVolume[], bytes: Buffer): Promise<DiskArray> {
  const options = { name: 'tank', level: 'raid0', chunkSizeBytes: CHUNK, checksums: true } as const
  const array = await createArray({ ...options, disks })
  await array.createPartition({ name: 'p', sizeBytes: SIZE })
  const partition = array.openPartition('p')
  await writeAll(partition, 0, bytes)
  await partition.close()
  return array
}

/** Flips bits of a byte of the partition, where it lies on its disk. */
function flip(disks: readonly MemoryVolume[], array: DiskArray, at: number): void {
  const chunk = Math.floor(at / CHUNK)
  const start = array.memberSizeBytes - array.memberDataBytes
  const offset = start + Math.floor(chunk / disks.length) * CHUNK + (at % CHUNK)
  const disk = disks[chunk % disks.length]!
  const sector = Buffer.alloc(SECTOR)
  const sectorOffset = offset - (offset % SECTOR)
  disk.readNow(sectorOffset, sector, 0, SECTOR)
  sector[offset - sectorOffset]! ^= 0x40
  disk.writeNow(sectorOffset, sector, 0, SECTOR)
}

t.test('bytes that change by themselves are an error of their block, never read', async (t) => {
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 3 }),
    fc.uniqueArray(fc.nat({ max: SIZE / BLOCK - 1 }), { minLength: 1, maxLength: 8 }),
    fc.nat({ max: BLOCK - 1 }),
    fc.boolean(),
    async (diskCount, blocks, within, restarts) => {
      const disks = blankDisks(diskCount, 6 * MIB)
      const bytes = Buffer.from(Array.from({ length: SIZE }, (_, at) => (at * 31) >> 4))
      let array = await makeArray(disks, bytes)
      if (restarts) await array.close()
      for (const block of blocks) flip(disks, array, block * BLOCK + within)
      if (restarts) array = await assembleOne(disks)
      const partition = array.openPartition('p')
      for (let at = 0; at < SIZE; at += BLOCK) {
        const now = Buffer.alloc(BLOCK)
        const isNow = partition.readNow(at, now, 0, BLOCK)
        if (isNow) t.ok(now.equals(bytes.subarray(at, at + BLOCK)))
        const reading = readAll(partition, at, BLOCK)
        if (blocks.includes(at / BLOCK)) {
          t.notOk(isNow)
          await t.rejects(reading, { name: 'VolumeError', op: 'read' })
          const part = writeAll(partition, at + SECTOR, Buffer.alloc(SECTOR, 1))
          await t.rejects(part, { name: 'VolumeError', op: 'write' })
        } else t.ok((await reading).equals(bytes.subarray(at, at + BLOCK)))
      }
      for (const block of blocks) {
        const at = block * BLOCK
        await writeAll(partition, at, bytes.subarray(at, at + BLOCK))
      }
      t.ok((await readAll(partition, 0, SIZE)).equals(bytes), 'whole blocks mend it')
      await array.close()
    },
  )
  await fc.assert(property, { numRuns: 15 })
})
