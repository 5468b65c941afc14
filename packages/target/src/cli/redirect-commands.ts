/** `platterd redirect …` */
import { Command } from 'commander'
import type { Redirect } from '../admin/model.ts'
import { ask, type ClientFlags, show, withClientFlags } from './client-command.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

type HostFlags = ClientFlags & { readonly host: string }
type CreateFlags = HostFlags & { readonly permanent?: boolean }

const allHosts = '*'

export function redirectCommand(io: CliIo): Command {
  const redirect = new Command('redirect').description('hosts that are sent to another server')
  withClientFlags(redirect.command('create'))
    .description('answer logins with the address of another server')
    .argument('<host:port>', 'where that server listens')
    .option('--host <name>', 'the iSCSI name of the host (default: every host)', allHosts)
    .option('--permanent', 'tell hosts that they need not ask here again')
    .action(async (address: string, { host, permanent = false, ...flags }: CreateFlags) => {
      const made = await ask(io, flags, 'redirect create', { host, address, permanent })
      show(io, flags, made, (it) => `${describe(it.host)} will be sent to ${it.address}\n`)
    })
  withClientFlags(redirect.command('list'))
    .description('list who is sent where')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'redirect list', {}), formatRedirects)
    })
  withClientFlags(redirect.command('delete'))
    .description('let logins in here again')
    .option('--host <name>', 'the host that was named when it was made', allHosts)
    .action(async ({ host, ...flags }: HostFlags) => {
      const answer = await ask(io, flags, 'redirect delete', { host })
      show(io, flags, answer, () => `${describe(host)} will no longer be sent away\n`)
    })
  return redirect
}

function formatRedirects(redirects: readonly Redirect[]): string {
  const rows = redirects.map((it) => [
    it.host,
    it.address,
    it.permanent ? 'permanently' : 'temporarily',
  ])
  return formatTable(['HOST', 'ADDRESS', 'HOW'], rows, 'nobody is sent elsewhere')
}

function describe(host: string): string {
  return host === allHosts ? 'every host' : host
}
