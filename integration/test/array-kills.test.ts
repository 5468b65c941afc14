/** A server with arrays of each level, killed under load, whole and degraded. More of it: npm run kills. */
import t from 'tap'
import { type KilledLevel, killAgainAndAgain, killedLevels } from '../lib/array-kills.ts'
import { cleanUp } from '../lib/cleanup.ts'

t.teardown(cleanUp)
t.setTimeout(300_000)

for (const level of Object.keys(killedLevels) as KilledLevel[]) {
  t.test(`${level} loses nothing that it acknowledged when its server is killed`, async (t) => {
    const { writes, degradedRounds } = await killAgainAndAgain({ level, rounds: 2, seed: 7 })
    t.ok(writes > 0, `${writes} writes, ${degradedRounds} rounds degraded`)
  })
}
