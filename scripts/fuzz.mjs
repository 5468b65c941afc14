/**
 * `npm run fuzz`: sequences of PDUs from peers that know no secret, or with --host from one that does and wants
 * what is another's, against a server. Options are passed on: npm run fuzz -- --minutes 10
 */
import { join } from 'node:path'
import { ensureNpmPackages, root, run } from './prerequisites.mjs'
import { runStep } from './tally.mjs'

ensureNpmPackages()
process.env.TURBO_TELEMETRY_DISABLED = '1'
const build = runStep('build', 'turbo', ['run', 'build', '--output-logs=errors-only'])
if (build.failed > 0) process.exit(1)
const program = join(root, 'integration', 'dist', 'fuzz', 'fuzz.js')
process.exitCode = run(process.execPath, [program, ...process.argv.slice(2)]).status ?? 1
