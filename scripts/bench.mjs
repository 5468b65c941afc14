/**
 * `npm run bench`: Platter beside tgtd in one run, on the same files' kind and size, with one client.
 * Options are passed on: npm run bench -- --quick --only 4k
 * With --networks it is the host side over two networks (root only): npm run bench -- --networks --cuts 100
 * With --mounts it is the mounted file beside that of qemu-storage-daemon: npm run bench -- --mounts --only 4k
 * With --arrays it is each RAID level beside RAID 0: npm run bench -- --arrays --level raid5
 */
import { join } from 'node:path'
import { ensureDebianPackages, ensureNpmPackages, root, run } from './prerequisites.mjs'
import { runStep } from './tally.mjs'

ensureNpmPackages()
const parameters = process.argv.slice(2)
const kind =
  ['networks', 'mounts', 'arrays'].find((it) => parameters.includes(`--${it}`)) ?? 'bench'
/** @type {Readonly<Record<string, string>>} */
const packages = {
  bench: 'bench',
  networks: 'benchNetworks',
  mounts: 'benchMounts',
  arrays: 'bench',
}
if (!ensureDebianPackages([packages[kind] ?? ''])) process.exit(1)
process.env.TURBO_TELEMETRY_DISABLED = '1'
const build = runStep('build', 'turbo', ['run', 'build', '--output-logs=errors-only'])
if (build.failed > 0) process.exit(1)
const program = join(root, 'integration', 'dist', 'bench', `${kind}.js`)
const others = parameters.filter((parameter) => parameter !== `--${kind}`)
process.exitCode = run(process.execPath, [program, ...others]).status ?? 1
