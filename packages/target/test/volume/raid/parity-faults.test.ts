/** What a parity array makes of members that fail. */
import t, { type Test } from 'tap'
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { memberOf, type ParityGeometry } from '../../../src/volume/raid/parity-layout.ts'
import { HoleMap, type Volume, VolumeError } from '../../../src/volume/volume.ts'
import { io, readAll, runsOf, writeAll } from '../io.ts'
import { TestArray } from './parity-arrays.ts'
import { bytesOf } from './parity-model.ts'

const CHUNK = 16 * 1024
const ROWS = 8
const AREA_BYTES = 1024 * 1024
const raid5: ParityGeometry = { memberCount: 4, parityCount: 1, chunkSizeBytes: CHUNK }
const raid6: ParityGeometry = { memberCount: 5, parityCount: 2, chunkSizeBytes: CHUNK }

/** An array full of bytes, with disks and areas that fail when told to. */
async function make(geometry: ParityGeometry) {
  const memberSizeBytes = ROWS * CHUNK
  const numbers = Array.from({ length: geometry.memberCount }, (_, number) => number)
  const media = numbers.map((number) => new MemoryVolume(`disk${number}`, memberSizeBytes))
  const disks = media.map((medium) => new FaultVolume(medium))
  const areas = numbers.map(
    (number) => new FaultVolume(new MemoryVolume(`area${number}`, AREA_BYTES)),
  )
  const labels = { canBeWritten: true }
  const canFail = () => labels.canBeWritten
  const options = { geometry, memberSizeBytes, disks, areas, areaSizeBytes: AREA_BYTES, canFail }
  const array = new TestArray(options)
  await array.journal.recover()
  const model = bytesOf(7, array.volume.sizeBytes)
  await writeAll(array.volume, 0, model)
  return { array, volume: array.volume, media, disks, areas, model, labels, options }
}

type Made = Awaited<ReturnType<typeof make>>

async function writeBoth({ volume, model }: Made, offset: number, bytes: Buffer): Promise<void> {
  await writeAll(volume, offset, bytes)
  bytes.copy(model, offset)
}

async function assertHolds(t: Test, { volume, model }: Made, what: string): Promise<void> {
  t.ok((await readAll(volume, 0, model.length)).equals(model), what)
}

t.test(
  'bytes that a member cannot read come from the others, and are written to it again',
  async (t) => {
    for (const geometry of [raid5, raid6]) {
      const made = await make(geometry)
      const { array, volume, media, disks, model } = made
      const number = memberOf(geometry, 1, 2)
      const offset = CHUNK * (geometry.memberCount - geometry.parityCount + 2) + 512
      // What is there is not read any more, but the member gives it when it has been rewritten.
      media[number]!.writeNow(CHUNK, Buffer.alloc(4096, 0xbd), 0, 4096)
      disks[number]!.failNext('read', { times: 2 })
      const writes = disks[number]!.started.write
      const found = await readAll(volume, offset, 1024)
      t.ok(found.equals(model.subarray(offset, offset + 1024)))
      t.equal(disks[number]!.started.write, writes + 1)
      t.strictSame(await array.findWrongRows(model), [], 'the whole block is mended')
      t.strictSame(array.failed, [])
    }
  },
)

t.test('what could not be read for a moment only is not rewritten', async (t) => {
  const made = await make(raid5)
  const number = memberOf(raid5, 0, 0)
  made.disks[number]!.failNext('read')
  const writes = made.disks[number]!.started.write
  await assertHolds(t, made, 'read again under the lock')
  t.equal(made.disks[number]!.started.write, writes)
})

t.test(
  'a member whose bytes cannot be rewritten is failed, and the read is answered',
  async (t) => {
    const made = await make(raid5)
    const number = memberOf(raid5, 0, 1)
    made.disks[number]!.failNext('read', { times: 2 })
    made.disks[number]!.failNext('write')
    const found = await readAll(made.volume, CHUNK, CHUNK)
    t.ok(found.equals(made.model.subarray(CHUNK, 2 * CHUNK)), 'from the others')
    t.strictSame(made.array.failed, [number])
    await assertHolds(t, made, 'and without it')
  },
)

t.test('beyond redundancy reads and writes fail, and what can be had is served', async (t) => {
  const made = await make(raid5)
  const { array, volume, disks, model } = made
  array.remove(memberOf(raid5, 0, 0))
  const number = memberOf(raid5, 0, 1)
  disks[number]!.failNext('read', { times: Number.POSITIVE_INFINITY })
  await t.rejects(readAll(volume, 0, 512), { name: 'VolumeError', op: 'read', volume: 'array' })
  await t.rejects(readAll(volume, CHUNK, 512), { name: 'VolumeError', op: 'read', offset: CHUNK })
  await t.rejects(writeAll(volume, 512, Buffer.alloc(512)), { name: 'VolumeError', op: 'write' })
  await volume.resync(0, CHUNK)
  t.strictSame(await volume.scrub(0, CHUNK), { differingBytes: 0, repaired: [] })
  const found = await readAll(volume, 2 * CHUNK, CHUNK)
  t.ok(found.equals(model.subarray(2 * CHUNK, 3 * CHUNK)))
  disks[number]!.heal()
  await assertHolds(t, made, 'nothing has been changed by what failed')
  t.equal(array.journal.failure, null)
})

