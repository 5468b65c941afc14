/** Copies of the bitmap as they are found: alike or not, spoilt, torn, of something else. */
import fc from 'fast-check'
import t from 'tap'
import { IntentCopies } from '../../../src/volume/raid/intent-copies.ts'
import {
  blockOffset,
  countRegions,
  decodeBlock,
  encodeBlock,
  intentAreaBytes,
  REGIONS_PER_BLOCK,
} from '../../../src/volume/raid/intent-format.ts'
import { RegionSet } from '../../../src/volume/raid/region-set.ts'
import { readAll, writeAll } from '../io.ts'
import {
  blankArea,
  formatted,
  geometryOf,
  IntentArray,
  KIB,
  REGION,
  regionsIn,
  regionsOn,
  touch,
} from './intent-array.ts'

const SECTOR = 512
const REGIONS_PER_SECTOR = 3840

t.test('a set of regions is one', (t) => {
  const property = fc.property(
    fc.integer({ min: 1, max: 200 }),
    fc.array(fc.record({ isAdded: fc.boolean(), region: fc.nat({ max: 199 }) })),
    (size, steps) => {
      const set = new RegionSet(size, 40)
      const model = new Set<number>()
      for (const { isAdded, region } of steps) {
        if (region >= size) continue
        if (isAdded) set.add(region)
        else set.delete(region)
        if (isAdded) model.add(region)
        else model.delete(region)
      }
      const expected = [...model].sort((a, b) => a - b)
      t.same([...regionsIn(set)], expected)
      t.equal(set.count(), model.size)
      for (let region = 0; region < size; region++) {
        if (set.has(region) !== model.has(region)) throw new Error(`has ${region}`)
        const next = expected.find((one) => one >= region) ?? -1
        if (set.next(region) !== next) throw new Error(`next ${region}`)
      }
      set.addAll()
      t.equal(set.count(), size)
      t.equal(set.has(size), false)
    },
  )
  fc.assert(property, { numRuns: 100 })
  t.end()
})

t.test('a block says what was put into it, and only for its own array and place', (t) => {
  const geometry = geometryOf(2 * REGIONS_PER_BLOCK)
  const regions = new RegionSet(2 * REGIONS_PER_BLOCK)
  for (const region of [0, 1, 7, 8, 3839, 3840, 30719, 30720, 61439]) regions.add(region)
  const area = Buffer.alloc(intentAreaBytes(regions.size))
  encodeBlock(geometry, 0, regions, area)
  encodeBlock(geometry, 1, regions, area)
  t.equal(area[blockOffset(0) + 32], 0b10000011)
  t.equal(area[blockOffset(0) + SECTOR + 32], 1)
  const found = new RegionSet(regions.size)
  decodeBlock(geometry, 0, area, found)
  t.equal(found.count(), 7)
  decodeBlock(geometry, 1, area, found)
  t.strictSame([...regionsIn(found)], [...regionsIn(regions)])
  for (const other of [
    { ...geometry, arrayId: geometry.arrayId.replace('3', '4') },
    { ...geometry, regionSizeBytes: 2 * REGION },
  ]) {
    const all = new RegionSet(regions.size)
    decodeBlock(other, 0, area, all)
    t.equal(all.count(), REGIONS_PER_BLOCK, 'anything else is all of its regions')
  }
  const moved = Buffer.alloc(area.length)
  area.copy(moved, blockOffset(1), blockOffset(0), blockOffset(1))
  const all = new RegionSet(regions.size)
  decodeBlock(geometry, 1, moved, all)
  t.equal(all.count(), REGIONS_PER_BLOCK)
  t.end()
})

t.test('sizes that are none are refused', (t) => {
  const geometry = geometryOf(8)
  for (const regionSizeBytes of [0, 32 * KIB, 3 * REGION, Number.NaN, -REGION]) {
    t.throws(() => countRegions({ ...geometry, regionSizeBytes }), RangeError)
  }
  for (const memberSizeBytes of [0, Number.NaN]) {
    t.throws(() => countRegions({ ...geometry, memberSizeBytes }), RangeError)
  }
  t.end()
})

t.test('no bit of a sector flips unnoticed', async (t) => {
  const geometry = geometryOf(REGIONS_PER_SECTOR)
  const [area] = await formatted(1, geometry)
  const sound = await readAll(area!, 0, area!.sizeBytes)
  const start = blockOffset(0)
  for (let bit = 0; bit < 8 * SECTOR; bit++) {
    const bytes = Buffer.from(sound)
    bytes[start + (bit >>> 3)]! ^= 1 << (bit & 7)
    const found = new RegionSet(REGIONS_PER_SECTOR)
    decodeBlock(geometry, 0, bytes, found)
    if (found.count() !== REGIONS_PER_SECTOR) t.fail(`bit ${bit}`)
  }
  t.pass()
})

