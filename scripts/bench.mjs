/**
 * `npm run bench`: Platter beside tgtd in one run, on the same files' kind and size, with one client.
 * Options are passed on: npm run bench -- --quick --only 4k
 */
import { join } from 'node:path'
import { ensureDebianPackages, ensureNpmPackages, root, run } from './prerequisites.mjs'
import { runStep } from './tally.mjs'

ensureNpmPackages()
if (!ensureDebianPackages(['bench'])) process.exit(1)
process.env.TURBO_TELEMETRY_DISABLED = '1'
const build = runStep('build', 'turbo', ['run', 'build', '--output-logs=errors-only'])
if (build.failed > 0) process.exit(1)
const program = join(root, 'integration', 'dist', 'bench', 'bench.js')
process.exitCode = run(process.execPath, [program, ...process.argv.slice(2)]).status ?? 1
