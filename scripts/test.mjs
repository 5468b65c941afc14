/**
 * `npm test`: everything that `npm run check` does, then the integration tests: real clients, real
 * file systems, other people's target. Where CI is set, a test that could not run is a failed one.
 */
import { check, report } from './check.mjs'
import { ensureDebianPackages, ensureNpmPackages, everyPurpose } from './prerequisites.mjs'
import { add, emptyTally, hasTests, runTap } from './tally.mjs'

ensureNpmPackages()
const everywhere = process.env.CI !== undefined && process.env.CI !== 'false'
ensureDebianPackages(everyPurpose)
const tally = await check({ long: true })
if (hasTests('integration')) add(tally, await runTap('integration'))
if (everywhere && tally.notRun > 0) {
  const failures = [`${tally.notRun} tests were not run, and CI is set`]
  add(tally, { ...emptyTally(), failed: tally.notRun, failures })
}
report(tally)
