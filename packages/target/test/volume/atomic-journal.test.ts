/** Atomic writes of an array: whole or not at all, whatever is cut short or fails. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { assembleArrays } from '../../src/volume/assembly.ts'
import { encodePartHeader, PART_HEADER_BYTES } from '../../src/volume/atomic-record.ts'
import type { DiskArray } from '../../src/volume/disk-array.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import {
  JOURNAL_SEGMENT_BYTES,
  JOURNAL_SEGMENT_OFFSETS,
} from '../../src/volume/journal-segments.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import type { PartitionVolume } from '../../src/volume/partition-volume.ts'
import type { Volume, VolumeError } from '../../src/volume/volume.ts'
import { assembleOne, blankDisks, CHUNK, create, MIB } from './arrays.ts'
import { io, readAll, writeAll } from './io.ts'
import { cutEverywhere, PowerCut, PowerCutVolume } from './power-cut.ts'

const KIB = 1024
const [firstSegment, secondSegment] = JOURNAL_SEGMENT_OFFSETS as [number, number]

const writeAtomic = (volume: PartitionVolume, offset: number, from: Buffer): Promise<void> =>
  io((completion) => volume.writeAtomic(offset, from, 0, from.length, completion))

/** What the journal has on these disks, byte by byte. */
async function journalOf(disks: readonly Volume[]): Promise<Buffer> {
  const segments: Buffer[] = []
  for (const disk of disks) {
    for (const offset of JOURNAL_SEGMENT_OFFSETS) {
      segments.push(await readAll(disk, offset, JOURNAL_SEGMENT_BYTES))
    }
  }
  return Buffer.concat(segments)
}

async function isBlank(disks: readonly Volume[]): Promise<boolean> {
  const journal = await journalOf(disks)
  return journal.equals(Buffer.alloc(journal.length))
}

/** An array with a partition `p` in two extents, of `rows` rows each, that is filled with A5h. */
async function makeArray(disks: readonly Volume[], rows: number): Promise<DiskArray> {
  const array = await create(disks)
  const half = rows * CHUNK * disks.length
  await array.createPartition({ name: 'p', sizeBytes: half })
  await array.createPartition({ name: 'between', sizeBytes: CHUNK })
  await array.growPartition('p', 2 * half)
  const volume = array.openPartition('p')
  await writeAll(volume, 0, Buffer.alloc(2 * half, 0xa5))
  await io((completion) => volume.flush(completion))
  await volume.close()
  return array
}

t.test('an atomic write lands where a write would, and leaves its journal blank', async (t) => {
  for (const [diskCount, maxBytes] of [
    [1, 888 * KIB],
    [2, MIB],
    [5, MIB],
  ] as const) {
    const disks = blankDisks(diskCount)
    const array = await makeArray(disks, 16)
    const volume = array.openPartition('p')
    t.equal(volume.atomicWriteMaxBytes, maxBytes)
    const model = Buffer.alloc(volume.sizeBytes, 0xa5)
    for (const [offset, length] of [
      [512, 512],
      [volume.sizeBytes - maxBytes, maxBytes],
      [volume.sizeBytes / 2 - 300 * KIB - 512, 600 * KIB],
      [0, 0],
    ] as const) {
      const from = randomBytes(length)
      await writeAtomic(volume, offset, from)
      from.copy(model, offset)
      t.ok((await readAll(volume, 0, model.length)).equals(model), `${length} at ${offset}`)
      t.equal(await isBlank(disks), true)
    }
    const tooMuch = Buffer.alloc(maxBytes + 512)
    await t.rejects(writeAtomic(volume, 0, tooMuch), new RegExp(`at most ${maxBytes} bytes`))
  }
})

