/** `npm run guest`: a shell in the Linux guest of the integration tests, beside a platterd. Needs root. */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ensureDebianPackages, ensureNpmPackages, root } from './prerequisites.mjs'
import { runStep } from './tally.mjs'

ensureNpmPackages()
if (!ensureDebianPackages(['guest'])) process.exit(1)
process.env.TURBO_TELEMETRY_DISABLED = '1'
const build = runStep('build', 'turbo', ['run', 'build', '--output-logs=errors-only'])
if (build.failed > 0) process.exit(1)
const program = join(root, 'integration', 'dist', 'lab', 'shell.js')
process.exitCode = spawnSync(process.execPath, [program], { stdio: 'inherit' }).status ?? 1
