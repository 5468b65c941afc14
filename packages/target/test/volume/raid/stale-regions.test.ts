/** Regions in which members differ until somebody makes them agree, and disks that come. */
import t from 'tap'
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { blankArea, IDLE_MS, IntentArray, REGION, regionsOn, touch } from './intent-array.ts'

t.test('stale regions stay marked until they are resynced', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 0)
  await touch(bitmap, 7)
  await bitmap.markStale('dirty')
  t.strictSame([bitmap.staleCount, bitmap.staleBytes], [2, 2 * REGION])
  await bitmap.markStale((offset, length) => offset === 3 * REGION && length === REGION)
  await array.clock.advance(5 * IDLE_MS)
  t.strictSame(await array.regionsOfAll(), [
    [0, 3, 7],
    [0, 3, 7],
  ])
  bitmap.resynced(3, bitmap.staleMarks)
  t.strictSame([bitmap.nextStale(0), bitmap.nextStale(1), bitmap.nextStale(8)], [0, 7, -1])
  await array.clock.advance(3 * IDLE_MS)
  t.strictSame(await array.regionsOf(0), [0, 7])
  await bitmap.markStale('all')
  t.equal(bitmap.staleCount, 8)
})

t.test(
  'in doubt is what was marked when the bitmap was loaded, until it is resynced',
  async (t) => {
    const array = await IntentArray.create(2, 8)
    const first = await array.load()
    await touch(first, 2)
    await touch(first, 5)
    t.notOk(first.isDoubtful(0, 8 * REGION), 'what is written now is not')
    await first.markStale('all')
    t.notOk(first.isDoubtful(0, 8 * REGION), 'nor is what a new disk lacks')
    const other = await IntentArray.create(2, 8)
    const written = await other.load()
    for (const region of [2, 5]) await touch(written, region)
    const bitmap = await other.load()
    t.ok(bitmap.isDoubtful(0, 8 * REGION))
    t.ok(bitmap.isDoubtful(3 * REGION - 512, 512))
    t.ok(bitmap.isDoubtful(REGION, REGION + 512))
    for (const [offset, length] of [
      [0, 2 * REGION],
      [3 * REGION, 2 * REGION],
      [6 * REGION, 2 * REGION],
    ] as const) {
      t.notOk(bitmap.isDoubtful(offset, length))
    }
    await touch(bitmap, 2)
    t.ok(bitmap.isDoubtful(2 * REGION, REGION), 'though it is written')
    bitmap.resynced(2, bitmap.staleMarks)
    t.notOk(bitmap.isDoubtful(0, 5 * REGION))
    await bitmap.markStale('all')
    t.notOk(bitmap.isDoubtful(0, 5 * REGION))
    t.ok(bitmap.isDoubtful(5 * REGION, 512))
  },
)

t.test('marks that are held stay, and leave their regions in doubt the next time', async (t) => {
  for (const closes of [false, true]) {
    const array = await IntentArray.create(2, 8)
    const bitmap = await array.load()
    await touch(bitmap, 1)
    bitmap.holdMarks()
    await touch(bitmap, 6)
    if (closes) await bitmap.close()
    else await array.clock.advance(5 * IDLE_MS)
    t.strictSame(await array.regionsOfAll(), [
      [1, 6],
      [1, 6],
    ])
    const again = await array.load()
    t.ok(again.isDoubtful(REGION, REGION))
    for (const region of [1, 6]) again.resynced(region, again.staleMarks)
    await again.close()
    t.strictSame(await array.regionsOf(0), [], 'until then')
  }
})

t.test('marks that are held while their bytes are flushed stay too', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  array.beforeFlush = async () => bitmap.holdMarks()
  await array.clock.advance(5 * IDLE_MS)
  t.equal(array.flushCount, 1)
  t.strictSame(await array.regionsOf(0), [1])
})

t.test('a region that became stale again while it was resynced stays so', async (t) => {
  const array = await IntentArray.create(2, 8)
  const bitmap = await array.load()
  await bitmap.markStale('all')
  const since = bitmap.staleMarks
  const marking = bitmap.markStale('all')
  bitmap.resynced(2, since)
  t.equal(bitmap.staleCount, 8)
  await marking
  bitmap.resynced(2, bitmap.staleMarks)
  t.equal(bitmap.staleCount, 7)
})

t.test('a disk that has come gets all that the others have', async (t) => {
  const array = await IntentArray.create(3, 8)
  const bitmap = await array.load()
  await touch(bitmap, 1)
  Object.assign(array.members[2]!, { state: 'absent', volume: null })
  await touch(bitmap, 2)
  for (const come of ['markStale', 'begin', 'sweep'] as const) {
    const area = new FaultVolume(blankArea('new', array.geometry))
    Object.assign(array.members[2]!, { state: 'rebuilding', volume: area })
    if (come === 'markStale') await bitmap.markStale(() => false)
    if (come === 'begin') await touch(bitmap, 3)
    if (come === 'sweep') await array.clock.advance(IDLE_MS)
    const expected = come === 'markStale' ? [1, 2] : [1, 2, 3]
    t.strictSame(await regionsOn(area, array.geometry), expected, come)
    t.equal(area.started.flush, 1, 'durably')
  }
})
