import t from 'tap'
import { Throttle } from '../../../src/volume/raid/throttle.ts'
import { FakeClock } from './fake-clock.ts'

const MIB = 1024 * 1024
const STEP_MS = 5
const never = new AbortController().signal

/** How many slices of 1 MiB get through in so many seconds; a slice takes 5 ms, and `each` is called every 5. */
async function countSlices(
  { throttle, clock }: { throttle: Throttle; clock: FakeClock },
  seconds: number,
  { each = () => {} }: { each?: () => void } = {},
): Promise<number> {
  let slices = 0
  let isOver = false
  const stop = new AbortController()
  const work = async () => {
    for (;;) {
      await throttle.pass(MIB, stop.signal)
      if (isOver) return
      slices++
      await new Promise<void>((resolve) => clock.after(STEP_MS, resolve))
    }
  }
  const working = work()
  for (let ms = 0; ms < 1000 * seconds; ms += STEP_MS) {
    each()
    await clock.advance(STEP_MS)
  }
  isOver = true
  stop.abort()
  await clock.advance(STEP_MS)
  await working
  return slices
}

function makeThrottle(options: { minBytesPerSecond?: number; maxBytesPerSecond?: number } = {}) {
  const clock = new FakeClock()
  const hosts = { operations: 0 }
  const hostOperations = () => hosts.operations
  return { clock, hosts, throttle: new Throttle({ clock, hostOperations, ...options }) }
}

t.test('while the hosts are idle nothing is held back', async (t) => {
  const made = makeThrottle()
  const slices = await countSlices(made, 2)
  t.ok(slices >= 400, `${slices} MiB in 2 s, as fast as they are`)
  t.equal(made.throttle.limitBytesPerSecond, Number.POSITIVE_INFINITY)
})

t.test('a maximum is kept whatever the hosts do', async (t) => {
  const made = makeThrottle({ maxBytesPerSecond: 50 * MIB })
  const slices = await countSlices(made, 4)
  t.ok(slices > 190 && slices <= 201, `${slices} MiB in 4 s`)
})

t.test('while the hosts are busy the rate sinks to the minimum, and stays there', async (t) => {
  const made = makeThrottle({ minBytesPerSecond: 10 * MIB })
  const each = () => {
    made.hosts.operations += 5
  }
  await countSlices(made, 2, { each })
  t.equal(made.throttle.limitBytesPerSecond, 10 * MIB)
  const slices = await countSlices(made, 4, { each })
  t.ok(slices >= 38 && slices <= 42, `${slices} MiB in 4 s`)
  await countSlices(made, 2)
  const idle = await countSlices(made, 1)
  t.ok(idle > 190, `${idle} MiB in a second when they are idle again`)
})

t.test('a burst slows it down for some time only, and a little is no load', async (t) => {
  const made = makeThrottle({ minBytesPerSecond: MIB })
  await countSlices(made, 1)
  made.hosts.operations += 100
  await countSlices(made, 1)
  const { limitBytesPerSecond } = made.throttle
  t.ok(limitBytesPerSecond > 100 * MIB, `${limitBytesPerSecond / MIB} MiB/s`)
  let steps = 0
  const each = () => {
    if (steps++ % 10 === 0) made.hosts.operations++
  }
  const slices = await countSlices(made, 2, { each })
  t.ok(slices > 350, `${slices} MiB in 2 s`)
})

t.test('who works at once has one rate between them', async (t) => {
  const made = makeThrottle({ maxBytesPerSecond: 20 * MIB })
  const running = [0, 1].map(async () => {
    let slices = 0
    for (let at = 0; at < 20; at++, slices++) await made.throttle.pass(MIB, never)
    return { slices, now: made.clock.now() }
  })
  await made.clock.advance(3000)
  const [first, second] = await Promise.all(running)
  t.ok(Math.max(first!.now, second!.now) >= 1900, `${first!.now} and ${second!.now} ms`)
})

t.test('who waits and is stopped does not go on waiting', async (t) => {
  const { throttle, clock } = makeThrottle({ maxBytesPerSecond: MIB })
  const stop = new AbortController()
  await throttle.pass(100 * MIB, stop.signal)
  const waiting = throttle.pass(MIB, stop.signal)
  t.equal(clock.pendingCount, 1)
  stop.abort()
  await waiting
  t.equal(clock.pendingCount, 0)
  await throttle.pass(MIB, stop.signal)
})
