import t from 'tap'
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { IntegrityVolume } from '../../../src/volume/raid/integrity-volume.ts'
import { io, readAll, writeAll } from '../io.ts'
import { BLOCK, Disk, MIB, ONE_PAGE, PAGE_COVERS, SECTOR } from './integrity-setup.ts'

const code = { code: 'EIO' }

t.test('a write that failed leaves the old bytes, or a block that cannot be read', async (t) => {
  for (const tornAtBytes of [0, SECTOR, BLOCK, BLOCK + SECTOR, 2 * BLOCK]) {
    const { volume, data } = new Disk().open()
    await writeAll(volume, 0, Buffer.alloc(4 * BLOCK, 1))
    data.failNext('write', { tornAtBytes })
    const error = { op: 'write', volume: 'member', offset: BLOCK, cause: code }
    await t.rejects(writeAll(volume, BLOCK, Buffer.alloc(2 * BLOCK, 2)), error)
    for (const block of [0, 1, 2, 3]) {
      const isTouched = block > 0 && block * BLOCK < BLOCK + tornAtBytes && block < 3
      const reading = readAll(volume, block * BLOCK, BLOCK)
      if (isTouched)
        await t.rejects(reading, { name: 'VolumeError', op: 'read', offset: block * BLOCK })
      else t.ok((await reading).equals(Buffer.alloc(BLOCK, 1)))
    }
    await writeAll(volume, BLOCK, Buffer.alloc(2 * BLOCK, 3))
    t.equal((await readAll(volume, 2 * BLOCK, BLOCK))[0], 3)
  }
})

t.test(
  'a part of a block that failed to be written, or discarded, costs no more than it',
  async (t) => {
    for (const op of ['write', 'discard'] as const) {
      const { volume, data } = new Disk().open()
      await writeAll(volume, 0, Buffer.alloc(4 * BLOCK, 1))
      data.failNext(op)
      const offset = BLOCK + SECTOR
      const failing =
        op === 'write'
          ? writeAll(volume, offset, Buffer.alloc(BLOCK, 2))
          : io((done) => volume.discard(offset, BLOCK, done))
      await t.rejects(failing, { op, offset, cause: code })
      t.ok((await readAll(volume, 0, 4 * BLOCK)).equals(Buffer.alloc(4 * BLOCK, 1)))
    }
  },
)

t.test(
  'data that cannot be read are an error for reads, and do not keep writes from being made',
  async (t) => {
    const disk = new Disk()
    const { volume, data } = disk.open()
    await writeAll(volume, 0, Buffer.alloc(4 * BLOCK, 1))
    for (const [offset, length, at] of [
      [0, 2 * BLOCK, 0],
      [SECTOR, 3 * BLOCK, 0],
      [BLOCK, 2 * BLOCK + SECTOR, 3 * BLOCK],
    ] as const) {
      data.failNext('read')
      t.notOk(volume.readNow(offset, Buffer.alloc(length), 0, length))
      await t.rejects(readAll(volume, offset, length), { op: 'read', offset: at, cause: code })
    }
    data.failNext('read')
    await writeAll(volume, SECTOR, Buffer.alloc(SECTOR, 2))
    await t.rejects(
      readAll(volume, 0, BLOCK),
      { name: 'VolumeError', op: 'read', offset: 0 },
      'the rest is not known',
    )
    await writeAll(volume, 0, Buffer.alloc(BLOCK, 3))
    t.equal((await readAll(volume, 0, BLOCK))[0], 3)
  },
)

t.test(
  'checksums that cannot be read are an error, and are read when asked for again',
  async (t) => {
    const disk = new Disk()
    const first = disk.open().volume
    await writeAll(first, 0, Buffer.alloc(2 * BLOCK, 1))
    await io((done) => first.flush(done))
    const { volume, checksums } = disk.open()
    const block = Buffer.alloc(BLOCK, 2)
    checksums.failNext('read', { times: 4 })
    t.notOk(volume.readNow(BLOCK, Buffer.alloc(BLOCK), 0, BLOCK))
    t.notOk(volume.writeNow(BLOCK, block, 0, BLOCK))
    await t.rejects(readAll(volume, BLOCK, BLOCK), { op: 'read', offset: BLOCK, cause: code })
    await t.rejects(readAll(volume, SECTOR, SECTOR), { op: 'read', offset: 0, cause: code })
    await t.rejects(
      io((done) => volume.discard(SECTOR, SECTOR, done)),
      { op: 'discard', cause: code },
    )
    await t.rejects(writeAll(volume, BLOCK, block), { op: 'write', offset: BLOCK, cause: code })
    t.equal((await readAll(volume, 0, BLOCK))[0], 1)
    await t.rejects(
      readAll(volume, BLOCK, BLOCK),
      { name: 'VolumeError', op: 'read', offset: BLOCK },
      'old or an error',
    )
    checksums.failNext('discard')
    const all = io((done) => volume.discard(0, volume.sizeBytes, done))
    await t.rejects(all, { op: 'discard', cause: code })
  },
)

