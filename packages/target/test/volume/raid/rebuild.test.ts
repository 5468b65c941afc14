import t from 'tap'
import type { JobState } from '../../../src/volume/raid/background-job.ts'
import type { IntentBitmap } from '../../../src/volume/raid/intent-bitmap.ts'
import { Rebuild, type RebuildOptions } from '../../../src/volume/raid/rebuild.ts'
import { Throttle, type ThrottleOptions } from '../../../src/volume/raid/throttle.ts'
import { VolumeError } from '../../../src/volume/volume.ts'
import { settle } from './fake-clock.ts'
import { IDLE_MS, IntentArray, KIB, REGION, touch } from './intent-array.ts'

interface Slice {
  readonly offset: number
  readonly length: number
}

/** A rebuild of an array in which a slice takes `sliceMs`. */
class RebuildArray {
  readonly array: IntentArray
  readonly bitmap: IntentBitmap
  readonly slices: Slice[] = []
  readonly states: JobState[] = []
  readonly rebuild: Rebuild
  beforeSlice: (slice: Slice) => Promise<void> | void = () => {}
  sliceMs = 1

  private constructor(
    array: IntentArray,
    bitmap: IntentBitmap,
    options: Partial<RebuildOptions>,
    throttle: Partial<ThrottleOptions>,
  ) {
    this.array = array
    this.bitmap = bitmap
    const { clock } = array
    this.rebuild = new Rebuild({
      bitmap,
      resync: async (offset, length) => {
        await this.beforeSlice({ offset, length })
        if (this.sliceMs > 0) {
          await new Promise<void>((resolve) => clock.after(this.sliceMs, resolve))
        }
        this.slices.push({ offset, length })
      },
      flush: array.flush,
      throttle: new Throttle({ hostOperations: () => 0, clock, ...throttle }),
      sliceBytes: REGION,
      onChange: () => this.states.push(this.rebuild.state),
      clock,
      ...options,
    })
  }

  static async create(
    regionCount: number,
    options: Partial<RebuildOptions> = {},
    throttle: Partial<ThrottleOptions> = {},
  ): Promise<RebuildArray> {
    const array = await IntentArray.create(2, regionCount)
    return new RebuildArray(array, await array.load(), options, throttle)
  }

  get regions(): number[] {
    return this.slices.map(({ offset }) => offset / REGION)
  }

  async toEnd(): Promise<void> {
    for (let ms = 0; this.rebuild.state === 'running'; ms++) {
      if (ms > 100_000) throw new Error('it does not end')
      await this.array.clock.advance(1)
    }
    await this.rebuild.ended()
  }
}

t.test('all stale regions are resynced in their order, flushed, and then not stale', async (t) => {
  const made = await RebuildArray.create(20)
  const { bitmap, rebuild, array } = made
  await bitmap.markStale((offset) => [2, 3, 11, 19].includes(offset / REGION))
  t.equal(rebuild.state, 'ready')
  array.beforeFlush = async () => {
    t.equal(bitmap.staleCount, 4, 'still, as they are not durable')
  }
  rebuild.start()
  t.equal(rebuild.state, 'running')
  await made.toEnd()
  t.strictSame(made.regions, [2, 3, 11, 19])
  t.strictSame([rebuild.state, rebuild.error, bitmap.staleCount], ['done', null, 0])
  t.equal(array.flushCount, 1)
  t.strictSame(made.states, ['running', 'done'])
  const { doneBytes, totalBytes, rateBytesPerSecond } = rebuild.progress
  t.strictSame([doneBytes, totalBytes], [4 * REGION, 4 * REGION])
  t.equal(rateBytesPerSecond, REGION * 1000)
  array.beforeFlush = async () => {}
  await array.clock.advance(3 * IDLE_MS)
  t.strictSame(await array.regionsOfAll(), [[], []])
})

t.test('a region is taken slice by slice, and the last is as short as it is', async (t) => {
  const made = await RebuildArray.create(3, { sliceBytes: 24 * KIB })
  await made.bitmap.markStale((offset) => offset === REGION)
  made.rebuild.start()
  await made.toEnd()
  t.strictSame(made.slices, [
    { offset: REGION, length: 24 * KIB },
    { offset: REGION + 24 * KIB, length: 24 * KIB },
    { offset: REGION + 48 * KIB, length: 16 * KIB },
  ])
})

t.test('with nothing to do it is done', async (t) => {
  const made = await RebuildArray.create(3)
  made.rebuild.start()
  await made.toEnd()
  t.strictSame([made.rebuild.state, made.slices, made.array.flushCount], ['done', [], 0])
})

t.test('what is resynced counts from time to time, and progress is told', async (t) => {
  const made = await RebuildArray.create(100)
  await made.bitmap.markStale('all')
  made.sliceMs = 100
  made.rebuild.start()
  await made.array.clock.advance(2550)
  t.equal(made.array.flushCount, 2)
  t.equal(made.bitmap.staleCount, 80)
  t.strictSame(made.states, ['running', 'running', 'running'])
  t.same(made.rebuild.progress, {
    doneBytes: 25 * REGION,
    totalBytes: 100 * REGION,
    rateBytesPerSecond: 10 * REGION,
  })
  const stopped = made.rebuild.stop()
  await made.toEnd()
  await stopped
})

