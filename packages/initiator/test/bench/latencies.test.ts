import t from 'tap'
import { Latencies } from '../../src/bench/latencies.ts'

t.test('percentiles are right within a class, over the whole range', async (t) => {
  for (const scale of [0.5, 10, 1000, 1e6, 1e8]) {
    const latencies = new Latencies()
    for (let index = 1; index <= 1000; index++) latencies.record((index / 1000) * scale)
    for (const share of [0.5, 0.9, 0.99, 0.999]) {
      const got = latencies.percentileMicros(share)
      const wanted = share * scale
      t.ok(Math.abs(got - wanted) <= wanted / 32 + 0.1, `${share} of ${scale}: ${got}`)
    }
    t.equal(latencies.percentileMicros(1), scale)
    t.equal(latencies.maxMicros, scale)
    t.equal(latencies.count, 1000)
    t.ok(Math.abs(latencies.meanMicros - scale * 0.5005) < scale / 1e6)
  }
})

t.test('nothing recorded is nothing, and what is too long is the longest', async (t) => {
  const latencies = new Latencies()
  t.strictSame([latencies.meanMicros, latencies.percentileMicros(0.5)], [0, 0])
  latencies.record(1e12)
  latencies.record(0)
  t.equal(latencies.percentileMicros(1), 1e12)
  t.equal(latencies.count, 2)
})
