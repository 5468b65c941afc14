import t from 'tap'
import { BusyPoll } from '../src/busy-poll.ts'

/** Gaps between inputs, in ms: within what the loop stays awake for, a bit longer, and far longer. */
const quick = 0.03
const late = 0.15
const slow = 1

/** A loop that looks for input every 5 us while it is kept awake, on a clock of the test's own. */
class Loop {
  nowMs = 0
  check: (() => void) | null = null
  readonly poll = new BusyPoll({
    awakeMs: 0.1,
    closeMs: 0.2,
    nowMs: () => this.nowMs,
    schedule: (check) => {
      this.check = check
    },
  })

  get awake(): boolean {
    return this.check !== null
  }

  /** Takes in `count` inputs, each `gapMs` after the one before. */
  inputs(count: number, gapMs: number): void {
    for (let input = 0; input < count; input++) {
      this.rest(gapMs)
      this.poll.inputTaken()
    }
  }

  rest(durationMs: number): void {
    const end = this.nowMs + durationMs
    while (this.check !== null && this.nowMs + 0.005 <= end) {
      this.nowMs += 0.005
      const check: () => void = this.check
      this.check = null
      check()
    }
    this.nowMs = end
  }

  /** How many of the next `count` inputs found the loop awake. */
  foundAwake(count: number, gapMs: number): number {
    let found = 0
    for (let input = 0; input < count; input++) {
      this.rest(gapMs)
      if (this.awake) found++
      this.poll.inputTaken()
    }
    return found
  }
}

t.test('the loop sleeps while inputs are far apart', async (t) => {
  const loop = new Loop()
  loop.inputs(1000, slow)
  t.equal(loop.awake, false)
})

t.test('inputs close to each other keep it awake', async (t) => {
  const loop = new Loop()
  loop.inputs(34, late)
  t.equal(loop.awake, true)
  t.equal(loop.foundAwake(100, quick), 100)
})

t.test('when they end, it sleeps', async (t) => {
  const loop = new Loop()
  loop.inputs(100, quick)
  t.equal(loop.awake, true)
  loop.rest(slow)
  t.equal(loop.awake, false)
})

t.test('after a pause it is awake again with the first input', async (t) => {
  const loop = new Loop()
  loop.inputs(100, quick)
  loop.rest(slow)
  loop.poll.inputTaken()
  t.equal(loop.foundAwake(20, quick), 20)
})

t.test('where staying awake is in vain, it is tried ever more rarely', async (t) => {
  const loop = new Loop()
  let awake = 0
  for (let input = 0; input < 10_000; input++) {
    loop.inputs(1, late)
    if (loop.awake) awake++
  }
  t.ok(awake > 0 && awake < 50, `${awake} of 10,000 inputs`)
})

t.test('once it was of use, it is tried soon again', async (t) => {
  const loop = new Loop()
  loop.inputs(10_000, late)
  loop.inputs(40_000, quick)
  t.equal(loop.foundAwake(100, quick), 100)
  loop.inputs(20, slow)
  t.equal(loop.foundAwake(20, slow), 0, 'in vain again')
  loop.inputs(70, quick)
  t.equal(loop.foundAwake(20, quick), 20)
})
