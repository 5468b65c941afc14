/** `platter discover` */
import { Command } from 'commander'
import { discover } from '../host.ts'
import type { PathOptions } from '../net/path.ts'
import type { DiscoveredTarget } from '../session/discovery.ts'
import { readHost } from './authentication.ts'
import { failureOf } from './failure.ts'
import type { CliIo } from './io.ts'
import { furtherPath } from './path-flags.ts'
import { formatPortal, type PortalFlags, withHost } from './portal.ts'

export function discoverCommand(io: CliIo): Command {
  return withHost(new Command('discover'))
    .description('list the targets that portals tell us of, and where they are')
    .argument(
      '<portal...>',
      'HOST or HOST:PORT; several are asked at the same time',
      (text: string, before: readonly PathOptions[]) => furtherPath(text, before),
      [],
    )
    .action((portals: readonly PathOptions[], flags: PortalFlags) => list(io, portals, flags))
}

/** A portal that does not answer is told of, and an error only if none does. */
async function list(io: CliIo, portals: readonly PathOptions[], flags: PortalFlags): Promise<void> {
  const host = await readHost(io, flags)
  const ask = async (portal: PathOptions) => withPlace(await discover(portal, host), portal)
  const answers = await Promise.allSettled(portals.map(ask))
  const found = answers.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []))
  const failed = answers.flatMap((it) => (it.status === 'rejected' ? [it.reason as Error] : []))
  const [first] = failed
  if (found.length === 0 && first !== undefined) throw first
  for (const error of failed) io.err(`platter: ${failureOf(error).message}\n`)
  const targets = mergeTargets(found.flat())
  if (flags.json === true) io.out(`${JSON.stringify(targets.map(describe), null, 2)}\n`)
  else io.out(formatTargets(targets))
}

/** A target that names no portal is where it was asked for. */
function withPlace(targets: readonly DiscoveredTarget[], { host, port }: PathOptions) {
  return targets.map(({ name, portals }) => ({
    name,
    portals: portals.length > 0 ? portals : [{ host, port }],
  }))
}

/** Each target once, with all portals that any answer has for it, in their order. */
export function mergeTargets(targets: readonly DiscoveredTarget[]): DiscoveredTarget[] {
  const merged = new Map<string, DiscoveredTarget>()
  for (const { name, portals } of targets) {
    const known = merged.get(name)?.portals ?? []
    const places = new Set(known.map(formatPortal))
    const further = portals.filter((portal) => !places.has(formatPortal(portal)))
    merged.set(name, { name, portals: [...known, ...further] })
  }
  return [...merged.values()]
}

function describe({ name, portals }: DiscoveredTarget) {
  return { name, portals: portals.map(formatPortal) }
}

function formatTargets(targets: readonly DiscoveredTarget[]): string {
  if (targets.length === 0) return 'no targets for us there\n'
  return targets
    .map(describe)
    .map(({ name, portals }) => `${name}  ${portals.join(' ')}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('')
}