t.test('a member that cannot be written is failed before the write is answered', async (t) => {
  for (const geometry of [raid5, raid6]) {
    for (let number = 0; number < geometry.memberCount; number++) {
      for (const rows of [0, 1]) {
        const made = await make(geometry)
        const rowBytes = CHUNK * (geometry.memberCount - geometry.parityCount)
        const length = rows === 1 ? rowBytes : rowBytes - 512
        made.disks[number]!.failNext('write', { tornAtBytes: 512 })
        await writeBoth(made, 0, bytesOf(number + 100, length))
        t.strictSame(made.array.failed, [number], `${length} bytes, member ${number}`)
        await assertHolds(t, made, 'and they are there without it')
        t.equal(made.array.intents.active, 0)
      }
    }
  }
})

t.test(
  'a member that cannot be flushed is failed; the array that needs it reports it',
  async (t) => {
    const made = await make(raid5)
    made.disks[2]!.failNext('flush', { times: Number.POSITIVE_INFINITY })
    await io((done) => made.volume.flush(done))
    t.strictSame(made.array.failed, [2])
    made.disks[0]!.failNext('flush')
    await t.rejects(
      io((done) => made.volume.flush(done)),
      { name: 'VolumeError' },
    )
    await io((done) => made.volume.flush(done))
  },
)

t.test(
  'a member whose journal cannot be written is failed, and others take its part',
  async (t) => {
    for (const op of ['write', 'flush'] as const) {
      const made = await make(raid6)
      for (const number of [1, 3]) made.areas[number]!.failNext(op, { times: 9, tornAtBytes: 512 })
      for (let at = 0; at < 6; at++) await writeBoth(made, at * 7 * 512, bytesOf(at, 1024))
      t.strictSame(made.array.failed.toSorted(), [1, 3])
      await assertHolds(t, made, `without them, after a failed ${op}`)
    }
  },
)

t.test('when no journal can be written writes fail, and the array is as before', async (t) => {
  const made = await make(raid5)
  const { array, volume, areas } = made
  array.remove(0)
  for (const area of areas) area.failNext('flush', { times: Number.POSITIVE_INFINITY })
  const failing = [1, 9, 17].map((block) => writeAll(volume, block * 4096, Buffer.alloc(4096)))
  for (const end of await Promise.allSettled(failing)) t.equal(end.status, 'rejected')
  await assertHolds(t, made, 'nothing is changed')
  for (const area of areas) area.heal()
  await writeBoth(made, 4096, bytesOf(5, 4096))
  const reopened = new TestArray(made.options)
  reopened.remove(0)
  await reopened.journal.recover()
  const found = await readAll(reopened.volume, 0, made.model.length)
  t.ok(found.equals(made.model), 'no record of what failed is replayed')
  t.equal(array.intents.active, 0)
})

t.test(
  'what is written in part beyond redundancy is finished when the journal is recovered',
  async (t) => {
    const made = await make(raid5)
    const { array, volume, disks, model } = made
    array.remove(memberOf(raid5, 0, 2))
    disks[memberOf(raid5, 0, 0)]!.failNext('write')
    const bytes = bytesOf(50, 1024)
    await t.rejects(writeAll(volume, 512, bytes), { name: 'VolumeError' })
    t.ok(array.journal.failure instanceof VolumeError)
    await t.rejects(readAll(volume, 2 * CHUNK, 512), { name: 'VolumeError', op: 'read' })
    await t.rejects(writeAll(volume, 9 * CHUNK, bytes), { name: 'VolumeError' })
    t.notOk(volume.writeNow(0, Buffer.alloc(3 * CHUNK), 0, 3 * CHUNK))
    await t.rejects(array.journal.retire(0, CHUNK), { name: 'VolumeError' })
    t.ok((await readAll(volume, CHUNK, CHUNK)).equals(model.subarray(CHUNK, 2 * CHUNK)))
    const reopened = new TestArray(made.options)
    reopened.remove(memberOf(raid5, 0, 2))
    await reopened.journal.recover()
    bytes.copy(model, 512)
    t.ok((await readAll(reopened.volume, 0, model.length)).equals(model))
  },
)

