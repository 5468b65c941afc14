import t from 'tap'
import { type Lane, type PolicyName, placementPolicies } from '../../src/session/placement.ts'

class TestLane implements Lane {
  readonly name: string
  alive = true
  ready = true
  bytesInFlight = 0
  hasUnsent = false
  weight = 1
  rank = 0
  credit = 0

  constructor(name: string, settings: Partial<Lane> = {}) {
    this.name = name
    Object.assign(this, settings)
  }
}

/** Who takes each of `count` commands of 100 bytes, none of which ends. */
function deal(policy: PolicyName, lanes: readonly TestLane[], count: number): string {
  const place = placementPolicies[policy]()
  let taken = ''
  for (let index = 0; index < count; index++) {
    const lane = place(lanes, 100)
    taken += lane?.name ?? '-'
    if (lane !== undefined) lane.bytesInFlight += 100
  }
  return taken
}

t.test('least-bytes gives to whom has the least under way, whatever the number', async (t) => {
  const lanes = [
    new TestLane('a'),
    new TestLane('b', { bytesInFlight: 250 }),
    new TestLane('c', { ready: false }),
  ]
  t.equal(deal('least-bytes', lanes, 6), 'aaabab')
  t.equal(deal('least-bytes', [new TestLane('a', { ready: false })], 1), '-')
  t.equal(deal('least-bytes', [], 1), '-')
})

t.test('least-bytes follows the speed of the paths', async (t) => {
  // The fast one ends three commands where the slow one ends one; 12 are always under way.
  const [fast, slow] = [new TestLane('f'), new TestLane('s')]
  const place = placementPolicies['least-bytes']()
  const taken = { f: 0, s: 0 }
  for (let turn = 0; turn < 1000; turn++) {
    while (fast.bytesInFlight + slow.bytesInFlight < 12) {
      const lane = place([fast, slow], 1) as TestLane
      lane.bytesInFlight += 1
      taken[lane.name as 'f' | 's'] += 1
    }
    fast.bytesInFlight -= Math.min(fast.bytesInFlight, 3)
    slow.bytesInFlight -= Math.min(slow.bytesInFlight, 1)
  }
  t.ok(Math.abs(taken.f / taken.s - 3) < 0.1, JSON.stringify(taken))
})

t.test('least-bytes has small commands of one turn go together, within bounds', async (t) => {
  const departing = new TestLane('d', { hasUnsent: true, bytesInFlight: 100 * 1024 })
  const idle = new TestLane('i')
  const place = placementPolicies['least-bytes']()
  t.equal(place([idle, departing], 4096), departing)
  t.equal(place([idle, departing], 64 * 1024), idle, 'large ones go side by side')
  departing.bytesInFlight = 128 * 1024
  t.equal(place([idle, departing], 4096), idle, 'it is not to fall too far behind')
  departing.bytesInFlight = 0
  departing.ready = false
  t.equal(place([idle, departing], 4096), idle)
})

t.test('round-robin gives to one after the other, and passes over who is not ready', async (t) => {
  const lanes = [new TestLane('a'), new TestLane('b', { ready: false }), new TestLane('c')]
  t.equal(deal('round-robin', lanes, 5), 'acaca')
  t.equal(deal('round-robin', [new TestLane('a'), new TestLane('b')], 5), 'ababa')
  t.equal(deal('round-robin', [], 2), '--')
})

t.test('weighted gives in proportion to the weights, evenly mixed', async (t) => {
  const lanes = [
    new TestLane('a', { weight: 5 }),
    new TestLane('b', { weight: 1 }),
    new TestLane('c', { weight: 2, ready: false }),
  ]
  t.equal(deal('weighted', lanes, 12), 'aaabaaaaabaa')
  Object.assign(lanes[2] as TestLane, { ready: true })
  const taken = deal('weighted', lanes, 80)
  t.strictSame(
    ['a', 'b', 'c'].map((name) => taken.split(name).length - 1),
    [50, 10, 20],
    'who comes later has its share from then on',
  )
})

t.test('fail-over stays on the first path that is alive, even when that is busy', async (t) => {
  const [first, again, second] = [
    new TestLane('a'),
    new TestLane('b'),
    new TestLane('c', { rank: 1 }),
  ] as [TestLane, TestLane, TestLane]
  const lanes = [second, first, again]
  t.equal(deal('fail-over', lanes, 4), 'abab')
  first.ready = again.ready = false
  t.equal(deal('fail-over', lanes, 1), '-')
  first.alive = again.alive = false
  t.equal(deal('fail-over', lanes, 2), 'cc')
  first.alive = first.ready = true
  t.equal(deal('fail-over', lanes, 1), 'a')
})
