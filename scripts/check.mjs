/**
 * `npm run check`: build, types, lint, tidiness, the unit tests of every package, and whether docs/
 * names tests that there are; without the long ones, which `npm test` runs too. Needs nothing of the machine but Node and npm.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureNpmPackages, root } from './prerequisites.mjs'
import { add, emptyTally, hasTests, quickTests, runStep, runTap } from './tally.mjs'

/**
 * Runs everything, whatever fails.
 * @param {{ long: boolean }} options whether also tests of files named `*.long.test.ts`
 */
export async function check({ long }) {
  process.env.TURBO_TELEMETRY_DISABLED = '1'
  const tally = emptyTally()
  const turbo = ['run', 'build', 'check-types', '--continue=always', '--output-logs=new-only']
  add(tally, runStep('build and types', 'turbo', turbo))
  add(
    tally,
    runStep('lint and format', 'biome', [
      'ci',
      `--colors=${process.stdout.isTTY ? 'on' : 'off'}`,
      '.',
    ]),
  )
  add(tally, runStep('tidiness', 'node', [join(root, 'scripts', 'tidy.mjs')]))
  for (const name of readdirSync(join(root, 'packages')).sort()) {
    const workspace = `packages/${name}`
    if (hasTests(workspace)) add(tally, await runTap(workspace, long ? [] : quickTests(workspace)))
  }
  return tally
}

/**
 * Says what failed, and as its last line how many passed and failed; sets the exit code.
 * @param {import('./tally.mjs').Tally} tally
 */
export function report(tally) {
  console.log('')
  for (const failure of tally.failures) console.log(`failed: ${failure}`)
  if (tally.notRun > 0) console.log(`not run: ${tally.notRun} (the reasons are above)`)
  process.exitCode = tally.failed > 0 || tally.passed === 0 ? 1 : 0
  console.log(`${tally.passed} passed, ${tally.failed} failed`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  ensureNpmPackages()
  const tally = await check({ long: false })
  add(tally, await runTap('integration', ['test/requirement-tables.test.ts']))
  report(tally)
}
