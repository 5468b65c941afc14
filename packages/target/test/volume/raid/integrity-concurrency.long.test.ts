import fc from 'fast-check'
import t from 'tap'
import { IntegrityVolume } from '../../../src/volume/raid/integrity-volume.ts'
import type { IoCompletion } from '../../../src/volume/volume.ts'
import { io, readAll } from '../io.ts'
import {
  BLOCK,
  Disk,
  JitterVolume,
  ONE_PAGE,
  PAGE_COVERS,
  randomFrom,
  SECTOR,
} from './integrity-setup.ts'

const operations = fc.array(
  fc.record({
    op: fc.constantFrom('read', 'write', 'write', 'discard', 'flush', 'adopt', 'fit'),
    place: fc.constantFrom(0, PAGE_COVERS - 2 * BLOCK, 2 * PAGE_COVERS),
    sector: fc.nat({ max: 31 }),
    sectors: fc.integer({ min: 1, max: 32 }),
    discardsAll: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
)

/** Runs all operations at once, as many as there are, in their Now form where that goes. */
class Crowd {
  readonly volume: IntegrityVolume
  /** What the volume holds in the end: overlapping writes take effect in the order they came in. */
  readonly model: Buffer
  /** All that each sector may be seen to hold. */
  readonly seen = new Map<number, Set<number>>()
  readonly #under: Promise<void>[] = []

  constructor(volume: IntegrityVolume) {
    this.volume = volume
    this.model = Buffer.alloc(volume.sizeBytes)
  }

  write(offset: number, length: number, fill: number): void {
    this.#allow(offset, length, fill)
    const from = Buffer.alloc(length, fill)
    if (this.volume.writeNow(offset, from, 0, length)) return
    this.#start((done) => this.volume.write(offset, from, 0, length, done))
  }

  discard(offset: number, length: number): void {
    this.#allow(offset, length, 0)
    this.#start((done) => this.volume.discard(offset, length, done))
  }

  read(offset: number, length: number): void {
    const into = Buffer.alloc(length)
    const check = () => {
      for (let at = 0; at < length; at += SECTOR) {
        const sector = into.subarray(at, at + SECTOR)
        const allowed = this.seen.get(offset + at)
        const isOne = sector.every((byte) => byte === sector[0])
        if (isOne && (sector[0] === 0 || allowed?.has(sector[0]!))) continue
        throw new Error(`read of what was never written at ${offset + at}`)
      }
    }
    if (this.volume.readNow(offset, into, 0, length)) check()
    else this.#under.push(io((done) => this.volume.read(offset, into, 0, length, done)).then(check))
  }

  /** Nothing is wrong, so that it changes nothing. */
  adopt(offset: number, length: number): void {
    this.#under.push(this.volume.adopt(offset, length))
  }

  /** No such bytes are ever written. */
  fit(offset: number, length: number): void {
    const other = Buffer.alloc(length, 0xff)
    const check = (fit: boolean) => {
      if (fit && length > 0) throw new Error(`what was never written fits at ${offset}`)
    }
    this.#under.push(this.volume.fits(offset, other, 0, length).then(check))
  }

  flush(): void {
    this.#start((done) => this.volume.flush(done))
  }

  async settle(): Promise<void> {
    await Promise.all(this.#under.splice(0))
  }

  #allow(offset: number, length: number, fill: number): void {
    this.model.fill(fill, offset, offset + length)
    if (length > 64 * SECTOR) return
    for (let at = offset; at < offset + length; at += SECTOR) {
      const allowed = this.seen.get(at) ?? new Set()
      this.seen.set(at, allowed.add(fill))
    }
  }

  #start(start: (done: IoCompletion) => void): void {
    this.#under.push(io(start))
  }
}

t.test(
  'operations at once, on slow disks that keep no order, never meet a wrong checksum',
  async (t) => {
    const property = fc.asyncProperty(
      operations,
      fc.constantFrom(ONE_PAGE, 2 * ONE_PAGE, 16 * ONE_PAGE),
      fc.nat(),
      async (operations, cacheBytesMax, seed) => {
        const disk = new Disk()
        const random = randomFrom(seed)
        const volume = new IntegrityVolume({
          data: new JitterVolume(disk.data, random),
          checksums: new JitterVolume(disk.checksums, random),
          cacheBytesMax,
        })
        const crowd = new Crowd(volume)
        for (const [index, { op, place, sector, sectors, discardsAll }] of operations.entries()) {
          const isAligned = random() < 0.5
          const offset = place + (isAligned ? sector - (sector % 8) : sector) * SECTOR
          const length = (isAligned ? Math.ceil(sectors / 8) * 8 : sectors) * SECTOR
          if (op === 'write') crowd.write(offset, length, index + 1)
          else if (op === 'read') crowd.read(offset, length)
          else if (op === 'flush') crowd.flush()
          else if (op === 'adopt') crowd.adopt(...wholeBlocks(offset, length))
          else if (op === 'fit') crowd.fit(...wholeBlocks(offset, length))
          else if (discardsAll) crowd.discard(0, volume.sizeBytes)
          else crowd.discard(offset, length)
          if (random() < 0.3) await new Promise((resolve) => setImmediate(resolve))
        }
        await crowd.settle()
        for (const at of [0, PAGE_COVERS - 8 * BLOCK, 2 * PAGE_COVERS]) {
          const bytes = await readAll(volume, at, 16 * BLOCK)
          if (!bytes.equals(crowd.model.subarray(at, at + 16 * BLOCK))) throw new Error('differs')
        }
        await io((done) => volume.flush(done))
        const again = disk.open().volume
        t.ok((await readAll(again, 0, again.sizeBytes)).equals(crowd.model))
        t.equal(volume.mismatchCount + again.mismatchCount, 0)
      },
    )
    await fc.assert(property, { numRuns: 80 })
  },
)

function wholeBlocks(offset: number, length: number): [number, number] {
  return [offset - (offset % BLOCK), length - (length % BLOCK)]
}

t.test('many reads of cold pages share the reads of their checksums', async (t) => {
  const { volume, checksums } = new Disk().open()
  checksums.refuseNow = true
  const reads = Array.from({ length: 30 }, (_, block) => readAll(volume, block * BLOCK, BLOCK))
  await Promise.all(reads)
  t.equal(checksums.started.read, 1)
})

t.test('with room for one page, operations on many wait for each other and all end', async (t) => {
  const disk = new Disk()
  const { volume, checksums } = disk.open(ONE_PAGE)
  checksums.refuseNow = true
  const places = Array.from({ length: 60 }, (_, index) => (index % 3) * PAGE_COVERS + index * BLOCK)
  await Promise.all(
    places.map((offset, index) =>
      io((done) => volume.write(offset, Buffer.alloc(BLOCK, index + 1), 0, BLOCK, done)),
    ),
  )
  const found = await Promise.all(places.map((offset) => readAll(volume, offset, BLOCK)))
  t.strictSame(
    found.map((bytes) => bytes[0]),
    places.map((_, index) => index + 1),
  )
  t.equal(volume.mismatchCount, 0)
})
