/** A mirror in miniature, whose power is cut: wherever its members differ, every copy of the bitmap says so. */
import fc from 'fast-check'
import t from 'tap'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { IntentBitmap } from '../../../src/volume/raid/intent-bitmap.ts'
import { settled } from '../../../src/volume/settled.ts'
import type { IoCompletion, Volume } from '../../../src/volume/volume.ts'
import { io, readAll, writeAll } from '../io.ts'
import { cutEverywhere, PowerCut, PowerCutVolume } from '../power-cut.ts'
import { FakeClock } from './fake-clock.ts'
import {
  Failures,
  formatted,
  geometryOf,
  IDLE_MS,
  type LiveMember,
  membersOn,
  REGION,
  regionsOn,
} from './intent-array.ts'

const REGIONS = 6
const SECTOR = 512
const geometry = geometryOf(REGIONS)

/** Two copies of the bitmap, then two copies of the data. */
async function blankPair(): Promise<MemoryVolume[]> {
  const data = ['a', 'b'].map((name) => new MemoryVolume(name, geometry.memberSizeBytes))
  return [...(await formatted(2, geometry)), ...data]
}

class Mirror {
  readonly clock = new FakeClock()
  readonly bitmap: IntentBitmap
  readonly #members: readonly LiveMember[]
  readonly #data: readonly Volume[]
  #value = 0

  private constructor(
    bitmap: IntentBitmap,
    clock: FakeClock,
    members: readonly LiveMember[],
    data: readonly Volume[],
  ) {
    this.bitmap = bitmap
    this.clock = clock
    this.#members = members
    this.#data = data
  }

  static async open(disks: readonly Volume[]): Promise<Mirror> {
    const members = membersOn(disks.slice(0, 2))
    const data = disks.slice(2)
    const clock = new FakeClock()
    const bitmap = await IntentBitmap.load({
      ...geometry,
      name: 'mirror',
      members,
      failures: new Failures(members),
      flush: (completion) => flushAll(data, completion),
      idleMs: IDLE_MS,
      markAheadBytes: 2 * REGION,
      clock,
    })
    return new Mirror(bitmap, clock, members, data)
  }

  /** Writes a sector at the beginning of some regions. */
  async write(region: number, count = 1): Promise<void> {
    await this.begin(region, count)
    await this.finish(region, count)
  }

  begin(region: number, count = 1): Promise<void> {
    return io((completion) => this.bitmap.begin(region * REGION, count * REGION, completion))
  }