t.test('64 MiB are flushed at a time even if they took less than a second', async (t) => {
  const made = await RebuildArray.create(2100)
  await made.bitmap.markStale('all')
  made.sliceMs = 0
  made.rebuild.start()
  await made.rebuild.ended()
  t.equal(made.array.flushCount, 3)
  t.strictSame([made.rebuild.state, made.slices.length], ['done', 2100])
})

t.test('regions that become stale while it runs are taken up as well', async (t) => {
  const made = await RebuildArray.create(10)
  await made.bitmap.markStale((offset) => offset >= 5 * REGION)
  made.beforeSlice = async ({ offset }) => {
    if (offset !== 7 * REGION || made.slices.length > 5) return
    await made.bitmap.markStale((offset) => offset === 2 * REGION || offset === 9 * REGION)
  }
  made.rebuild.start()
  await made.toEnd()
  t.equal(made.bitmap.staleCount, 0)
  t.strictSame(made.regions.slice(0, 5), [5, 6, 7, 8, 9])
  t.strictSame(made.regions.slice(5), [2, 5, 6, 7], 'and those that a new disk had no part in')
  const { doneBytes, totalBytes } = made.rebuild.progress
  t.equal(doneBytes, totalBytes)
})

t.test('what becomes stale in the last flush is not left behind', async (t) => {
  const made = await RebuildArray.create(10)
  await made.bitmap.markStale((offset) => offset === 0)
  made.array.beforeFlush = async () => {
    made.array.beforeFlush = async () => {}
    void made.bitmap.markStale((offset) => offset === 4 * REGION)
  }
  made.rebuild.start()
  await made.toEnd()
  t.strictSame([made.rebuild.state, made.bitmap.staleCount], ['done', 0])
  t.strictSame(made.regions, [0, 0, 4])
})

t.test('it stops when the slice under way has ended, and what it has done counts', async (t) => {
  const made = await RebuildArray.create(10)
  await made.bitmap.markStale('all')
  made.sliceMs = 10
  made.rebuild.start()
  await made.array.clock.advance(35)
  let isStopped = false
  const stopped = made.rebuild.stop().then(() => {
    isStopped = true
  })
  await settle()
  t.strictSame([isStopped, made.slices.length], [false, 3])
  await made.array.clock.advance(5)
  await stopped
  t.strictSame([made.rebuild.state, made.slices.length], ['stopped', 4])
  t.equal(made.bitmap.staleCount, 7)
  t.equal(made.array.clock.pendingCount, 1, 'the sweep of the bitmap alone')
  made.rebuild.start()
  await made.toEnd()
  t.equal(made.rebuild.state, 'done')
  t.strictSame(made.regions.slice(4), [3, 4, 5, 6, 7, 8, 9])
})

t.test(
  'stopped while it is held back, it stops at once; and it may be started before',
  async (t) => {
    const made = await RebuildArray.create(10, {}, { maxBytesPerSecond: REGION / 100 })
    await made.bitmap.markStale('all')
    made.rebuild.start()
    await made.array.clock.advance(1000)
    t.equal(made.slices.length, 1)
    await made.rebuild.stop()
    t.equal(made.rebuild.state, 'stopped')
    made.rebuild.start()
    const stopped = made.rebuild.stop()
    made.rebuild.start()
    await settle()
    t.equal(made.rebuild.state, 'running')
    await made.rebuild.stop()
    await stopped
    t.equal(made.rebuild.state, 'stopped')
  },
)

t.test('an error ends it, and is told; the rest may be tried again', async (t) => {
  for (const failing of ['resync', 'flush'] as const) {
    const made = await RebuildArray.create(10)
    await made.bitmap.markStale('all')
    const error = new VolumeError('read', 'disk', 3 * REGION, new Error('broken'))
    if (failing === 'flush') made.array.beforeFlush = () => Promise.reject(error)
    else {
      made.beforeSlice = ({ offset }) => {
        if (offset === 3 * REGION) throw error
      }
    }
    made.rebuild.start()
    await made.toEnd()
    t.strictSame([made.rebuild.state, made.rebuild.error], ['failed', error])
    t.equal(made.states.at(-1), 'failed')
    t.equal(made.bitmap.staleCount, 10, 'what was not flushed does not count')
    made.beforeSlice = () => {}
    made.array.beforeFlush = async () => {}
    made.rebuild.start()
    await made.toEnd()
    t.strictSame([made.rebuild.state, made.rebuild.error], ['done', null])
    t.equal(made.bitmap.staleCount, 0)
  }
})

t.test('hosts go on marking and clearing while it runs', async (t) => {
  const made = await RebuildArray.create(50)
  await made.bitmap.markStale((offset) => offset < 20 * REGION)
  made.sliceMs = 300
  made.rebuild.start()
  for (let region = 0; region < 50; region += 7) {
    await touch(made.bitmap, region)
    await made.array.clock.advance(500)
  }
  await made.toEnd()
  t.equal(made.bitmap.staleCount, 0)
  await made.array.clock.advance(3 * IDLE_MS)
  t.strictSame(await made.array.regionsOfAll(), [[], []])
})
