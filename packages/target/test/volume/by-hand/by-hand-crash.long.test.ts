// Disks as a crash leaves them, read by hand: what was in flight may be there or not, and all else must be.

import t from 'tap'
import { createArray } from '../../../src/volume/array.ts'
import type { ArrayLevel } from '../../../src/volume/array-description.ts'
import type { DiskArray } from '../../../src/volume/disk-array.ts'
import { io, writeAll } from '../io.ts'
import { FakeClock } from '../raid/fake-clock.ts'
import { filled, SectorModel } from '../sector-model.ts'
import { type Machine, SimulatedDisk } from '../simulated-disk.ts'
import { openByHand } from './array.ts'
import { choices, DISK_BYTES, imagesOf, noise } from './disks.ts'

const SECTOR_BYTES = 512
const CHUNK_BYTES = 8192
const SECTORS = 400
/** How many crashes of each kind. */
const SEEDS = 3

interface Crash {
  readonly level: ArrayLevel
  readonly memberCount: number
  readonly checksums: boolean
  /** Whether what was not flushed is lost too, by chance. */
  readonly isPowerCut: boolean
  /** Members that are taken out before. */
  readonly takenOut: readonly number[]
  readonly seed: number
}

interface Crashed {
  readonly images: readonly Buffer[]
  readonly model: SectorModel
}

t.test('a crash in the midst of writes leaves what was acknowledged', async (t) => {
  for (const isPowerCut of [false, true]) {
    for (const [level, memberCount, spare] of [
      ['raid0', 2, 0],
      ['raid1', 2, 1],
      ['raid10', 4, 1],
      ['raid5', 4, 1],
      ['raid6', 5, 2],
    ] as const) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const checksums = seed % 3 !== 0
        const crash = { level, memberCount, checksums, isPowerCut, takenOut: [], seed }
        const crashed = await crashAmidWrites(crash)
        const what = `${level}, ${isPowerCut ? 'power cut' : 'process ended'} ${seed}`
        t.strictSame(problems(crashed, crashed.images), [], what)
        // Rows that were being written as a whole need no record, and can only be had of all.
        if (hasParity(level)) crashed.model.loosen()
        for (const missing of choices(memberCount, spare)) {
          const rest = crashed.images.filter((_, number) => !missing.includes(number))
          t.strictSame(problems(crashed, rest), [], `${what}, without ${missing}`)
        }
      }
    }
  }
})

t.test('a crash with a member absent leaves what was acknowledged, and whole rows', async (t) => {
  for (const isPowerCut of [false, true]) {
    for (const [level, memberCount, takenOut, missing] of [
      ['raid1', 3, [0], [1]],
      ['raid10', 4, [3], [0]],
      ['raid5', 4, [1], []],
      ['raid6', 5, [4], [2]],
      ['raid6', 5, [0, 3], []],
    ] as const) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const checksums = seed % 3 !== 0
        const crash = { level, memberCount, checksums, isPowerCut, takenOut, seed }
        const crashed = await crashAmidWrites(crash)
        const rest = crashed.images.filter((_, number) => !missing.some((n) => n === number))
        const what = `${level} without ${takenOut}, ${isPowerCut ? 'power cut' : 'ended'} ${seed}`
        t.strictSame(problems(crashed, rest), [], what)
      }
    }
  }
})

t.test('an atomic write that was under way is there wholly or not at all', async (t) => {
  for (const [level, memberCount, missing] of [
    ['raid0', 3, []],
    ['raid1', 2, [0]],
    ['raid10', 4, [1, 2]],
    ['raid5', 3, [2]],
    ['raid6', 4, [0, 1]],
  ] as const) {
    const shape = { level, memberCount }
    const { operations } = await crashAmidAtomicWrite(shape, Number.MAX_SAFE_INTEGER)
    const found = { old: 0, new: 0, mixture: 0 }
    for (let part = 0; part < 8; part++) {
      const cutAt = Math.floor((part / 8) * operations)
      const { images, old, written } = await crashAmidAtomicWrite(shape, cutAt)
      const rest = images.filter((_, number) => !missing.some((n) => n === number))
      for (const some of [images, rest]) {
        const bytes = openByHand(some, 'tank').readPartition('p')
        found[bytes.equals(written) ? 'new' : bytes.equals(old) ? 'old' : 'mixture']++
      }
    }
    t.ok(found.old > 0 && found.new > 0, `${level}: ${found.old} old, ${found.new} new`)
    t.equal(found.mixture, 0, `${level}: no mixture`)
  }
})

