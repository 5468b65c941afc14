/** `platter discover` */
import { Command } from 'commander'
import { discover } from '../host.ts'
import type { Endpoint } from '../net/endpoint.ts'
import type { DiscoveredTarget } from '../session/discovery.ts'
import { readAuthentication } from './authentication.ts'
import type { CliIo } from './io.ts'
import { formatPortal, type PortalFlags, withPortal } from './portal.ts'

export function discoverCommand(io: CliIo): Command {
  return withPortal(new Command('discover'))
    .description('list the targets that a portal tells us of, and where they are')
    .action(async (portal: Endpoint, flags: PortalFlags) => {
      const authentication = await readAuthentication(io, flags)
      const { initiatorName } = flags
      const targets = await discover(portal, { initiatorName, authentication })
      if (flags.json === true) io.out(`${JSON.stringify(targets.map(describe), null, 2)}\n`)
      else io.out(formatTargets(targets))
    })
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
