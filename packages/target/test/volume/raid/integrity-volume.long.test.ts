import fc from 'fast-check'
import t from 'tap'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { blockChecksum, checksumAreaBytes } from '../../../src/volume/raid/checksum-page.ts'
import { IntegrityVolume } from '../../../src/volume/raid/integrity-volume.ts'
import { io, readAll, runsOf, writeAll } from '../io.ts'
import { BLOCK, Disk, MIB, ONE_PAGE, PAGE_COVERS, SECTOR, SIZE } from './integrity-setup.ts'

/** Where it matters: about the ends of pages and of the volume. */
const offsets = fc
  .tuple(
    fc.constantFrom(0, PAGE_COVERS, 2 * PAGE_COVERS, SIZE - SECTOR),
    fc.integer({ min: -40, max: 40 }),
  )
  .map(([near, sectors]) => Math.min(Math.max(near + sectors * SECTOR, 0), SIZE - SECTOR))
const lengths = fc.oneof(
  fc.nat({ max: 30 }).map((sectors) => sectors * SECTOR),
  fc.nat({ max: 5 }).map((blocks) => blocks * BLOCK),
)
const steps = fc.array(
  fc.record({
    op: fc.constantFrom('readNow', 'writeNow', 'read', 'write', 'discard', 'flush', 'reopen'),
    offset: offsets,
    length: fc.oneof(
      { weight: 9, arbitrary: lengths },
      { weight: 1, arbitrary: fc.constant(SIZE) },
    ),
    isAligned: fc.boolean(),
    fill: fc.integer({ min: 0, max: 255 }),
  }),
  { maxLength: 40 },
)

t.test(
  'it behaves as plain bytes, with room for all checksums and for one page of them',
  async (t) => {
    const property = fc.asyncProperty(
      steps,
      fc.constantFrom(undefined, ONE_PAGE, 2 * ONE_PAGE),
      fc.boolean(),
      fc.boolean(),
      async (steps, cacheBytesMax, dataWaits, checksumsWait) => {
        const disk = new Disk()
        const open = () => {
          const opened = disk.open(cacheBytesMax)
          opened.data.refuseNow = dataWaits
          opened.checksums.refuseNow = checksumsWait
          return opened.volume
        }
        let volume = open()
        const model = Buffer.alloc(volume.sizeBytes)
        for (const { op, isAligned, fill, ...step } of steps) {
          const offset = isAligned ? step.offset - (step.offset % BLOCK) : step.offset
          const wanted = isAligned ? step.length - (step.length % BLOCK) : step.length
          const length = Math.min(wanted, volume.sizeBytes - offset)
          const buffer = Buffer.alloc(3 + length + 5, fill)
          if (op === 'writeNow' || op === 'write') {
            if (op === 'write' || !volume.writeNow(offset, buffer, 3, length)) {
              await io((done) => volume.write(offset, buffer, 3, length, done))
            }
            model.fill(fill, offset, offset + length)
          } else if (op === 'discard') {
            await io((done) => volume.discard(offset, length, done))
            model.fill(0, offset, offset + length)
          } else if (op === 'readNow' || op === 'read') {
            if (op === 'read' || !volume.readNow(offset, buffer, 3, length)) {
              await io((done) => volume.read(offset, buffer, 3, length, done))
            }
            if (!buffer.subarray(3, 3 + length).equals(model.subarray(offset, offset + length))) {
              throw new Error(`${op} of ${length} at ${offset} differs`)
            }
            const margins = [...buffer.subarray(0, 3), ...buffer.subarray(3 + length)]
            if (margins.some((byte) => byte !== fill)) throw new Error('beside what was asked for')
          } else {
            await io((done) => volume.flush(done))
            if (op === 'reopen') volume = open()
          }
        }
        await io((done) => volume.flush(done))
        const again = disk.open().volume
        t.ok((await readAll(again, 0, model.length)).equals(model))
        t.equal(volume.mismatchCount + again.mismatchCount, 0)
      },
    )
    await fc.assert(property, { numRuns: 60 })
  },
)

