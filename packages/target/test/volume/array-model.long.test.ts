import t from 'tap'
import type { ArrayLevel } from '../../src/volume/array-description.ts'
import { ArraySimulation } from './array-simulation.ts'

/** How many lives each level has; a long run sets more, and where to begin. */
const lives = Number(process.env.PLATTER_ARRAY_LIVES ?? 8)
const firstSeed = Number(process.env.PLATTER_ARRAY_SEED ?? 1)
const only = process.env.PLATTER_ARRAY_LEVEL
const STEPS = 40

for (const level of [
  'raid0',
  'raid1',
  'raid10',
  'raid5',
  'raid6',
] as const satisfies ArrayLevel[]) {
  if (only !== undefined && only !== level) continue
  t.test(`${level} keeps what was acknowledged and flushed, whatever happens`, async (t) => {
    for (let seed = firstSeed; seed < firstSeed + lives; seed++) {
      const simulation = new ArraySimulation(level, seed)
      try {
        await simulation.run(STEPS)
      } catch (error) {
        const again = `PLATTER_ARRAY_LEVEL=${level} PLATTER_ARRAY_SEED=${seed} PLATTER_ARRAY_LIVES=1`
        t.fail(`${again}: ${(error as Error).stack}`, { trace: simulation.trace })
        return
      }
    }
    t.pass(`${lives} lives`)
  })
}