t.test('what cannot be read is not adopted, and what cannot be compared is an error', async (t) => {
  const disk = new Disk()
  const first = disk.open().volume
  await writeAll(first, 0, Buffer.alloc(32 * BLOCK, 1))
  await io((done) => first.flush(done))
  await writeAll(disk.data, 0, Buffer.alloc(32 * BLOCK, 2))
  const { volume, data, checksums } = disk.open()
  data.failNext('read', { after: 1 })
  await t.rejects(volume.adopt(0, 32 * BLOCK), { name: 'VolumeError', op: 'read', cause: code })
  await t.rejects(readAll(volume, 31 * BLOCK, BLOCK), { name: 'VolumeError', op: 'read' })
  const other = disk.open()
  other.checksums.failNext('read')
  const failed = { name: 'VolumeError', op: 'read', volume: 'member', offset: BLOCK, cause: code }
  await t.rejects(other.volume.fits(BLOCK, Buffer.alloc(BLOCK, 1), 0, BLOCK), failed)
  t.ok(await other.volume.fits(BLOCK, Buffer.alloc(BLOCK, 1), 0, BLOCK), 'the next time')
  const third = disk.open()
  third.checksums.failNext('read')
  await t.rejects(third.volume.adopt(BLOCK, BLOCK), failed)
  await third.volume.adopt(BLOCK, BLOCK)
  t.equal((await readAll(third.volume, BLOCK, BLOCK))[0], 2)
  t.equal(checksums.started.write, 0)
})

t.test('a flush fails if anything of it does, and the next may go well', async (t) => {
  const failures = [
    ['checksums', 'write'],
    ['checksums', 'flush'],
    ['data', 'flush'],
  ] as const
  for (const [which, op] of failures) {
    const disk = new Disk()
    const opened = disk.open()
    const { volume } = opened
    await writeAll(volume, 0, Buffer.alloc(9 * MIB, 4))
    opened[which].failNext(op, { after: op === 'write' ? 1 : 0 })
    const flushes = [1, 2].map(() => io((done) => volume.flush(done)))
    const [first, second] = await Promise.allSettled(flushes)
    t.match(first, { reason: { name: 'VolumeError', op: 'flush', volume: 'member', cause: code } })
    t.equal(second?.status, 'fulfilled')
    t.ok((await readAll(disk.open().volume, 0, 9 * MIB)).equals(Buffer.alloc(9 * MIB, 4)))
  }
})

t.test('a page that cannot be written keeps its place, and what needs that fails', async (t) => {
  const disk = new Disk()
  const { volume, checksums } = disk.open(ONE_PAGE)
  await writeAll(volume, 0, Buffer.alloc(BLOCK, 1))
  checksums.failNext('write', { times: Number.POSITIVE_INFINITY })
  for (let round = 0; round < 3; round++) {
    const reads = [PAGE_COVERS, 2 * PAGE_COVERS].map((offset) => readAll(volume, offset, BLOCK))
    for (const result of await Promise.allSettled(reads)) {
      t.match(result, { reason: { name: 'VolumeError', op: 'read', cause: code } })
    }
    t.equal((await readAll(volume, 0, BLOCK))[0], 1)
  }
  checksums.heal()
  await writeAll(volume, PAGE_COVERS, Buffer.alloc(BLOCK, 2))
  await io((done) => volume.flush(done))
  const again = disk.open().volume
  t.equal((await readAll(again, 0, BLOCK))[0], 1)
  t.equal((await readAll(again, PAGE_COVERS, BLOCK))[0], 2)
})

t.test('a flush of one disk is one flush', async (t) => {
  const disk = new Disk()
  const data = new FaultVolume(disk.data)
  const checksums = new FaultVolume(disk.checksums)
  const volume = new IntegrityVolume({ data, checksums, areOnOneDisk: true })
  await writeAll(volume, 0, Buffer.alloc(BLOCK, 1))
  await io((done) => volume.flush(done))
  t.strictSame([data.started.flush, checksums.started.flush], [1, 0])
  t.equal(checksums.started.write, 1)
  data.failNext('flush')
  await t.rejects(
    io((done) => volume.flush(done)),
    { op: 'flush', cause: code },
  )
})