t.test(
  'its size is whole blocks, and the area for the checksums must be large enough',
  async (t) => {
    const data = new MemoryVolume('member', 1025 * BLOCK + SECTOR)
    const room = (sizeBytes: number) => new MemoryVolume('member', sizeBytes)
    t.equal(checksumAreaBytes(1025 * BLOCK), 2 * 4096)
    t.equal(checksumAreaBytes(1024 * BLOCK), 4096)
    const volume = new IntegrityVolume({ data, checksums: room(2 * 4096) })
    t.equal(volume.sizeBytes, 1025 * BLOCK)
    t.equal(volume.blockSizeBytes, SECTOR)
    t.throws(() => new IntegrityVolume({ data, checksums: room(4096) }), RangeError)
    t.throws(() => volume.readNow(1025 * BLOCK, Buffer.alloc(SECTOR), 0, SECTOR), RangeError)
  },
)

t.test('the checksum of zeros is 0, and lies big-endian where its block says', async (t) => {
  t.equal(blockChecksum(Buffer.alloc(BLOCK + 7), 7), 0)
  const disk = new Disk()
  const { volume } = disk.open()
  const block = Buffer.alloc(BLOCK, 'platter')
  await writeAll(volume, 1025 * BLOCK, block)
  await io((done) => volume.flush(done))
  const area = await readAll(disk.checksums, 0, disk.checksums.sizeBytes)
  t.equal(area.readUInt32BE(1025 * 4), blockChecksum(block, 0))
  t.equal(
    area.findIndex((byte) => byte !== 0),
    1025 * 4,
  )
})

t.test('what was never written, or was discarded, reads as zeros that are checked', async (t) => {
  const disk = new Disk()
  const { volume } = disk.open()
  t.ok((await readAll(volume, 0, MIB)).equals(Buffer.alloc(MIB)))
  await writeAll(volume, 0, Buffer.alloc(9 * MIB, 1))
  await io((done) => volume.flush(done))
  await io((done) => volume.discard(SECTOR, 9 * MIB - 2 * SECTOR, done))
  await io((done) => volume.flush(done))
  const again = disk.open().volume
  const bytes = await readAll(again, 0, 9 * MIB)
  t.ok(bytes.subarray(SECTOR, -SECTOR).equals(Buffer.alloc(9 * MIB - 2 * SECTOR)))
  t.equal(bytes[SECTOR - 1], 1)
  t.equal(bytes.at(-1), 1)
  disk.damage(MIB)
  await t.rejects(readAll(disk.open().volume, MIB, SECTOR), {
    name: 'VolumeError',
    op: 'read',
    offset: MIB,
  })
  t.same(await runsOf(again, 0, SIZE - SECTOR), await runsOf(disk.data, 0, SIZE - SECTOR))
})

t.test('whole pages of checksums are discarded without being read', async (t) => {
  const disk = new Disk()
  const { volume, checksums } = disk.open()
  await io((done) => volume.discard(0, volume.sizeBytes, done))
  t.equal(checksums.started.discard, 1)
  t.equal(checksums.started.read, 1, 'but the last, which is not whole')
})

t.test(
  'a page of checksums is read once while there is room, and again when there was none',
  async (t) => {
    const disk = new Disk()
    for (const [cacheBytesMax, reads] of [
      [undefined, 2],
      [ONE_PAGE, 8],
    ] as const) {
      const { volume, checksums } = disk.open(cacheBytesMax)
      for (let round = 0; round < 4; round++) {
        await readAll(volume, 0, 4 * BLOCK)
        await readAll(volume, PAGE_COVERS, 4 * BLOCK)
      }
      t.equal(checksums.started.read, reads)
    }
  },
)

t.test('data that were changed are noticed, at their block, and never read', async (t) => {
  const property = fc.asyncProperty(
    fc.nat({ max: 63 }),
    fc.nat({ max: BLOCK - 1 }),
    fc.nat({ max: 63 * 8 }),
    fc.integer({ min: 1, max: 100 }),
    fc.boolean(),
    async (block, within, sector, count, isCold) => {
      const disk = new Disk()
      let { volume } = disk.open()
      const bytes = Buffer.from(Array.from({ length: 64 * BLOCK }, (_, at) => (at * 31) >> 4))
      await writeAll(volume, 0, bytes)
      await io((done) => volume.flush(done))
      disk.damage(block * BLOCK + within)
      if (isCold) volume = disk.open().volume
      const offset = sector * SECTOR
      const length = Math.min(count * SECTOR, 64 * BLOCK - offset)
      const firstBlock = Math.floor(offset / BLOCK)
      const lastBlock = Math.floor((offset + length - 1) / BLOCK)
      const into = Buffer.alloc(length)
      if (block < firstBlock || block > lastBlock) {
        t.ok(volume.readNow(offset, into, 0, length))
        t.ok(into.equals(bytes.subarray(offset, offset + length)))
        t.ok((await readAll(volume, offset, length)).equals(into))
        t.equal(volume.mismatchCount, 0)
        return
      }
      t.notOk(volume.readNow(offset, into, 0, length))
      const error = { name: 'VolumeError', op: 'read', volume: 'member', offset: block * BLOCK }
      await t.rejects(readAll(volume, offset, length), error)
      t.equal(volume.mismatchCount, 1)
      const right = bytes.subarray(block * BLOCK, (block + 1) * BLOCK)
      await writeAll(volume, block * BLOCK, right)
      t.ok((await readAll(volume, 0, bytes.length)).equals(bytes), 'mended by writing it anew')
    },
  )
  await fc.assert(property, { numRuns: 60 })
})

