import fc from 'fast-check'
import t from 'tap'
import {
  serialAdd,
  serialInWindow,
  serialLess,
  serialLessOrEqual,
  serialMax,
} from '../../src/iscsi/serial-number.ts'

const serial = fc.integer({ min: 0, max: 0xffffffff })
const ahead = fc.integer({ min: 1, max: 0x7fffffff })

t.test('a number comes before those up to 2^31 - 1 ahead of it, also past the wrap', async (t) => {
  fc.assert(
    fc.property(serial, ahead, (a, n) => {
      const b = serialAdd(a, n)
      return serialLess(a, b) && !serialLess(b, a) && serialMax(a, b) === b && serialMax(b, a) === b
    }),
  )
  t.ok(serialLess(0xffffffff, 0))
  t.notOk(serialLess(0, 0xffffffff))
  t.equal(serialMax(0xfffffff0, 3), 3)
})

t.test('a number does not come before itself, but is less or equal', async (t) => {
  t.notOk(serialLess(7, 7))
  t.ok(serialLessOrEqual(7, 7))
  t.ok(serialLessOrEqual(0xffffffff, 0))
  t.notOk(serialLessOrEqual(0, 0xffffffff))
})

t.test('numbers 2^31 apart come neither before nor after each other', async (t) => {
  t.notOk(serialLess(5, 0x80000005))
  t.notOk(serialLess(0x80000005, 5))
})

t.test('adding wraps at 2^32 in both directions', async (t) => {
  t.equal(serialAdd(0xfffffff0, 0x20), 0x10)
  t.equal(serialAdd(0, -1), 0xffffffff)
})

t.test('a window holds both its ends, across the wrap too', async (t) => {
  for (const sn of [0xfffffffe, 0xffffffff, 0, 5]) {
    t.ok(serialInWindow(sn, 0xfffffffe, 5), `${sn}`)
  }
  for (const sn of [0xfffffffd, 6, 0x80000000]) {
    t.notOk(serialInWindow(sn, 0xfffffffe, 5), `${sn}`)
  }
})

t.test('a window whose last is one before its first is closed', async (t) => {
  for (const sn of [0xffffffff, 0, 1]) t.notOk(serialInWindow(sn, 0, 0xffffffff), `${sn}`)
})