t.test('what one copy says counts, and all say it from then on', async (t) => {
  const array = await IntentArray.create(3, 20)
  const bitmap = await array.load()
  await touch(bitmap, 3)
  Object.assign(array.members[0]!, { state: 'absent', volume: null })
  await touch(bitmap, 5)
  Object.assign(array.members[0]!, { state: 'rebuilding', volume: array.areas[0]! })
  Object.assign(array.members[1]!, { state: 'absent', volume: null })
  const writes = array.areas[2]!.started.write
  const loaded = await array.load()
  t.strictSame([loaded.nextStale(0), loaded.nextStale(4), loaded.staleCount], [3, 5, 2])
  t.strictSame(await array.regionsOf(0), [3, 5])
  t.equal(array.areas[2]!.started.write, writes, 'a copy that is as it should be is let be')
  t.equal(loaded.beginNow(5 * REGION, 512), true, 'they are durably marked')
})

t.test('what was read counts as durable only when it is', async (t) => {
  const array = await IntentArray.create(2, 20)
  await touch(await array.load(), 3)
  array.areas[1]!.failNext('flush')
  await array.load()
  t.strictSame(array.failures.failed, [1])
  array.areas[0]!.failNext('flush')
  await t.rejects(array.load(), { name: 'VolumeError' })
})

t.test('a spoilt sector is all of its regions, and made good', async (t) => {
  const regionCount = 3 * REGIONS_PER_SECTOR
  const array = await IntentArray.create(2, regionCount)
  await touch(await array.load(), 1)
  await writeAll(array.areas[1]!, blockOffset(0) + SECTOR, Buffer.alloc(SECTOR, 7))
  const loaded = await array.load()
  t.equal(loaded.staleCount, 1 + REGIONS_PER_SECTOR)
  t.strictSame([loaded.nextStale(2), loaded.nextStale(2 * REGIONS_PER_SECTOR)], [3840, -1])
  for (let region = 3840; region < 2 * REGIONS_PER_SECTOR; region++) {
    loaded.resynced(region, loaded.staleMarks)
  }
  await loaded.close()
  t.strictSame(await array.regionsOfAll(), [[1], [1]])
})

t.test('a block that cannot be read is all of its regions, and the rest is read', async (t) => {
  const regionCount = 2 * REGIONS_PER_BLOCK
  const array = await IntentArray.create(2, regionCount)
  await touch(await array.load(), 1)
  array.areas[0]!.failNext('read', { after: 2 })
  const loaded = await array.load()
  t.equal(loaded.staleCount, 1 + REGIONS_PER_BLOCK)
  t.equal(loaded.nextStale(2), REGIONS_PER_BLOCK)
  t.strictSame(array.failures.failed, [])
})

t.test('a copy that is none, or of another array or size, is all regions', async (t) => {
  const geometry = geometryOf(50)
  for (const others of [
    { ...geometry, arrayId: geometry.arrayId.replace('3', '4') },
    { ...geometry, regionSizeBytes: 2 * REGION },
    { ...geometry, memberSizeBytes: 49 * REGION },
    null,
  ]) {
    const [area] = await formatted(1, geometry)
    const other = blankArea('other', geometry)
    if (others !== null) await IntentCopies.format(other, others)
    const array = new IntentArray(geometry, [area!, other])
    const loaded = await array.load()
    t.equal(loaded.staleCount, 50)
    t.equal((await regionsOn(other, geometry)).length, 50)
    const again = await array.load()
    t.equal(again.staleCount, 50)
    t.ok((await readAll(other, 0, 4096)).equals(await readAll(area!, 0, 4096)))
  }
})

t.test('a copy that is cut short anywhere as it is written loses no region', async (t) => {
  const regionCount = 8 * REGIONS_PER_SECTOR
  for (let sectors = 0; sectors <= 8; sectors++) {
    const array = await IntentArray.create(1, regionCount)
    const bitmap = await array.load()
    const before = Array.from({ length: 8 }, (_, i) => i * REGIONS_PER_SECTOR)
    for (const region of before) await touch(bitmap, region)
    array.areas[0]!.failNext('write', { tornAtBytes: sectors * SECTOR })
    await t.rejects(touch(bitmap, 7 * REGIONS_PER_SECTOR + 1))
    const expected = sectors === 8 ? [...before, 7 * REGIONS_PER_SECTOR + 1] : before
    t.strictSame(await array.regionsOf(0), expected, `${sectors} sectors`)
  }
})