t.test('the error says both checksums', async (t) => {
  const disk = new Disk()
  disk.damage(2 * BLOCK)
  const reading = readAll(disk.open().volume, 0, 4 * BLOCK)
  await t.rejects(reading, { cause: { message: /block is 00000000, its bytes give [0-9a-f]{8}/ } })
})

t.test('writes that never reached the disk, or another block, are noticed', async (t) => {
  const disk = new Disk()
  const { volume } = disk.open()
  await writeAll(volume, 0, Buffer.alloc(BLOCK, 1))
  const old = await readAll(disk.data, 0, BLOCK)
  await writeAll(volume, 0, Buffer.alloc(BLOCK, 2))
  await writeAll(volume, BLOCK, Buffer.alloc(BLOCK, 3))
  await writeAll(disk.data, 0, old)
  await writeAll(disk.data, 2 * BLOCK, Buffer.alloc(BLOCK, 3))
  for (const offset of [0, 2 * BLOCK]) {
    await t.rejects(readAll(volume, offset, BLOCK), { name: 'VolumeError', op: 'read', offset })
  }
  t.equal((await readAll(volume, BLOCK, BLOCK))[0], 3)
})

t.test('a checksum that was changed costs its own block, until that is written anew', async (t) => {
  const disk = new Disk()
  const first = disk.open().volume
  const bytes = Buffer.alloc(2 * MIB, 'abc')
  await writeAll(first, 3 * MIB, bytes)
  await io((done) => first.flush(done))
  const block = (3 * MIB) / BLOCK + 256
  disk.damageChecksum(block)
  const { volume } = disk.open()
  await t.rejects(readAll(volume, 3 * MIB, 2 * MIB), {
    name: 'VolumeError',
    op: 'read',
    offset: block * BLOCK,
  })
  t.ok((await readAll(volume, 3 * MIB, MIB)).equals(bytes.subarray(0, MIB)))
  const within = block * BLOCK - 3 * MIB
  await writeAll(volume, block * BLOCK, bytes.subarray(within, within + BLOCK))
  await io((done) => volume.flush(done))
  t.ok((await readAll(disk.open().volume, 3 * MIB, 2 * MIB)).equals(bytes))
})

t.test(
  'a write of a part of a wrong block leaves it wrong, until its bytes are right again',
  async (t) => {
    const disk = new Disk()
    const { volume } = disk.open()
    await writeAll(volume, 0, Buffer.alloc(2 * BLOCK, 5))
    disk.damage(3 * SECTOR)
    await writeAll(volume, SECTOR, Buffer.alloc(SECTOR, 6))
    await io((done) => volume.discard(2 * SECTOR, SECTOR, done))
    t.equal(volume.mismatchCount, 2)
    await t.rejects(readAll(volume, SECTOR, SECTOR), { name: 'VolumeError', op: 'read', offset: 0 })
    t.equal((await readAll(disk.data, SECTOR, SECTOR))[0], 6, 'it is written all the same')
    await writeAll(volume, SECTOR, Buffer.alloc(3 * SECTOR, 5))
    t.ok((await readAll(volume, 0, 2 * BLOCK)).equals(Buffer.alloc(2 * BLOCK, 5)))
  },
)

