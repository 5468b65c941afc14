import t from 'tap'
import { type LockedRange, RangeLocks } from '../../../src/volume/raid/range-locks.ts'

function makeRange(offset: number, length: number, order: number[] = []) {
  return { offset, length, lockGranted: () => order.push(offset) } satisfies LockedRange
}

t.test('ranges that are apart are held at once', async (t) => {
  const locks = new RangeLocks()
  t.ok(locks.acquire(makeRange(0, 10)))
  t.ok(locks.acquire(makeRange(10, 10)))
  t.notOk(locks.isFree(19, 1))
  t.ok(locks.isFree(20, 5))
})

t.test('an overlapping range waits until the other is given back', async (t) => {
  const locks = new RangeLocks()
  const order: number[] = []
  const first = makeRange(0, 10)
  t.ok(locks.acquire(first))
  t.notOk(locks.acquire(makeRange(9, 2, order)))
  t.strictSame(order, [])
  locks.release(first)
  t.strictSame(order, [9])
  t.notOk(locks.isFree(10, 1))
  t.ok(locks.isFree(0, 9))
})

t.test('a range that waits is not overtaken by one that overlaps it', async (t) => {
  const locks = new RangeLocks()
  const order: number[] = []
  const first = makeRange(0, 10)
  const second = makeRange(5, 20, order)
  locks.acquire(first)
  locks.acquire(second)
  t.notOk(locks.acquire(makeRange(20, 1, order)), 'though nobody holds it')
  t.notOk(locks.acquire(makeRange(8, 1, order)))
  locks.release(first)
  t.strictSame(order, [5])
  locks.release(second)
  t.strictSame(order, [5, 20, 8])
})

t.test('a range without bytes is in nobody’s way', async (t) => {
  const locks = new RangeLocks()
  t.ok(locks.acquire(makeRange(0, 10)))
  t.ok(locks.acquire(makeRange(0, 0)))
})

t.test('what is granted may be given back, and something else acquired, at once', async (t) => {
  const locks = new RangeLocks()
  const order: number[] = []
  const first = makeRange(0, 10)
  const third = makeRange(0, 10, order)
  const second: LockedRange = {
    offset: 0,
    length: 10,
    lockGranted: () => {
      order.push(2)
      locks.release(second)
    },
  }
  locks.acquire(first)
  locks.acquire(second)
  locks.acquire(third)
  locks.release(first)
  t.strictSame(order, [2, 0])
})

t.test('giving back what is not held is a mistake', async (t) => {
  const locks = new RangeLocks()
  t.throws(() => locks.release(makeRange(0, 1)), /not held/)
})
