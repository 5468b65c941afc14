/**
 * `npm run bench`: Platter beside tgtd in one run, on the same files' kind and size, with one client.
 * Options are passed on: npm run bench -- --quick --only 4k
 * With --networks it is the host side over two networks (root only): npm run bench -- --networks --cuts 100
 */
import { join } from 'node:path'
import { ensureDebianPackages, ensureNpmPackages, root, run } from './prerequisites.mjs'
import { runStep } from './tally.mjs'

ensureNpmPackages()
const parameters = process.argv.slice(2)
const networks = parameters.includes('--networks')
if (!ensureDebianPackages([networks ? 'benchNetworks' : 'bench'])) process.exit(1)
process.env.TURBO_TELEMETRY_DISABLED = '1'
const build = runStep('build', 'turbo', ['run', 'build', '--output-logs=errors-only'])
if (build.failed > 0) process.exit(1)
const name = networks ? 'networks.js' : 'bench.js'
const program = join(root, 'integration', 'dist', 'bench', name)
const others = parameters.filter((parameter) => parameter !== '--networks')
process.exitCode = run(process.execPath, [program, ...others]).status ?? 1
