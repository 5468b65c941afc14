import t from 'tap'
import { io, readAll, writeAll } from '../io.ts'
import {
  beginRegion,
  endRegion,
  formatted,
  geometryOf,
  IDLE_MS,
  IntentArray,
  KIB,
  REGION,
  touch,
} from './intent-array.ts'

const range = (from: number, end: number) => Array.from({ length: end - from }, (_, i) => from + i)

t.test('a write may begin at once only where all its regions are marked', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  t.equal(bitmap.beginNow(0, 512), false)
  await touch(bitmap, 0)
  t.equal(bitmap.beginNow(0, 512), true)
  t.equal(bitmap.beginNow(REGION - 512, 512), true)
  t.equal(bitmap.beginNow(REGION - 512, 1024), false, 'reaches into the next region')
  t.equal(bitmap.beginNow(8 * REGION, 512), false, 'is beyond the end')
  await beginRegion(bitmap, 1, 2)
  endRegion(bitmap, 1, 2)
  t.equal(bitmap.beginNow(0, 3 * REGION), true)
  t.strictSame(await array.regionsOfAll(), [
    [0, 1, 2],
    [0, 1, 2],
  ])
  await bitmap.close()
})

t.test('what begins together is marked together, and what comes later with the next', async (t) => {
  const array = await IntentArray.create(2, 64)
  const bitmap = await array.load()
  const before = array.areaFlushes
  const begun = range(0, 20).map((region) => beginRegion(bitmap, region))
  await new Promise((resolve) => setImmediate(resolve))
  const later = range(10, 40).map((region) => beginRegion(bitmap, region))
  await Promise.all([...begun, ...later])
  t.strictSame(
    array.areaFlushes.map((flushes, i) => flushes - before[i]!),
    [2, 2],
  )
  t.strictSame(await array.regionsOf(1), range(0, 40))
})

t.test('where it is marked already, a write begins without the disks', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 3)
  const { write, flush } = array.areas[0]!.started
  const order: number[] = []
  const all = range(0, 100).map((i) => beginRegion(bitmap, 3).then(() => order.push(i)))
  await Promise.all(all)
  t.strictSame(order, range(0, 100))
  t.same(array.areas[0]!.started, { ...array.areas[0]!.started, write, flush })
  await io((completion) => bitmap.begin(3 * REGION, 0, completion))
})

t.test('regions are marked ahead of who writes from front to back, up to a bound', async (t) => {
  const array = await IntentArray.create(1, 200)
  const bitmap = await array.load({ markAheadBytes: 10 * REGION })
  const marked: number[] = []
  for (let region = 0; region < 60; region++) {
    if (bitmap.beginNow(region * REGION, 4 * KIB)) continue
    await touch(bitmap, region)
    marked.push(bitmap.dirtyCount - region)
  }
  t.strictSame(marked, [1, 3, 5, 9, 11, 11, 11, 11])
  await touch(bitmap, 150)
  t.strictSame(bitmap.dirtyCount, (await array.regionsOf(0)).length)
  t.equal(bitmap.beginNow(151 * REGION, 512), false, 'a single write says nothing of what follows')
  await touch(bitmap, 199)
})

t.test('several sequences are followed at once, and none leads beyond the end', async (t) => {
  const array = await IntentArray.create(1, 1000)
  const bitmap = await array.load({ markAheadBytes: 64 * REGION })
  let flushes = -array.areaFlushes[0]!
  for (let step = 0; step < 100; step++) {
    for (let stream = 0; stream < 10; stream++) await touch(bitmap, stream * 100 + step)
  }
  flushes += array.areaFlushes[0]!
  t.ok(flushes <= 80, `${flushes} flushes for 1000 regions`)
  t.equal(bitmap.dirtyCount, 1000)
})

t.test('a region is cleared when it has been idle, and its bytes have been flushed', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  t.equal(array.clock.pendingCount, 0, 'nothing to wait for')
  await touch(bitmap, 1)
  await beginRegion(bitmap, 2)
  await array.clock.advance(IDLE_MS)
  t.equal(array.flushCount, 0)
  t.strictSame(await array.regionsOf(0), [1, 2])
  array.beforeFlush = async () => {
    t.strictSame(await array.regionsOf(0), [1, 2], 'not before it is flushed')
  }
  const flushes = array.areaFlushes
  await array.clock.advance(IDLE_MS)
  t.equal(array.flushCount, 1)
  t.strictSame(await array.regionsOfAll(), [[2], [2]], 'a write is still under way in region 2')
  t.strictSame(array.areaFlushes, flushes, 'a clear need not be durable')
  t.equal(bitmap.beginNow(REGION, 512), false)
  array.beforeFlush = async () => {}
  await array.clock.advance(10 * IDLE_MS)
  t.equal(array.flushCount, 1, 'there is nothing to flush for')
  endRegion(bitmap, 2)
  await array.clock.advance(2 * IDLE_MS)
  t.strictSame(await array.regionsOfAll(), [[], []])
  t.equal(array.clock.pendingCount, 0)
})

