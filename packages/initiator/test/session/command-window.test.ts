import fc from 'fast-check'
import t from 'tap'
import { CommandWindow } from '../../src/session/command-window.ts'

const serial = fc.integer({ min: 0, max: 0xffffffff })

t.test('the window is shut until the target opens it', async (t) => {
  const window = new CommandWindow(5)
  t.equal(window.cmdSN, 5)
  t.equal(window.open, false)
  window.update(5, 5)
  t.equal(window.open, true)
  t.equal(window.take(), 5)
  t.equal(window.cmdSN, 6)
  t.equal(window.open, false)
})

t.test('a window of a target that grants nothing is shut', async (t) => {
  const window = new CommandWindow(5)
  window.update(5, 4)
  t.equal(window.open, false)
})

t.test('MaxCmdSN never goes back', async (t) => {
  const window = new CommandWindow(1)
  window.update(1, 3)
  window.update(1, 2)
  t.same([window.take(), window.take(), window.take()], [1, 2, 3])
  t.equal(window.open, false)
})

t.test(
  'a pair with MaxCmdSN below ExpCmdSN - 1 is ignored (RFC 7143 section 4.2.2.1)',
  async (t) => {
    const window = new CommandWindow(1)
    window.update(20, 18)
    t.equal(window.open, false)
    window.update(20, 19)
    t.equal(window.open, true)
  },
)

t.test('numbers go on at zero after 2^32 - 1', async (t) => {
  const window = new CommandWindow(0xfffffffe)
  window.update(0xfffffffe, 1)
  const taken: number[] = []
  while (window.open) taken.push(window.take())
  t.same(taken, [0xfffffffe, 0xffffffff, 0, 1])
  window.update(2, 2)
  t.equal(window.take(), 2)
})

t.test(
  'wherever it begins, exactly the commands that were granted are sent, in order',
  async () => {
    fc.assert(
      fc.property(serial, fc.array(fc.integer({ min: -3, max: 9 })), (cmdSN, grants) => {
        const window = new CommandWindow(cmdSN)
        let granted = 0
        let sent = 0
        for (const step of grants) {
          const more = Math.max(0, granted + step)
          window.update((cmdSN + sent) >>> 0, (cmdSN + more - 1) >>> 0)
          if (more >= sent) granted = Math.max(granted, more)
          while (window.open) {
            if (window.take() !== (cmdSN + sent) >>> 0) return false
            sent += 1
          }
          if (sent !== granted) return false
        }
        return true
      }),
    )
  },
)
