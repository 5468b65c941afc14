import t from 'tap'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { ChecksumCache } from '../../../src/volume/raid/checksum-cache.ts'
import { BLOCKS_PER_PAGE, CHECKSUM_PAGE_BYTES } from '../../../src/volume/raid/checksum-page.ts'
import {
  type HoleMap,
  type IoCompletion,
  type Volume,
  VolumeError,
} from '../../../src/volume/volume.ts'
import { io, readAll } from '../io.ts'

/** A disk that ends its reads and writes when it is told to. */
class HeldVolume implements Volume {
  readonly name = 'area'
  readonly sizeBytes: number
  readonly blockSizeBytes = 512
  readonly inner: MemoryVolume
  /** What was begun and has not ended: oldest first. With an error, it ends so and does nothing. */
  readonly held: ((error?: VolumeError) => void)[] = []

  constructor(pages: number) {
    this.sizeBytes = pages * CHECKSUM_PAGE_BYTES
    this.inner = new MemoryVolume('area', this.sizeBytes)
  }

  readNow(): boolean {
    return false
  }

  writeNow(): boolean {
    return false
  }

  read(offset: number, into: Buffer, position: number, length: number, done: IoCompletion): void {
    this.inner.readNow(offset, into, position, length)
    this.held.push((error) => done.ioCompleted(error ?? null))
  }

  write(offset: number, from: Buffer, position: number, length: number, done: IoCompletion): void {
    this.held.push((error) => {
      if (error === undefined) this.inner.writeNow(offset, from, position, length)
      done.ioCompleted(error ?? null)
    })
  }

  flush(done: IoCompletion): void {
    this.inner.flush(done)
  }

  discard(offset: number, length: number, done: IoCompletion): void {
    this.inner.discard(offset, length, done)
  }

  locateHoles(offset: number, length: number, map: HoleMap, done: IoCompletion): void {
    this.inner.locateHoles(offset, length, map, done)
  }

  async close(): Promise<void> {}

  /** Ends the oldest. */
  release(error?: VolumeError): void {
    this.held.shift()!(error)
  }
}

const failure = new VolumeError('write', 'area', 0, new Error('no more'))

function cacheOn(area: Volume, pages: number): ChecksumCache {
  return new ChecksumCache(area, pages * CHECKSUM_PAGE_BYTES)
}

/** Reads the page for a block. */
async function load(cache: ChecksumCache, area: HeldVolume, block: number): Promise<void> {
  const loading = io((done) => cache.load(block, done))
  await isOver(loading)
  area.release()
  await loading
}

/** Whether it is over by the next turn but one of the event loop. */
async function isOver(promise: Promise<unknown>): Promise<boolean> {
  let over = false
  const set = () => {
    over = true
  }
  promise.then(set, set)
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
  return over
}

function set(cache: ChecksumCache, block: number, checksum: number): void {
  cache.set(cache.find(block)!, block, checksum)
}

/** With room for one page: the first is changed, and being written since the second is wanted. */
async function evicting() {
  const area = new HeldVolume(2)
  const cache = cacheOn(area, 1)
  await load(cache, area, 5)
  set(cache, 5, 77)
  const second = io((done) => cache.load(BLOCKS_PER_PAGE, done))
  return { area, cache, second }
}

t.test('a flush waits for a write that was in flight before it', async (t) => {
  const { area, cache, second } = await evicting()
  t.notOk(cache.flushNow())
  const flush = io((done) => cache.flush(done))
  t.notOk(await isOver(flush))
  t.equal(area.held.length, 1, 'and begins no other')
  area.release()
  await flush
  t.equal((await readAll(area.inner, 0, 512)).readUInt32BE(5 * 4), 77)
  area.release()
  await second
  t.ok(cache.flushNow())
})