  async finish(region: number, count = 1): Promise<void> {
    const writes: Promise<void>[] = []
    const bytes = this.#nextBytes()
    for (let at = region; at < region + count; at++) {
      writes.push(...this.#data.map((disk) => writeAll(disk, at * REGION, bytes)))
    }
    const outcomes = await Promise.allSettled(writes)
    this.bitmap.end(region * REGION, count * REGION)
    if (outcomes.some(({ status }) => status === 'rejected')) throw new Error('cut')
  }

  /** As a write in the synchronous form: it has ended when this returns. */
  writeNow(region: number): boolean {
    if (!this.bitmap.beginNow(region * REGION, SECTOR)) return false
    const bytes = this.#nextBytes()
    for (const disk of this.#data) {
      disk.write(region * REGION, bytes, 0, SECTOR, { ioCompleted: () => {} })
    }
    return true
  }

  async flush(): Promise<void> {
    await settled((completion) => flushAll(this.#data, completion))
  }

  /** Makes the second member as the first wherever they may differ. */
  async resync(): Promise<void> {
    const { bitmap } = this
    const since = bitmap.staleMarks
    const regions: number[] = []
    for (let at = bitmap.nextStale(0); at >= 0; at = bitmap.nextStale(at + 1)) {
      const bytes = await readAll(this.#data[0]!, at * REGION, REGION)
      await writeAll(this.#data[1]!, at * REGION, bytes)
      regions.push(at)
    }
    await this.flush()
    for (const region of regions) bitmap.resynced(region, since)
  }

  /** Time for what is idle to be cleared. */
  async idle(): Promise<void> {
    await this.clock.advance(2 * IDLE_MS)
    if (this.#members.some(({ state }) => state === 'absent')) throw new Error('cut')
  }

  /** Rejects if there is no power any more, which closing the bitmap alone does not tell. */
  async close(): Promise<void> {
    await this.bitmap.close()
    await this.flush()
  }

  #nextBytes(): Buffer {
    this.#value = (this.#value % 255) + 1
    return Buffer.alloc(SECTOR, this.#value)
  }
}

function flushAll(disks: readonly Volume[], completion: IoCompletion): void {
  settled((done) => disks[0]!.flush(done))
    .then(() => settled((done) => disks[1]!.flush(done)))
    .then(
      () => completion.ioCompleted(null),
      (error) => completion.ioCompleted(error),
    )
}

async function differing(disks: readonly Volume[]): Promise<number[]> {
  const [a, b] = [
    await readAll(disks[2]!, 0, geometry.memberSizeBytes),
    await readAll(disks[3]!, 0, geometry.memberSizeBytes),
  ]
  const regions = Array.from({ length: REGIONS }, (_, region) => region)
  return regions.filter((region) => {
    const [start, end] = [region * REGION, (region + 1) * REGION]
    return a!.compare(b!, start, end, start, end) !== 0
  })
}

/** The regions that differ without every copy saying so. */
async function unmarked(disks: readonly Volume[]): Promise<number[]> {
  const copies = [await regionsOn(disks[0]!, geometry), await regionsOn(disks[1]!, geometry)]
  return (await differing(disks)).filter((region) => copies.some((copy) => !copy.includes(region)))
}

t.test('power cut anywhere in writes, flushes and clears finds all differences', async (t) => {
  let different = 0
  const ends = await cutEverywhere(
    blankPair,
    async (disks) => {
      const mirror = await Mirror.open(disks)
      await Promise.all([mirror.write(0), mirror.write(4)])
      await mirror.write(1, 2)
      mirror.writeNow(0)
      await mirror.flush()
      await mirror.idle()
      await mirror.begin(2)
      await mirror.write(5)
      mirror.writeNow(5)
      await mirror.idle()
      await mirror.finish(2)
      await mirror.idle()
      await mirror.write(0)
      await mirror.close()
    },
    async (disks, completed, cutAt) => {
      t.strictSame(await unmarked(disks), [], `cut after ${cutAt} operations`)
      different += (await differing(disks)).length
      if (!completed) return
      const copies = [await regionsOn(disks[0]!, geometry), await regionsOn(disks[1]!, geometry)]
      t.strictSame(copies, [[], []], 'closed, nothing is left to look at')
    },
  )
  t.ok(ends > 40, `takes ${ends} operations`)
  t.ok(different > 10, `${different} regions differed`)
})

t.test('power cut anywhere while what a power cut left is mended', async (t) => {
  let different = 0
  const ends = await cutEverywhere(
    async () => {
      const disks = await blankPair()
      const cut = new PowerCut(18, () => 0)
      const volumes = disks.map((disk) => new PowerCutVolume(disk, cut))
      const mirror = await Mirror.open(volumes)
      await mirror.write(0, 3)
      const last = Promise.allSettled([mirror.write(5), mirror.write(3)])
      await last
      const found = volumes.map((volume) => volume.afterCut())
      // What reached one of the disks alone.
      await writeAll(found[2]!, REGION, Buffer.alloc(SECTOR, 0x99))
      return found
    },
    async (disks) => {
      const mirror = await Mirror.open(disks)
      await mirror.resync()
      mirror.writeNow(1)
      await mirror.write(4)
      await mirror.idle()
      await mirror.close()
    },
    async (disks, completed, cutAt) => {
      t.strictSame(await unmarked(disks), [], `cut after ${cutAt} operations`)
      different += (await differing(disks)).length
      if (completed) t.strictSame(await differing(disks), [])
    },
  )
  t.ok(ends > 15, `takes ${ends} operations`)
  t.ok(different > 5, `${different} regions differed`)
})

type Step = {
  readonly op: 'write' | 'begin' | 'finish' | 'now' | 'flush' | 'idle' | 'resync' | 'stale'
  readonly region: number
  readonly count: number
  readonly isAwaited: boolean
}

const steps = fc.array(
  fc.record<Step>({
    op: fc.constantFrom(
      'write',
      'write',
      'begin',
      'finish',
      'now',
      'flush',
      'idle',
      'resync',
      'stale',
    ),
    region: fc.nat({ max: REGIONS - 1 }),
    count: fc.integer({ min: 1, max: 3 }),
    isAwaited: fc.boolean(),
  }),
  { minLength: 1, maxLength: 25 },
)

/** Runs the steps, some of them at the same time, for as long as there is power. */
async function run(mirror: Mirror, steps: readonly Step[], cut: PowerCut): Promise<void> {
  const underWay: Promise<unknown>[] = []
  const begun: Promise<number>[] = []
  const start = ({ op, region, count }: Step): Promise<unknown> => {
    if (op === 'write') return mirror.write(region, Math.min(count, REGIONS - region))
    if (op === 'flush') return mirror.flush()
    if (op === 'idle') return mirror.idle()
    if (op === 'resync') return mirror.resync()
    if (op === 'stale') return mirror.bitmap.markStale((offset) => offset === region * REGION)
    if (op === 'begin') begun.push(mirror.begin(region).then(() => region))
    if (op === 'now') mirror.writeNow(region)
    if (op === 'finish') return Promise.resolve(begun.shift()?.then((one) => mirror.finish(one)))
    return Promise.resolve(begun.at(-1))
  }
  for (const step of steps) {
    if (cut.isCut) break
    // Nothing here keeps writes out of what is being resynced.
    if (step.op === 'resync') await Promise.allSettled(underWay)
    const outcome = start(step).catch(() => {})
    underWay.push(outcome)
    if (step.isAwaited || step.op === 'resync') await outcome
  }
  await Promise.allSettled([...underWay, ...begun])
}

t.test('whatever is done, and whenever the power is cut, no difference is lost', async (t) => {
  let cuts = 0
  const property = fc.asyncProperty(
    steps,
    fc.integer({ min: 4, max: 150 }),
    fc.integer({ min: 1, max: 2147483646 }),
    async (steps, operations, seed) => {
      let state = seed
      const random = () => {
        state = (state * 48271) % 2147483647
        return state / 2147483647
      }
      const cut = new PowerCut(operations, random)
      const disks = (await blankPair()).map((disk) => new PowerCutVolume(disk, cut))
      await run(await Mirror.open(disks), steps, cut)
      if (cut.isCut) cuts++
      const found = disks.map((disk) => disk.afterCut())
      const lost = await unmarked(found)
      if (lost.length > 0) throw new Error(`regions ${lost} differ, and are not marked`)
    },
  )
  await fc.assert(property, { numRuns: 300 })
  t.ok(cuts > 50, `${cuts} power cuts`)
})