t.test('no write begins at once in a region that is being cleared', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  await touch(bitmap, 2)
  await beginRegion(bitmap, 2)
  let writes = 0
  const area = array.areas[1]!
  const write = area.write.bind(area)
  area.write = (...operation) => {
    writes++
    t.equal(bitmap.beginNow(REGION, 512), false)
    t.equal(bitmap.beginNow(2 * REGION, 512), true)
    write(...operation)
  }
  await array.clock.advance(2 * IDLE_MS)
  t.ok(writes > 0)
  t.strictSame(await array.regionsOfAll(), [[2], [2]])
})

t.test('a region that is written again and again stays marked', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  for (let time = 0; time < 10; time++) {
    await array.clock.advance(IDLE_MS)
    t.equal(bitmap.beginNow(REGION, 512), true)
  }
  t.equal(array.flushCount, 0)
})

t.test('what is written during the flush is not cleared after it', async (t) => {
  for (const write of ['beginNow', 'begin', 'end', 'none'] as const) {
    const array = await IntentArray.create(2, 8)
    const bitmap = await array.load()
    await touch(bitmap, 1)
    await touch(bitmap, 2)
    array.beforeFlush = async () => {
      if (write === 'beginNow') t.equal(bitmap.beginNow(REGION, 512), true)
      if (write === 'begin' || write === 'end') await beginRegion(bitmap, 1)
      if (write === 'end') endRegion(bitmap, 1)
    }
    await array.clock.advance(2 * IDLE_MS)
    t.equal(array.flushCount, 1)
    t.strictSame(await array.regionsOf(0), write === 'none' ? [] : [1], write)
    array.beforeFlush = async () => {}
    if (write === 'begin') endRegion(bitmap, 1)
    await array.clock.advance(3 * IDLE_MS)
    t.strictSame(await array.regionsOf(0), [], write)
  }
})

t.test('if the flush fails nothing is cleared, until one succeeds', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  array.beforeFlush = () => Promise.reject(new Error('no'))
  await array.clock.advance(4 * IDLE_MS)
  t.equal(array.flushCount, 3)
  t.strictSame(await array.regionsOf(0), [1])
  array.beforeFlush = async () => {}
  await array.clock.advance(IDLE_MS)
  t.strictSame(await array.regionsOf(0), [])
})

t.test('nothing is cleared while a member is absent', async (t) => {
  const array = await IntentArray.create(3, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  const member = array.members[2]!
  const { volume } = member
  Object.assign(member, { state: 'absent', volume: null })
  await array.clock.advance(5 * IDLE_MS)
  t.equal(array.flushCount, 0)
  await bitmap.close()
  t.strictSame(await array.regionsOf(0), [1], 'at the end neither')
  Object.assign(member, { state: 'in-sync', volume })
  const again = await array.load()
  t.equal(again.staleCount, 1)
  again.resynced(1, again.staleMarks)
  await again.close()
  t.strictSame(await array.regionsOfAll(), [[], [], []])
})

t.test('while a member is rebuilt, what it still lacks stays marked', async (t) => {
  const array = await IntentArray.create(3, 8)
  const bitmap = await array.load()
  array.members[2]!.state = 'rebuilding'
  await bitmap.markStale((offset) => offset === 3 * REGION)
  await touch(bitmap, 1)
  await array.clock.advance(5 * IDLE_MS)
  await bitmap.close()
  t.strictSame(await array.regionsOfAll(), [[3], [3], [3]])
})

t.test('a member that becomes absent during the flush keeps the marks', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  array.beforeFlush = async () => {
    Object.assign(array.members[1]!, { state: 'absent', volume: null })
  }
  await array.clock.advance(6 * IDLE_MS)
  t.equal(array.flushCount, 1)
  t.strictSame(await array.regionsOf(0), [1])
})

t.test('a member that cannot be marked is failed, and the write begins without it', async (t) => {
  for (const op of ['write', 'flush'] as const) {
    const array = await IntentArray.create(3, 8)
    const bitmap = await array.load()
    array.areas[1]!.failNext(op)
    await touch(bitmap, 4)
    t.strictSame(array.failures.failed, [1])
    t.equal(bitmap.beginNow(4 * REGION, 512), true)
    t.strictSame([await array.regionsOf(0), await array.regionsOf(2)], [[4], [4]])
  }
})