t.test('labels that cannot be written keep a write from being answered well', async (t) => {
  const made = await make(raid5)
  made.labels.canBeWritten = false
  made.disks[memberOf(raid5, 0, 0)]!.failNext('write')
  await t.rejects(writeAll(made.volume, 0, Buffer.alloc(3 * CHUNK)), { name: 'VolumeError' })
  t.equal(made.array.journal.failure, null, 'all of the row was being written')
})

t.test('a write whose intent cannot be made durable fails and changes nothing', async (t) => {
  const made = await make(raid5)
  made.array.intents.error = new VolumeError('write', 'bitmap', 0, 'no')
  await t.rejects(writeAll(made.volume, 0, Buffer.alloc(512)), {
    name: 'VolumeError',
    volume: 'bitmap',
  })
  made.array.intents.error = null
  await assertHolds(t, made, 'as before')
})

t.test('a scrub finds what differs, and mends it by the data', async (t) => {
  const made = await make(raid6)
  const { array, volume, media, disks, model } = made
  const clean = await volume.scrub(0, ROWS * CHUNK)
  t.strictSame(clean, { differingBytes: 0, repaired: [] })
  const [p, q] = [memberOf(raid6, 2, 3), memberOf(raid6, 2, 4)]
  media[p]!.writeNow(2 * CHUNK + 512, bytesOf(1, 1024), 0, 1024)
  media[q]!.writeNow(2 * CHUNK + 1024, bytesOf(2, 1024), 0, 1024)
  const data = memberOf(raid6, 5, 1)
  disks[data]!.failNext('read', { after: 5 })
  const found = await volume.scrub(0, ROWS * CHUNK)
  t.equal(found.differingBytes, 3 * 512)
  t.strictSame(found.repaired, [{ memberNumber: data, offset: 5 * CHUNK, length: CHUNK }])
  t.strictSame(await array.findWrongRows(model), [])
  t.strictSame(await volume.scrub(0, ROWS * CHUNK), clean)
})

t.test('without one of two parities the other is still verified', async (t) => {
  for (const lost of [0, 3, 4]) {
    const made = await make(raid6)
    const { array, volume, media } = made
    array.remove(memberOf(raid6, 2, lost))
    const checked = memberOf(raid6, 2, lost === 4 ? 3 : 4)
    media[checked]!.writeNow(2 * CHUNK, bytesOf(1, 512), 0, 512)
    t.equal((await volume.scrub(2 * CHUNK, CHUNK)).differingBytes, 512, `without chunk ${lost}`)
    t.equal((await volume.scrub(2 * CHUNK, CHUNK)).differingBytes, 0)
    await assertHolds(t, made, 'and then agrees')
  }
})

t.test('a resync makes parity agree, and fills a new disk while writes go on', async (t) => {
  const made = await make(raid6)
  const { array, volume, media, model } = made
  const p = memberOf(raid6, 1, 3)
  media[p]!.writeNow(CHUNK, bytesOf(1, CHUNK), 0, CHUNK)
  await volume.resync(CHUNK, CHUNK)
  t.strictSame(await array.findWrongRows(model), [])
  for (const number of [1, 4]) {
    array.remove(number)
    const disk = new MemoryVolume(`new${number}`, ROWS * CHUNK)
    array.insert(number, disk, new MemoryVolume(`newer${number}`, AREA_BYTES))
  }
  const rebuilding = array.rebuild()
  for (let at = 0; at < 40; at++) {
    await writeBoth(made, ((at * 37) % 700) * 512, bytesOf(at, 512 * (1 + (at % 9))))
  }
  await rebuilding
  t.strictSame(await array.findWrongRows(model), [])
  await t.rejects(volume.resync(0, ROWS * CHUNK + CHUNK), RangeError)
  await t.rejects(volume.scrub(1, CHUNK), RangeError)
})

t.test('whole rows go to healthy members at once, and anything else waits', async (t) => {
  const made = await make(raid5)
  const { array, volume, disks, model } = made
  const row = 3 * CHUNK
  const bytes = bytesOf(3, 2 * row)
  t.ok(volume.writeNow(row, bytes, 0, 2 * row))
  bytes.copy(model, row)
  t.strictSame(await array.findWrongRows(model), [])
  t.notOk(volume.writeNow(row, bytes, 0, row - 512), 'part of a row')
  t.ok(volume.writeNow(row, bytes, 0, 0), 'nothing')
  await writeBoth(made, 0, bytes.subarray(0, 512))
  t.notOk(volume.writeNow(0, bytes, 0, row), 'a record of the journal would be replayed over it')
  disks[1]!.refuseNow = true
  t.notOk(volume.writeNow(row, bytes, 0, row))
  t.notOk(volume.readNow(0, Buffer.alloc(row), 0, row))
  await writeBoth(made, row, bytes.subarray(0, row))
  t.strictSame(await array.findWrongRows(model), [])
  disks[1]!.refuseNow = false
  t.ok(volume.readNow(0, Buffer.alloc(row), 0, row))
  array.remove(1)
  t.notOk(volume.writeNow(row, bytes, 0, row))
  t.notOk(volume.readNow(0, Buffer.alloc(row), 0, row))
})

