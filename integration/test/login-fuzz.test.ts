/** What peers that know no secret may send, in any order: nothing comes of it (`npm run fuzz` goes on for longer). */
import { randomInt } from 'node:crypto'
import t from 'tap'
import { sendsMalformedRequests } from '../lib/capture/checked-traffic.ts'
import { cleanUp } from '../lib/cleanup.ts'
import { FuzzedTarget } from '../lib/fuzzed-target.ts'

t.teardown(cleanUp)
sendsMalformedRequests('sequences that nobody has thought of')
t.setTimeout(180_000)

t.test('without a secret no sequence of PDUs gets anything but refusals', async (t) => {
  const target = await FuzzedTarget.start()
  const fresh = randomInt(2 ** 31)
  t.comment(`fresh seed ${fresh}: npm run fuzz -- --seed ${fresh}`)
  for (const seed of [1, 2, fresh]) {
    const counts = await target.fuzz({ seed, goOn: (begun) => begun < 300 })
    t.equal(counts.sequences, 300)
    t.ok(counts.agreements > 50, `seed ${seed} has come to ${counts.agreements} agreements`)
    t.ok(counts.loginResponses > counts.agreements, 'and to refusals')
  }
  t.strictSame(await target.complaints(), [])
  await target.process.stop()
})
