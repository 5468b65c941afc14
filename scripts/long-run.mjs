/**
 * Tests that go on for as long as one likes: builds, and runs a program of integration/fuzz by its name. Options
 * are passed on: npm run fuzz -- --minutes 10
 */
import { join } from 'node:path'
import { ensureNpmPackages, root, run } from './prerequisites.mjs'
import { runStep } from './tally.mjs'

ensureNpmPackages()
process.env.TURBO_TELEMETRY_DISABLED = '1'
const build = runStep('build', 'turbo', ['run', 'build', '--output-logs=errors-only'])
if (build.failed > 0) process.exit(1)
const [name, ...options] = process.argv.slice(2)
const program = join(root, 'integration', 'dist', 'fuzz', `${name}.js`)
process.exitCode = run(process.execPath, [program, ...options]).status ?? 1