t.test('power cut anywhere in an atomic write leaves all of it or nothing', async (t) => {
  for (const { diskCount, length } of [
    { diskCount: 1, length: 700 * KIB },
    { diskCount: 2, length: 600 * KIB },
    { diskCount: 2, length: 4 * KIB },
  ]) {
    const offset = 8 * CHUNK * diskCount - length / 2
    const from = Buffer.alloc(length, 0x5a)
    const outcomes = { old: 0, new: 0 }
    const ends = await cutEverywhere(
      async () => {
        const disks = blankDisks(diskCount, 3 * MIB)
        await makeArray(disks, 8)
        return disks
      },
      async (disks) => writeAtomic((await assembleOne(disks)).openPartition('p'), offset, from),
      async (disks, completed, cutAt) => {
        // Cut again in the midst of making it good, then look.
        const again = new PowerCut(cutAt % 7, () => 0.5)
        const unlucky = disks.map((disk) => new PowerCutVolume(disk, again))
        await assembleArrays(unlucky)
        const found = unlucky.map((disk) => disk.afterCut())
        const volume = (await assembleOne(found)).openPartition('p')
        const bytes = await readAll(volume, 0, volume.sizeBytes)
        const whole = bytes[offset] === from[0]
        const model = Buffer.alloc(volume.sizeBytes, 0xa5)
        if (whole) from.copy(model, offset)
        outcomes[whole ? 'new' : 'old']++
        t.ok(bytes.equals(model), `cut after ${cutAt} operations: ${whole ? 'new' : 'old'}`)
        if (completed) t.equal(whole, true, 'and what was reported is there')
        t.equal(await isBlank(found), true)
      },
    )
    t.ok(ends >= 7, `takes ${ends} operations`)
    t.ok(outcomes.old > 2 && outcomes.new > 2, JSON.stringify(outcomes))
  }
})

t.test(
  'power cut anywhere after an atomic write undoes neither it nor what came later',
  async (t) => {
    const length = 80 * KIB
    const [first, second] = [Buffer.alloc(length, 0x5a), Buffer.alloc(length, 0x77)]
    let reported = false
    const ends = await cutEverywhere(
      async () => {
        const disks = blankDisks(2, 2 * MIB)
        await makeArray(disks, 4)
        reported = false
        return disks
      },
      async (disks) => {
        const volume = (await assembleOne(disks)).openPartition('p')
        await writeAtomic(volume, 0, first)
        reported = true
        await writeAll(volume, 0, second)
        await io((completion) => volume.flush(completion))
      },
      async (disks, completed, cutAt) => {
        const volume = (await assembleOne(disks)).openPartition('p')
        const values = new Set(await readAll(volume, 0, length))
        const one = values.size === 1
        if (completed) t.ok(one && values.has(0x77), 'what was flushed is there')
        else if (reported) t.notOk(values.has(0xa5), `cut after ${cutAt} operations, it is there`)
        else t.ok(one && !values.has(0x77), `cut after ${cutAt} operations, it is whole`)
      },
    )
    t.ok(ends >= 10, `takes ${ends} operations`)
  },
)

/** Writes the record of an atomic write of `data` at the beginning of partition `p`, in parts. */
async function leaveRecord(disk: Volume, array: DiskArray, data: Buffer, changes: object = {}) {
  const partLength = data.length / 2
  for (const [partNumber, place] of [firstSegment, secondSegment].entries()) {
    const part = {
      arrayId: array.id,
      partitionId: array.partition('p').id,
      recordId: '00000000-0000-4000-8000-000000000001',
      partNumber,
      partCount: 2,
      offset: partNumber * partLength,
      length: partLength,
      ...changes,
    }
    await writeAll(disk, place, encodePartHeader(part, data, partNumber * partLength))
    const bytes = data.subarray(partNumber * partLength, (partNumber + 1) * partLength)
    await writeAll(disk, place + PART_HEADER_BYTES, bytes)
  }
}

t.test('a record that is whole is written in place when the array is assembled', async (t) => {
  const [disk] = blankDisks(1) as [MemoryVolume]
  const data = randomBytes(200 * KIB)
  await leaveRecord(disk, await makeArray([disk], 8), data)
  const volume = (await assembleOne([disk])).openPartition('p')
  t.ok((await readAll(volume, 0, data.length)).equals(data))
  t.ok((await readAll(volume, data.length, CHUNK)).every((byte) => byte === 0xa5))
  t.equal(await isBlank([disk]), true)
  await writeAll(volume, 0, Buffer.alloc(KIB, 'later'))
  const again = (await assembleOne([disk])).openPartition('p')
  const found = (await readAll(again, 0, 512)).toString('latin1', 0, 5)
  t.equal(found, 'later', 'once, and not over what came later')
})