/** One whose record has two parts. The disks are gone after `cutAt` operations. */
async function crashAmidAtomicWrite(shape: Pick<Crash, 'level' | 'memberCount'>, cutAt: number) {
  const { machine, disks, array } = await make({ ...shape, checksums: true, seed: cutAt + 1 })
  await array.createPartition({ name: 'p', sizeBytes: 600 * 1024 })
  const volume = array.openPartition('p')
  const old = noise(volume.sizeBytes, 1)
  await writeAll(volume, 0, old)
  await io((completion) => volume.flush(completion))
  const bytes = noise(500 * 1024, 2)
  const offset = 12 * 1024
  const written = Buffer.from(old)
  bytes.copy(written, offset)
  machine.operationsLeft = cutAt
  await io((completion) => volume.writeAtomic(offset, bytes, 0, bytes.length, completion)).catch(
    () => {},
  )
  const operations = cutAt - machine.operationsLeft
  return { images: await endOf(machine, disks, true), operations, old, written }
}

/** Writes and flushes, some at once, until the disks are gone. */
async function crashAmidWrites(crash: Crash): Promise<Crashed> {
  const { machine, disks, array } = await make(crash)
  const random = machine.random
  const below = (limit: number) => Math.floor(random() * limit)
  await array.createPartition({ name: 'p', sizeBytes: SECTORS * SECTOR_BYTES, blockFormat: '512' })
  const volume = array.openPartition('p')
  const model = new SectorModel()
  model.grow(SECTORS)
  let fill = 0
  const write = async (first: number, count: number) => {
    fill++
    model.writing(first, count, fill)
    const bytes = Buffer.concat(new Array(count).fill(filled(fill)))
    const offset = first * SECTOR_BYTES
    const isNow = random() < 0.5 && volume.writeNow(offset, bytes, 0, bytes.length)
    if (!isNow) await writeAll(volume, offset, bytes)
    model.written(first, count)
  }
  const flush = async () => {
    const mark = model.mark()
    await io((completion) => volume.flush(completion))
    model.flushed(mark)
  }
  await write(0, SECTORS)
  // So that the row journal has come round to its beginning.
  const long = crash.seed % 2 === 0 && hasParity(crash.level) ? 300 : 0
  for (let n = 0; n < long; n++) await write(below(SECTORS - 40), 1 + below(40))
  await flush()
  for (const number of crash.takenOut) await array.upkeep.fail(disks[number] as SimulatedDisk)
  machine.operationsLeft = 10 + below(150)
  while (machine.operationsLeft >= 0) {
    const tenth = SECTORS / 10
    const writes = [0, 3, 6].map((part) => {
      const first = (part + below(3)) * tenth + below(tenth)
      return write(first, 1 + below(Math.min(random() < 0.3 ? 90 : 10, (part + 3) * tenth - first)))
    })
    const results = await Promise.allSettled(random() < 0.3 ? [...writes, flush()] : writes)
    if (results.some(({ status }) => status === 'rejected')) break
  }
  const images = await endOf(machine, disks, crash.isPowerCut)
  if (crash.isPowerCut) model.cut()
  return { images, model }
}

interface Made {
  readonly machine: Machine
  readonly disks: readonly SimulatedDisk[]
  readonly array: DiskArray
}

async function make({
  level,
  memberCount,
  checksums,
  seed,
}: Pick<Crash, 'level' | 'memberCount' | 'checksums' | 'seed'>): Promise<Made> {
  const machine = { random: makeRandom(seed), operationsLeft: Number.POSITIVE_INFINITY }
  const disks = Array.from(
    { length: memberCount },
    (_, n) => new SimulatedDisk(`disk${n}`, DISK_BYTES, machine),
  )
  const hooks = { clock: new FakeClock() }
  const chunkSizeBytes = CHUNK_BYTES
  const array = await createArray({ name: 'tank', level, chunkSizeBytes, checksums, disks, hooks })
  return { machine, disks, array }
}

function hasParity(level: ArrayLevel): boolean {
  return level === 'raid5' || level === 'raid6'
}

/** What is on the disks after the crash. */
async function endOf(
  machine: Machine,
  disks: readonly SimulatedDisk[],
  isPowerCut: boolean,
): Promise<Buffer[]> {
  machine.operationsLeft = -2
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  machine.operationsLeft = Number.POSITIVE_INFINITY
  if (isPowerCut) for (const disk of disks) disk.recover()
  return await imagesOf(disks)
}

/** What is wrong with what is read by hand. */
function problems({ model }: Crashed, images: readonly Buffer[]): string[] {
  try {
    const problem = model.check(0, openByHand(images, 'tank').readPartition('p'))
    return problem === null ? [] : [problem]
  } catch (error) {
    return [String(error)]
  }
}

/** Numbers from 0 to 1 that depend on the seed alone. */
function makeRandom(seed: number): () => number {
  let state = seed * 7919 + 1
  return () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
}
