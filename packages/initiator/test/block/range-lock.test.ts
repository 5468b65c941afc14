import fc from 'fast-check'
import t from 'tap'
import { type LockedRange, RangeLock } from '../../src/block/range-lock.ts'

interface TestRange extends LockedRange {
  readonly index: number
}

t.test('ranges that do not overlap are held at the same time', async (t) => {
  const { lock, range, granted } = setUp()
  lock.acquire(range(0, 10))
  lock.acquire(range(10, 20))
  lock.acquire(range(30, 40))
  t.strictSame(granted, [0, 1, 2])
})

t.test('a range waits for each that it overlaps, and for who waits before it', async (t) => {
  const { lock, range, granted } = setUp()
  const first = range(0, 10)
  const second = range(5, 25)
  lock.acquire(first)
  lock.acquire(second)
  // It overlaps nothing that is held, but it must not overtake the second.
  lock.acquire(range(20, 30))
  t.strictSame(granted, [0])
  lock.release(first)
  t.strictSame(granted, [0, 1])
  lock.release(second)
  t.strictSame(granted, [0, 1, 2])
})

t.test('a holder may release, and acquire anew, from within its grant', async (t) => {
  const lock = new RangeLock()
  let rounds = 0
  const again: LockedRange = {
    start: 0,
    end: 1,
    granted() {
      rounds += 1
      lock.release(again)
      if (rounds < 3) lock.acquire(again)
    },
  }
  lock.acquire(again)
  t.equal(rounds, 3)
})

t.test('whatever is asked and released, overlaps are granted one by one, in order', async (t) => {
  const requests = fc.array(
    fc.record({
      start: fc.nat(30),
      length: fc.integer({ min: 1, max: 12 }),
      release: fc.nat(5),
    }),
    { maxLength: 40 },
  )
  fc.assert(
    fc.property(requests, (asked) => {
      const { lock, range, granted, ranges } = setUp()
      const released = new Set<number>()
      const releaseOne = (which: number): void => {
        const held = granted.filter((index) => !released.has(index))
        const index = held[which % Math.max(held.length, 1)]
        if (index === undefined) return
        released.add(index)
        lock.release(ranges[index] as TestRange)
        const now = granted.filter((each) => !released.has(each)).map((each) => ranges[each])
        const overlapping = now.some((one, at) => now.slice(at + 1).some((it) => overlap(one, it)))
        if (overlapping) throw new Error('two that overlap are held')
      }
      for (const { start, length, release } of asked) {
        lock.acquire(range(start, start + length))
        if (release > 2) releaseOne(release)
      }
      for (let which = 0; released.size < ranges.length; which += 3) {
        if (released.size === granted.length) throw new Error('nobody is granted any more')
        releaseOne(which)
      }
      for (const [later, other] of ranges.entries()) {
        for (const [earlier, one] of ranges.slice(0, later).entries()) {
          const overtook = granted.indexOf(later) < granted.indexOf(earlier)
          if (overlap(one, other) && overtook) throw new Error(`${later} overtook ${earlier}`)
        }
      }
    }),
  )
  t.pass('in all orders tried')
})

function overlap(a: LockedRange | undefined, b: LockedRange | undefined): boolean {
  return a !== undefined && b !== undefined && a.start < b.end && b.start < a.end
}

function setUp() {
  const lock = new RangeLock()
  const granted: number[] = []
  const ranges: TestRange[] = []
  const range = (start: number, end: number): TestRange => {
    const index = ranges.length
    const made = { index, start, end, granted: () => void granted.push(index) }
    ranges.push(made)
    return made
  }
  return { lock, granted, ranges, range }
}
