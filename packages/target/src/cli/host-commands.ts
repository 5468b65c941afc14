/** `platterd host …` */
import { Command } from 'commander'
import type { Host } from '../admin/model.ts'
import { ask, type ClientFlags, countArgument, show, withClientFlags } from './client-command.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

type SetFlags = ClientFlags & { readonly maxConnections: number }

export function hostCommand(io: CliIo): Command {
  const host = new Command('host').description('hosts that are treated unlike others')
  withClientFlags(host.command('set'))
    .description('set what a host may do, for its logins from now on')
    .argument('<name>', 'the iSCSI name of the host')
    .requiredOption(
      '--max-connections <number>',
      'connections that one session of it may have',
      countArgument,
    )
    .action(async (name: string, { maxConnections, ...flags }: SetFlags) => {
      const set = await ask(io, flags, 'host set', { name, maxConnections })
      show(io, flags, set, (it) => `${it.name} may have ${describe(it.maxConnections)}\n`)
    })
  withClientFlags(host.command('list'))
    .description('list the hosts for which something has been set')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'host list', {}), formatHosts)
    })
  withClientFlags(host.command('delete'))
    .description('treat a host as any other again')
    .argument('<name>', 'the iSCSI name of the host')
    .action(async (name: string, flags: ClientFlags) => {
      const answer = await ask(io, flags, 'host delete', { name })
      show(io, flags, answer, () => `${name} is a host as any other\n`)
    })
  return host
}

function formatHosts(hosts: readonly Host[]): string {
  const rows = hosts.map(({ name, maxConnections }) => [name, String(maxConnections)])
  return formatTable(['HOST', 'MAX CONNECTIONS'], rows, 'nothing has been set for any host')
}

function describe(connections: number): string {
  return connections === 1 ? '1 connection' : `${connections} connections`
}
