/**
 * platterd killed with SIGKILL at random moments under verified load, every other time with disks taken out:
 *
 *     npm run kills -- [--level raid0|raid1|raid10|raid5|raid6] [--rounds N] [--seed N]
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { type KilledLevel, killAgainAndAgain, killedLevels } from '../lib/array-kills.ts'
import { cleanUp } from '../lib/cleanup.ts'

const { values } = parseArgs({
  options: {
    level: { type: 'string' },
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string', default: `${randomInt(2 ** 31)}` },
  },
})
const levels = Object.keys(killedLevels) as KilledLevel[]
const wanted = levels.filter((level) => values.level === undefined || values.level === level)
if (wanted.length === 0) throw new Error(`--level: got ${values.level}, wanted one of ${levels}`)
try {
  for (const level of wanted) {
    console.log(`${level}, seed ${values.seed}, ${values.rounds} rounds`)
    const { writes, degradedRounds } = await killAgainAndAgain({
      level,
      rounds: Number(values.rounds),
      seed: Number(values.seed),
      onRound: (round) => {
        if (round % 20 === 19) console.log(`  ${round + 1} rounds`)
      },
    })
    console.log(`${level}: ${writes} writes, ${degradedRounds} rounds degraded, nothing was lost`)
  }
} finally {
  await cleanUp()
}
