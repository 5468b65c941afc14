import t from 'tap'
import type { JobState } from '../../../src/volume/raid/background-job.ts'
import type { ScrubFindings } from '../../../src/volume/raid/member.ts'
import { Scrub, type ScrubOptions } from '../../../src/volume/raid/scrub.ts'
import { Throttle } from '../../../src/volume/raid/throttle.ts'
import { VolumeError } from '../../../src/volume/volume.ts'
import { FakeClock, settle } from './fake-clock.ts'

const SLICE = 512 * 1024
const CLEAN: ScrubFindings = { differingBytes: 0, repaired: [] }

function makeScrub(options: Partial<ScrubOptions> = {}) {
  const clock = new FakeClock()
  const slices: number[][] = []
  const rebuild: { state: JobState } = { state: 'ready' }
  const scrub = new Scrub({
    scrub: async (offset, length) => {
      slices.push([offset, length])
      return CLEAN
    },
    ranges: () => [{ offset: 0, length: 4 * SLICE }],
    throttle: new Throttle({ hostOperations: () => 0, clock }),
    rebuild,
    clock,
    ...options,
  })
  return { clock, slices, rebuild, scrub }
}

t.test('everything in use is looked at once, in slices that end at their multiples', async (t) => {
  const ranges = [
    { offset: 4096, length: SLICE },
    { offset: 3 * SLICE, length: 2 * SLICE + 512 },
    { offset: 8 * SLICE, length: 0 },
  ]
  const { scrub, slices } = makeScrub({ ranges: () => ranges })
  scrub.start()
  await scrub.ended()
  t.strictSame(slices, [
    [4096, SLICE - 4096],
    [SLICE, 4096],
    [3 * SLICE, SLICE],
    [4 * SLICE, SLICE],
    [5 * SLICE, 512],
  ])
  t.equal(scrub.state, 'done')
  t.match(scrub.progress, { doneBytes: 3 * SLICE + 512, totalBytes: 3 * SLICE + 512 })
  t.same(scrub.summary, { differingBytes: 0, repaired: [], repairedCount: 0, repairedBytes: 0 })
})

t.test('with nothing in use it is done', async (t) => {
  const { scrub, slices } = makeScrub({ ranges: () => [] })
  scrub.start()
  await scrub.ended()
  t.strictSame([scrub.state, slices], ['done', []])
})

t.test('findings are summed up, and the first hundred places named', async (t) => {
  const { scrub } = makeScrub({
    scrub: async (offset) => ({
      differingBytes: 512,
      repaired: Array.from({ length: 60 }, (_, i) => ({
        memberNumber: 1,
        offset: offset + i * 4096,
        length: 4096,
      })),
    }),
  })
  scrub.start()
  await scrub.ended()
  const { repaired, ...sums } = scrub.summary
  t.same(sums, { differingBytes: 2048, repairedCount: 240, repairedBytes: 240 * 4096 })
  t.equal(repaired.length, 100)
  t.same(repaired[99], { memberNumber: 1, offset: SLICE + 39 * 4096, length: 4096 })
  scrub.start()
  await scrub.ended()
  t.equal(scrub.summary.repairedCount, 240, 'the next one counts anew')
})

t.test('it pauses while a rebuild runs', async (t) => {
  const { scrub, slices, rebuild, clock } = makeScrub()
  rebuild.state = 'running'
  scrub.start()
  await clock.advance(10_000)
  t.strictSame([scrub.state, slices], ['running', []])
  rebuild.state = 'done'
  await clock.advance(1000)
  await scrub.ended()
  t.strictSame([scrub.state, slices.length], ['done', 4])
})

t.test('stopped in a pause, it stops at once', async (t) => {
  const { scrub, slices, rebuild, clock } = makeScrub()
  rebuild.state = 'running'
  scrub.start()
  await clock.advance(10)
  await scrub.stop()
  t.strictSame([scrub.state, slices, clock.pendingCount], ['stopped', [], 0])
})

t.test('it stops when the slice under way has ended, and begins anew', async (t) => {
  let letGo = () => {}
  const offsets: number[] = []
  const { scrub } = makeScrub({
    scrub: (offset) => {
      offsets.push(offset)
      return new Promise((resolve) => {
        letGo = () => resolve(CLEAN)
      })
    },
  })
  scrub.start()
  await settle()
  letGo()
  await settle()
  const stopped = scrub.stop()
  await settle()
  t.equal(scrub.state, 'running')
  letGo()
  await stopped
  t.equal(scrub.state, 'stopped')
  t.match(scrub.progress, { doneBytes: 2 * SLICE, totalBytes: 4 * SLICE })
  scrub.start()
  for (let slice = 0; slice < 4; slice++) {
    await settle()
    letGo()
  }
  await scrub.ended()
  t.equal(scrub.state, 'done')
  t.strictSame(offsets, [0, SLICE, 0, SLICE, 2 * SLICE, 3 * SLICE])
})

t.test('an error ends it, and is told', async (t) => {
  const error = new VolumeError('read', 'array', SLICE, new Error('broken'))
  const states: JobState[] = []
  const made = makeScrub({
    scrub: async (offset) => {
      if (offset === SLICE) throw error
      return { differingBytes: 512, repaired: [] }
    },
    onChange: () => states.push(made.scrub.state),
  })
  made.scrub.start()
  await made.scrub.ended()
  t.strictSame([made.scrub.state, made.scrub.error], ['failed', error])
  t.strictSame(states, ['running', 'failed'])
  t.equal(made.scrub.summary.differingBytes, 512, 'what was found before is known')
})
