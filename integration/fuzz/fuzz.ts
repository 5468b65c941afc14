/**
 * Sequences of PDUs, for as long as one likes: logins of peers that know no secret, or with `--host` what a host
 * that is let in may send to reach the partitions of another:
 *
 *     npm run fuzz -- [--host] [--minutes N] [--seed N] [--first N]
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { cleanUp } from '../lib/cleanup.ts'
import { ForeignFuzz } from '../lib/foreign-fuzz.ts'
import { FuzzedTarget } from '../lib/fuzzed-target.ts'

const { values } = parseArgs({
  options: {
    host: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: `${randomInt(2 ** 31)}` },
    first: { type: 'string', default: '0' },
  },
})
const untilMs = performance.now() + Number(values.minutes) * 60_000
console.log(`seed ${values.seed}, from sequence ${values.first}, for ${values.minutes} minutes`)
try {
  const fuzz = values.host ? await ForeignFuzz.start() : await FuzzedTarget.start()
  const counts = await fuzz.fuzz({
    seed: Number(values.seed),
    first: Number(values.first),
    goOn: () => performance.now() < untilMs,
  })
  console.log(JSON.stringify(counts))
  const complaints = await fuzz.complaints()
  for (const complaint of complaints) console.error(complaint)
  process.exitCode = complaints.length > 0 ? 1 : 0
} finally {
  await cleanUp()
}