t.test('a record that is torn, or belongs to something else, is dropped', async (t) => {
  const other = '00000000-0000-4000-8000-00000000000f'
  const spoil = (place: number) => async (disk: Volume) => {
    const block = await readAll(disk, place - (place % 512), 512)
    block[place % 512] = (block[place % 512] as number) ^ 1
    await writeAll(disk, place - (place % 512), block)
  }
  const cases: [string, object, ((disk: Volume) => Promise<void>) | null][] = [
    ['a bit of its first header is wrong', {}, spoil(firstSegment + 27)],
    ['a bit of its magic is wrong', {}, spoil(secondSegment)],
    ['its length is beyond the segment', {}, spoil(secondSegment + 20)],
    ['a bit of its data is wrong', {}, spoil(firstSegment + PART_HEADER_BYTES + 60_000)],
    [
      'a part is missing',
      {},
      (disk) => io((completion) => disk.discard(secondSegment, JOURNAL_SEGMENT_BYTES, completion)),
    ],
    ['it is of another array', { arrayId: other }, null],
    ['it is of a partition that is not there any more', { partitionId: other }, null],
  ]
  for (const [name, changes, change] of cases) {
    const [disk] = blankDisks(1) as [MemoryVolume]
    await leaveRecord(disk, await makeArray([disk], 8), randomBytes(200 * KIB), changes)
    await change?.(disk)
    const volume = (await assembleOne([disk])).openPartition('p')
    const bytes = await readAll(volume, 0, volume.sizeBytes)
    t.equal(bytes.equals(Buffer.alloc(bytes.length, 0xa5)), true, name)
    t.equal(await isBlank([disk]), true)
  }
})

t.test('a record of a later version makes the array unavailable, and is left', async (t) => {
  const [disk] = blankDisks(1) as [MemoryVolume]
  await leaveRecord(disk, await makeArray([disk], 8), randomBytes(200 * KIB))
  const { createHash } = await import('node:crypto')
  const part = await readAll(disk, firstSegment, PART_HEADER_BYTES + 100 * KIB)
  part.writeUInt32BE(2, 8)
  part.fill(0, 80, 112)
  createHash('sha256').update(part).digest().copy(part, 80)
  await writeAll(disk, firstSegment, part)
  const before = await journalOf([disk])
  const { arrays, failed } = await assembleArrays([disk])
  t.equal(arrays.length, 0)
  t.match(failed[0]?.reason, /journal has version 2, this software knows 1/)
  t.ok((await journalOf([disk])).equals(before))
})

/** One disk, whose operations in an atomic write of one part and one chunk are known by number. */
async function startFaulty() {
  const disk = new FaultVolume(new MemoryVolume('disk0', 5 * MIB))
  const array = await makeArray([disk], 8)
  return { disk, array, volume: array.openPartition('p') }
}

const OLD = Buffer.alloc(8 * KIB, 0xa5)
const NEW = Buffer.alloc(8 * KIB, 0x5a)

t.test('an atomic write whose record cannot be made has changed nothing', async (t) => {
  for (const [op, after] of [
    ['write', 0],
    ['write', 1],
    ['flush', 0],
  ] as const) {
    const { disk, array, volume } = await startFaulty()
    disk.failNext(op, { after, tornAtBytes: 4096 })
    await t.rejects(writeAtomic(volume, 0, NEW), /injected fault/, `${op} ${after}`)
    t.ok((await readAll(volume, 0, OLD.length)).equals(OLD))
    t.equal(array.problem, null)
    t.equal(await isBlank([disk]), true)
    await writeAtomic(volume, 0, NEW)
    t.ok((await readAll(volume, 0, NEW.length)).equals(NEW), 'and the next goes well')
  }
})