t.test('what is adopted counts from then on, and what is beside it as before', async (t) => {
  for (const cacheBytesMax of [undefined, ONE_PAGE]) {
    const disk = new Disk()
    const before = disk.open().volume
    const start = PAGE_COVERS - 20 * BLOCK
    const wanted = Buffer.alloc(40 * BLOCK, 1)
    await writeAll(before, start, wanted)
    await io((done) => before.flush(done))
    // As a crash leaves it: these were written, and their checksums were not.
    wanted.fill(2, BLOCK, 39 * BLOCK)
    await writeAll(disk.data, start, wanted)
    const { volume } = disk.open(cacheBytesMax)
    await t.rejects(readAll(volume, start, 40 * BLOCK), {
      name: 'VolumeError',
      offset: start + BLOCK,
    })
    await volume.adopt(start + BLOCK, 37 * BLOCK)
    const known = readAll(volume, start, 38 * BLOCK)
    t.ok((await known).equals(wanted.subarray(0, 38 * BLOCK)))
    await t.rejects(readAll(volume, start, 40 * BLOCK), {
      name: 'VolumeError',
      offset: start + 38 * BLOCK,
    })
    await io((done) => volume.flush(done))
    const again = disk.open().volume
    t.ok((await readAll(again, start, 38 * BLOCK)).equals(wanted.subarray(0, 38 * BLOCK)))
    await t.rejects(readAll(again, start + 38 * BLOCK, BLOCK), { name: 'VolumeError', op: 'read' })
  }
})

t.test('bytes fit where they are what was last written, whatever the disk holds', async (t) => {
  const property = fc.asyncProperty(
    fc.nat({ max: 30 }),
    fc.integer({ min: 1, max: 10 }),
    fc.option(fc.nat({ max: 10 * BLOCK - 1 }), { nil: null }),
    async (first, count, changed) => {
      const disk = new Disk()
      const { volume } = disk.open(ONE_PAGE)
      const offset = PAGE_COVERS - 20 * BLOCK
      const bytes = Buffer.from(Array.from({ length: 41 * BLOCK }, (_, at) => (at * 31) >> 4))
      await writeAll(volume, offset, bytes)
      disk.damage(offset + first * BLOCK)
      const from = Buffer.concat([Buffer.alloc(5), bytes.subarray(first * BLOCK)])
      if (changed !== null) from[5 + changed]! ^= 0x10
      const fit = await volume.fits(offset + first * BLOCK, from, 5, count * BLOCK)
      t.equal(fit, changed === null || changed >= count * BLOCK)
    },
  )
  await fc.assert(property, { numRuns: 40 })
})

t.test('parts of blocks are neither adopted nor compared', async (t) => {
  const { volume } = new Disk().open()
  const from = Buffer.alloc(BLOCK)
  t.throws(() => volume.adopt(SECTOR, BLOCK), RangeError)
  t.throws(() => volume.adopt(0, volume.sizeBytes + BLOCK), RangeError)
  t.throws(() => volume.fits(0, from, 0, SECTOR), RangeError)
  await volume.adopt(BLOCK, 0)
  t.ok(await volume.fits(BLOCK, from, 0, 0))
})

t.test('what is adopted waits for a write of it, and closing waits for both', async (t) => {
  const disk = new Disk()
  const { volume, data } = disk.open()
  data.refuseNow = true
  const write = writeAll(volume, SECTOR, Buffer.alloc(BLOCK, 7))
  const adoption = volume.adopt(0, 2 * BLOCK)
  const fitting = volume.fits(BLOCK, Buffer.alloc(BLOCK).fill(7, 0, SECTOR), 0, BLOCK)
  await volume.close()
  await Promise.all([write, adoption])
  t.ok(await fitting)
  t.equal(volume.mismatchCount, 0)
})

t.test('closing writes what is not written, and closes both volumes', async (t) => {
  const disk = new Disk()
  const { volume, checksums } = disk.open()
  checksums.refuseNow = true
  const write = writeAll(volume, 0, Buffer.alloc(6 * MIB, 8))
  await volume.close()
  await write
  t.equal(checksums.started.write, 2)
  t.notOk(disk.data.readNow(0, Buffer.alloc(BLOCK), 0, BLOCK))
  t.notOk(disk.checksums.readNow(0, Buffer.alloc(BLOCK), 0, BLOCK))
})

t.test('a range without bytes is nothing to do', async (t) => {
  const { volume, data } = new Disk().open()
  t.ok(volume.readNow(SECTOR, Buffer.alloc(0), 0, 0))
  t.ok(volume.writeNow(BLOCK, Buffer.alloc(0), 0, 0))
  await readAll(volume, SECTOR, 0)
  await writeAll(volume, volume.sizeBytes, Buffer.alloc(0))
  await io((done) => volume.discard(SECTOR, 0, done))
  t.strictSame(data.started, { read: 0, write: 0, flush: 0, discard: 0 })
})
