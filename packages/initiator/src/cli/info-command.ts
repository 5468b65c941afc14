/** `platter info`: what a target lets us use. */
import { Command } from 'commander'
import { type Access, discover, inspectAccess } from '../host.ts'
import type { Endpoint } from '../net/endpoint.ts'
import type { DiscoveredTarget } from '../session/discovery.ts'
import { readHost } from './authentication.ts'
import { chooseTarget } from './choose-target.ts'
import type { CliIo } from './io.ts'
import { formatPortal, nameArgument, type PortalFlags, withPortal } from './portal.ts'

type Flags = PortalFlags & { readonly target?: string }

export function infoCommand(io: CliIo): Command {
  return withPortal(new Command('info'))
    .description('tell what a target lets us use: portals, connections, partitions and rights')
    .option('--target <iqn>', 'which target, where the portal tells of several', nameArgument)
    .action(async (portal: Endpoint, flags: Flags) => {
      const host = await readHost(io, flags)
      const target = chooseTarget(await discover(portal, host), portal, flags.target)
      const access = await inspectAccess(portalOf(target, portal), target.name, host)
      if (flags.json === true) io.out(`${JSON.stringify(describe(target.name, access), null, 2)}\n`)
      else io.out(format(target.name, access))
    })
}

/** Where the target is: where it was asked for, unless it says that it is elsewhere. */
function portalOf({ portals }: DiscoveredTarget, asked: Endpoint): Endpoint {
  const isAsked = (it: Endpoint) => it.host === asked.host && it.port === asked.port
  return portals.find(isAsked) ?? portals[0] ?? asked
}

function describe(targetName: string, access: Access) {
  const { server, maxConnections, portals, partitions } = access
  return { targetName, server, maxConnections, portals: portals.map(formatPortal), partitions }
}

function format(targetName: string, { server, maxConnections, portals, partitions }: Access) {
  const lines = [
    `${targetName}${server === null ? '' : `  (${server})`}`,
    ...portals.map((portal) => `  portal       ${formatPortal(portal)}`),
    ...(maxConnections === null ? [] : [`  connections  ${maxConnections} in one session`]),
    ...partitions.map((it) => {
      const place = it.array === null ? it.name : `${it.array}/${it.name}`
      const lun = it.lun === null ? null : `LUN ${it.lun}`
      const said = [lun, `${it.sizeBytes} bytes`, it.access, it.sharing].filter(
        (word) => word !== null,
      )
      return `  partition    ${place}  ${said.join(', ')}`
    }),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