t.test(
  'discarded rows are holes on all members; what a missing member has counts as data',
  async (t) => {
    const geometry = { ...raid5, chunkSizeBytes: 64 * 1024 }
    const disks = [0, 1, 2, 3].map((number) => new MemoryVolume(`disk${number}`, ROWS * 64 * 1024))
    const array = new TestArray({
      geometry,
      memberSizeBytes: ROWS * 64 * 1024,
      disks,
      areas: [0, 1, 2, 3].map((number) => new MemoryVolume(`area${number}`, AREA_BYTES)),
      areaSizeBytes: AREA_BYTES,
    })
    await array.journal.recover()
    const { volume } = array
    const row = 3 * 64 * 1024
    t.strictSame(await runsOf(volume, 0, 8 * row), [{ isHole: true, length: 8 * row }])
    await writeAll(volume, 0, bytesOf(1, 8 * row))
    t.strictSame(await runsOf(volume, 512, row), [{ isHole: false, length: row }])
    await io((done) => volume.discard(row + 512, 3 * row, done))
    const runs = [
      { isHole: false, length: 2 * row },
      { isHole: true, length: 2 * row },
      { isHole: false, length: 4 * row },
    ]
    t.strictSame(await runsOf(volume, 0, 8 * row), runs)
    t.strictSame(await runsOf(volume, 0, 8 * row, 2), runs.slice(0, 2), 'a beginning')
    t.ok((await readAll(volume, row + 512, 3 * row)).equals(Buffer.alloc(3 * row)))
    const empty = new HoleMap(1)
    await io((done) => volume.locateHoles(0, 0, empty, done))
    t.equal(empty.length, 0)
    const chunk = 64 * 1024
    array.remove(memberOf(geometry, 2, 1))
    t.strictSame(await runsOf(volume, 2 * row, row), [
      { isHole: true, length: chunk },
      { isHole: false, length: chunk },
      { isHole: true, length: chunk },
    ])
  },
)

t.test('closing waits for what is in flight', async (t) => {
  const made = await make(raid5)
  const bytes = bytesOf(9, 5 * CHUNK)
  let isWritten = false
  const ioCompleted = () => {
    isWritten = true
  }
  made.volume.write(512, bytes, 0, bytes.length, { ioCompleted })
  await made.volume.close()
  t.ok(isWritten)
})

t.test('what did not go through the journal is not undone by it after a crash', async (t) => {
  const row = 3 * CHUNK
  const p = memberOf(raid5, 0, 3)
  const changes: [string, (made: Made, disks: Volume[]) => Promise<void>][] = [
    ['a whole row', (made) => writeBoth(made, 0, bytesOf(1, row))],
    [
      'a discarded row',
      async ({ volume, model }) => {
        await io((done) => volume.discard(0, row, done))
        model.fill(0, 0, row)
      },
    ],
    [
      'a member rebuilt',
      async (made, disks) => {
        made.array.remove(p)
        await writeBoth(made, 512, bytesOf(2, 1024))
        disks[p] = new MemoryVolume('new', ROWS * CHUNK)
        made.array.insert(p, disks[p], new MemoryVolume('newer', AREA_BYTES))
        await made.array.rebuild()
      },
    ],
    [
      'parity made right',
      async ({ media, volume }) => {
        // As if the disk had lost the write that the record is of, too.
        const data = memberOf(raid5, 0, 1)
        media[data]!.writeNow(512, bytesOf(3, 512), 0, 512)
        await volume.scrub(0, CHUNK)
        const found = await readAll(volume, CHUNK + 512, 512)
        t.ok(found.equals(bytesOf(3, 512)))
      },
    ],
  ]
  for (const [what, change] of changes) {
    const made = await make(raid5)
    const disks: Volume[] = [...made.disks]
    await writeBoth(made, 512, bytesOf(4, 512))
    await change(made, disks)
    const reopened = new TestArray({ ...made.options, disks })
    await reopened.journal.recover()
    if (what === 'parity made right') bytesOf(3, 512).copy(made.model, CHUNK + 512)
    t.strictSame(await reopened.findWrongRows(made.model), [], what)
  }
})

t.test('a geometry that its members do not have is refused', async (t) => {
  const made = await make(raid5)
  const { options } = made
  t.throws(() => new TestArray({ ...options, disks: options.disks.slice(1) }), RangeError)
  t.throws(() => new TestArray({ ...options, memberSizeBytes: CHUNK + 512 }), RangeError)
  t.throws(() => new TestArray({ ...options, areaSizeBytes: 16 * 1024 }), RangeError)
})
