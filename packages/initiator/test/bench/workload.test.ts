import t from 'tap'
import { type Workload, WorkloadRun } from '../../src/bench/workload.ts'
import { BlockError } from '../../src/block/block-error.ts'
import { runningDevice } from '../support/running-device.ts'

const workload: Workload = { operation: 'read', pattern: 'random', blockBytes: 1024, depth: 4 }

t.test(
  'so many operations are under way until it is ended, at places of the pattern',
  async (t) => {
    for (const pattern of ['random', 'sequential'] as const) {
      for (const operation of ['read', 'write'] as const) {
        const { memory, device, stop } = runningDevice(64)
        const end = new AbortController()
        const places: number[] = []
        memory.fault = (kind, offset) => {
          t.equal(kind, operation)
          places.push(offset)
          if (places.length === 80) end.abort()
          return null
        }
        const run = new WorkloadRun(device, { ...workload, operation, pattern }, end.signal)
        await run.run()
        stop()
        t.equal(run.latencies.count, places.length)
        t.ok(places.length >= 80 && places.length < 80 + 4, `${places.length} operations`)
        t.ok(places.every((offset) => offset % 1024 === 0 && offset < 64 * 512))
        const sorted = [...new Set(places)].toSorted((one, other) => one - other)
        if (pattern === 'sequential') {
          t.strictSame(
            sorted,
            Array.from({ length: 32 }, (_, index) => index * 1024),
          )
        } else t.ok(sorted.length > 8, 'in many places')
        t.equal(
          memory.bytes.some((byte) => byte !== 0),
          operation === 'write',
        )
        t.equal(memory.pending.length, 0)
      }
    }
  },
)

t.test('an error ends it, and a device that is too small is refused', async (t) => {
  const { memory, device, stop } = runningDevice(64)
  t.teardown(stop)
  memory.fault = () => new BlockError('EIO', 'medium error')
  const { signal } = new AbortController()
  await t.rejects(new WorkloadRun(device, workload, signal).run(), { code: 'EIO' })
  t.equal(memory.pending.length, 0)
  const large = { ...workload, blockBytes: 64 * 1024 }
  t.throws(() => new WorkloadRun(device, large, signal), RangeError)
})