t.test('a flush fails with a write that was in flight before it', async (t) => {
  const { area, cache, second } = await evicting()
  const flush = io((done) => cache.flush(done))
  await isOver(flush)
  area.release(failure)
  await t.rejects(flush, failure)
  await t.rejects(second, failure)
  const again = io((done) => cache.flush(done))
  await isOver(again)
  area.release()
  await again
  t.equal((await readAll(area.inner, 0, 512)).readUInt32BE(5 * 4), 77)
})

t.test('a page that is changed while it is written is written again, after that', async (t) => {
  const { area, cache, second } = await evicting()
  set(cache, 6, 88)
  const flush = io((done) => cache.flush(done))
  await isOver(flush)
  t.equal(area.held.length, 1)
  area.release()
  t.notOk(await isOver(flush))
  t.equal((await readAll(area.inner, 0, 512)).readUInt32BE(6 * 4), 0, 'as it was when it began')
  area.release()
  await flush
  t.equal((await readAll(area.inner, 0, 512)).readUInt32BE(6 * 4), 88)
  area.release()
  await second
})

t.test('flushes asked for meanwhile share the next', async (t) => {
  const { area, cache, second } = await evicting()
  const first = io((done) => cache.flush(done))
  set(cache, 6, 88)
  const later = [1, 2].map(() => io((done) => cache.flush(done)))
  area.release()
  await first
  t.notOk(await isOver(Promise.race(later)))
  t.equal(area.held.length, 1)
  area.release()
  await Promise.all(later)
  area.release()
  await second
})

t.test('a page that is being read while it is discarded is zeros', async (t) => {
  const area = new HeldVolume(2)
  const cache = cacheOn(area, 2)
  area.inner.writeNow(0, Buffer.alloc(2 * CHECKSUM_PAGE_BYTES, 9), 0, 2 * CHECKSUM_PAGE_BYTES)
  const loads = [0, BLOCKS_PER_PAGE].map((block) => io((done) => cache.load(block, done)))
  await io((done) => cache.discard(0, 1, done))
  area.release()
  area.release()
  await Promise.all(loads)
  t.equal(cache.find(0)!.checksumOf(0), 0)
  t.equal(cache.find(BLOCKS_PER_PAGE)!.checksumOf(BLOCKS_PER_PAGE), 0x09090909)
})

t.test('a page that is being written while it is discarded is zeros in the end', async (t) => {
  const { area, cache, second } = await evicting()
  await io((done) => cache.discard(0, 1, done))
  area.release()
  const flush = io((done) => cache.flush(done))
  await isOver(flush)
  while (area.held.length > 0) {
    area.release()
    await isOver(flush)
  }
  await Promise.all([flush, second])
  t.ok(
    (await readAll(area.inner, 0, CHECKSUM_PAGE_BYTES)).equals(Buffer.alloc(CHECKSUM_PAGE_BYTES)),
  )
})

t.test('the page that was used is kept, and the other given up', async (t) => {
  const area = new HeldVolume(3)
  const cache = cacheOn(area, 2)
  for (const page of [0, 1]) await load(cache, area, page * BLOCKS_PER_PAGE)
  cache.find(0)
  await load(cache, area, 2 * BLOCKS_PER_PAGE)
  t.ok(cache.find(0))
  t.notOk(cache.find(BLOCKS_PER_PAGE))
})

t.test('a flush of many pages writes a few at a time', async (t) => {
  const pages = 30
  const area = new HeldVolume(pages)
  const cache = cacheOn(area, pages)
  const blocks = Array.from({ length: pages }, (_, page) => page * BLOCKS_PER_PAGE)
  for (const block of blocks) await load(cache, area, block)
  for (const block of blocks) set(cache, block, block + 1)
  t.notOk(cache.flushNow())
  const flush = io((done) => cache.flush(done))
  let written = 0
  for (; area.held.length > 0; written++) {
    t.ok(area.held.length <= 8)
    area.release()
  }
  await flush
  t.equal(written, pages)
  const bytes = await readAll(area.inner, 0, area.sizeBytes)
  t.ok(blocks.every((block) => bytes.readUInt32BE(block * 4) === block + 1))
})
