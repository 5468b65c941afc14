import t from 'tap'
import { RunningClock } from '../../src/net/clock.ts'

t.test('time in which the process did not run counts as a second at most', async (t) => {
  let seenMs = 1000
  t.intercept(performance, 'now', { value: () => seenMs })
  const clock = new RunningClock()
  seenMs += 500
  t.equal(clock.advance(), 500)
  seenMs += 3_600_000
  t.equal(clock.advance(), 1500)
  t.equal(clock.nowMs, 1500)
})