t.test('bytes of an atomic write that is not finished cannot be used until it is', async (t) => {
  const faults: [string, (disk: FaultVolume) => void][] = [
    ['neither made nor erased', (disk) => disk.failNext('flush', { after: 0, times: 2 })],
    ['not in place', (disk) => disk.failNext('write', { after: 2, tornAtBytes: 4096 })],
    ['not flushed', (disk) => disk.failNext('flush', { after: 1 })],
    ['not erased', (disk) => disk.failNext('write', { after: 3 })],
  ]
  const uses: [string, (volume: PartitionVolume) => Promise<unknown>][] = [
    ['read', (volume) => readAll(volume, 4 * KIB, 8 * KIB)],
    ['write', (volume) => writeAll(volume, 4 * KIB, OLD)],
    ['discard', (volume) => io((completion) => volume.discard(0, 4 * KIB, completion))],
  ]
  for (const [name, plan] of faults) {
    const { disk, array, volume } = await startFaulty()
    plan(disk)
    await t.rejects(writeAtomic(volume, 0, NEW), /injected fault/, name)
    for (const [op, use] of uses) {
      const failure: unknown = await use(volume).catch((error) => error)
      t.match(failure, {
        message: /tank\/p at byte .*an atomic write of these bytes is not finished/,
      })
      t.equal((failure as VolumeError).op, op)
      t.match(rootOf(failure), { code: 'EIO' }, 'it came of what the system said')
    }
    t.equal(volume.readNow(0, Buffer.alloc(512), 0, 512), false)
    t.equal(volume.writeNow(4096, NEW, 0, 4096), false)
    t.ok((await readAll(volume, 8 * KIB, 8 * KIB)).equals(OLD), 'those beside it can')
    t.match(array.problem, /bytes 0 to 8191 of partition p is not finished/)
    disk.failNext('read')
    await t.rejects(writeAtomic(volume, 64 * KIB, NEW), /read failed/, 'nor can another begin')
    await writeAtomic(volume, 64 * KIB, NEW)
    t.equal(array.problem, null, 'until the disk is well')
    const found = await readAll(volume, 0, NEW.length)
    t.ok(found.equals(NEW) || found.equals(OLD))
    t.ok((await readAll(volume, 64 * KIB, NEW.length)).equals(NEW))
    t.equal(await isBlank([disk]), true)
  }
})

t.test('a write that is not finished is, when its array is assembled again', async (t) => {
  const { disk, volume } = await startFaulty()
  disk.failNext('write', { after: 2, times: 2, tornAtBytes: 4096 })
  await t.rejects(writeAtomic(volume, 0, NEW), /injected fault/)
  const failing = await assembleOne([disk])
  t.match(failing.problem, /is not finished/, 'the disk does not take it yet')
  const waiting = failing.openPartition('p')
  await t.rejects(readAll(waiting, 0, 512), /not finished/)
  const array = await assembleOne([disk])
  t.equal(array.problem, null)
  t.ok((await readAll(array.openPartition('p'), 0, NEW.length)).equals(NEW))
})

t.test(
  'a partition with a write that is not finished can be deleted, with its record',
  async (t) => {
    const { disk, array, volume } = await startFaulty()
    disk.failNext('write', { after: 2 })
    await t.rejects(writeAtomic(volume, 0, NEW), /injected fault/)
    await volume.close()
    await array.deletePartition('p')
    t.equal(array.problem, null)
    await array.createPartition({ name: 'q', sizeBytes: MIB })
    const q = (await assembleOne([disk])).openPartition('q')
    t.ok((await readAll(q, 0, MIB)).every((byte) => byte === 0))
  },
)

t.test(
  'atomic writes asked for at once are done in turn, and closing waits for them',
  async (t) => {
    const disks = blankDisks(3)
    const volume = (await makeArray(disks, 8)).openPartition('p')
    const all = Array.from({ length: 8 }, (_, number) =>
      writeAtomic(volume, 32 * KIB * number, Buffer.alloc(256 * KIB, number + 1)),
    )
    await volume.close()
    await Promise.all(all)
    await t.rejects(writeAtomic(volume, 0, NEW), /closed/)
    const reopened = (await assembleOne(disks)).openPartition('p')
    const found = await readAll(reopened, 0, 8 * 32 * KIB)
    for (let number = 0; number < 8; number++) {
      const piece = found.subarray(32 * KIB * number, 32 * KIB * (number + 1))
      t.ok(piece.every((byte) => byte === number + 1))
    }
  },
)

t.test('disks of a destroyed array are blank, whatever its journal had held', async (t) => {
  const { disk, array, volume } = await startFaulty()
  disk.failNext('write', { after: 2 })
  await t.rejects(writeAtomic(volume, 0, NEW), /injected fault/)
  await volume.close()
  await array.deletePartition('p')
  await array.deletePartition('between')
  t.equal(await isBlank([disk]), false)
  await array.destroy()
  t.equal(await isBlank([disk]), true)
  await create([disk])
})

/** The first of the errors that this one came of. */
function rootOf(error: unknown): unknown {
  let root = error
  while (root instanceof Error && root.cause !== undefined) root = root.cause
  return root
}