t.test(
  'if the array cannot do without it no write begins, and the next one tries anew',
  async (t) => {
    for (const op of ['write', 'flush'] as const) {
      const array = await IntentArray.create(1, 8)
      const bitmap = await array.load()
      array.areas[0]!.failNext(op)
      const begun = [beginRegion(bitmap, 4), beginRegion(bitmap, 5)]
      const outcomes = await Promise.allSettled(begun)
      t.strictSame(
        outcomes.map(({ status }) => status),
        ['rejected', 'rejected'],
      )
      t.equal(bitmap.beginNow(4 * REGION, 512), false)
      t.throws(() => endRegion(bitmap, 4), /had not begun/)
      await touch(bitmap, 4)
      t.equal(bitmap.beginNow(4 * REGION, 512), true)
      t.ok((await array.regionsOf(0)).includes(4))
      await bitmap.close()
      t.strictSame(await array.regionsOf(0), [])
    }
  },
)

t.test('a copy of which a write has failed gets everything anew', async (t) => {
  const array = await IntentArray.create(1, 8)
  const bitmap = await array.load()
  const [area] = array.areas
  const sound = await readAll(area!, 0, 4096)
  area!.failNext('write')
  await t.rejects(touch(bitmap, 4))
  await writeAll(area!, 0, Buffer.alloc(4096))
  await touch(bitmap, 5)
  t.ok((await readAll(area!, 0, 4096)).equals(sound))
  t.strictSame(await array.regionsOf(0), [4, 5])
  await array.clock.advance(2 * IDLE_MS)
  t.strictSame(await array.regionsOf(0), [], 'what could not be marked is cleared as well')
})

t.test('a write does not begin when no member is left', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  for (const member of array.members) Object.assign(member, { state: 'absent', volume: null })
  await t.rejects(beginRegion(bitmap, 4), { name: 'VolumeError', volume: 'array' })
})

t.test('closing clears what is flushed, at once and durably', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  await touch(bitmap, 2)
  await beginRegion(bitmap, 3)
  const flushes = array.areaFlushes
  await bitmap.close()
  t.strictSame(await array.regionsOfAll(), [[3], [3]])
  t.ok(array.areaFlushes.every((count, i) => count > flushes[i]!))
  t.equal(array.clock.pendingCount, 0)
  const next = await array.load()
  t.strictSame([next.staleCount, next.nextStale(0)], [1, 3])
})

t.test('closing leaves everything marked if the flush fails', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  array.beforeFlush = () => Promise.reject(new Error('no'))
  await bitmap.close()
  t.strictSame(await array.regionsOfAll(), [[1], [1]])
})

t.test('closing waits for the flush and the commit that are under way', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  let letGo = () => {}
  array.beforeFlush = () =>
    new Promise((resolve) => {
      letGo = resolve
    })
  await array.clock.advance(2 * IDLE_MS)
  const begun = beginRegion(bitmap, 5)
  let isClosed = false
  const closed = bitmap.close().then(() => {
    isClosed = true
  })
  await array.clock.advance(IDLE_MS)
  t.equal(isClosed, false)
  array.beforeFlush = async () => {}
  letGo()
  await begun
  await closed
  t.strictSame(await array.regionsOfAll(), [[5], [5]])
})

t.test('all blocks of a large bitmap count', async (t) => {
  const regionCount = 3 * 30720 - 5
  const geometry = { ...geometryOf(regionCount), memberSizeBytes: regionCount * REGION - 4096 }
  const array = new IntentArray(geometry, await formatted(2, geometry))
  const bitmap = await array.load()
  const regions = [0, 30719, 30720, 61440, regionCount - 2]
  for (const region of regions) await touch(bitmap, region)
  const last = regionCount - 1
  await io((completion) => bitmap.begin(last * REGION, REGION - 4096, completion))
  t.strictSame(await array.regionsOfAll(), [
    [...regions, last],
    [...regions, last],
  ])
  t.equal(bitmap.regionLength(last), REGION - 4096)
  const again = await array.load()
  t.equal(again.staleBytes, 6 * REGION - 4096)
  await again.markStale('all')
  t.equal(again.staleBytes, geometry.memberSizeBytes)
})

t.test('what a caller must not do is refused', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  const completion = { ioCompleted: () => t.fail('reported') }
  t.throws(() => bitmap.begin(7 * REGION, 2 * REGION, completion), RangeError)
  t.throws(() => bitmap.begin(-512, 512, completion), RangeError)
  t.throws(() => bitmap.begin(Number.NaN, 512, completion), RangeError)
  t.throws(() => bitmap.end(0, 512), /had not begun/)
})
