/** `platterd host …` */
import { type AuthenticationFloor, authenticationFloors } from '@platter/protocol/iscsi'
import { Command, Option } from 'commander'
import type { Host } from '../admin/model.ts'
import {
  ask,
  type ClientFlags,
  confirm,
  countArgument,
  show,
  withClientFlags,
} from './client-command.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

type SetFlags = ClientFlags & {
  readonly maxConnections?: number
  readonly maxSessions?: number
  readonly dataPorts?: 'fixed' | 'dynamic'
  readonly network?: string[]
  readonly anyNetwork?: boolean
  readonly minAuth?: AuthenticationFloor
  readonly allowUnauthenticated?: true
}

export function hostCommand(io: CliIo): Command {
  const host = new Command('host').description('hosts that are known by name')
  withSettings(host.command('create'))
    .description('make a host known, so that it can be granted partitions')
    .argument('<name>', 'its iSCSI name')
    .action(async (name: string, flags: SetFlags) => {
      const made = await ask(io, flags, 'host create', { name, ...settingsOf(flags) })
      show(io, flags, made, (it) => `host ${it.name} created: ${describe(it)}\n`)
    })
  withSettings(host.command('set'))
    .description('set what a host may do, for its logins from now on')
    .argument('<name>', 'its iSCSI name')
    .option('--any-network', 'let it come from anywhere')
    .action(async (name: string, flags: SetFlags) => {
      const set = await ask(io, flags, 'host set', { name, ...settingsOf(flags) })
      show(io, flags, set, (it) => `host ${it.name}: ${describe(it)}\n`)
    })
  withClientFlags(host.command('list'))
    .description('list the hosts')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'host list', {}), formatHosts)
    })
  withClientFlags(host.command('delete'))
    .description('forget a host and its grants, and end its sessions')
    .argument('<name>', 'its iSCSI name')
    .option('--yes', 'do not ask')
    .action(async (name: string, { yes, ...flags }: ClientFlags & { yes?: boolean }) => {
      await confirm(io, yes, `Take everything from host ${name} that it has been granted?`)
      const answer = await ask(io, flags, 'host delete', { name })
      show(io, flags, answer, () => `host ${name} deleted\n`)
    })
  return host
}

function withSettings(command: Command): Command {
  const collect = (value: string, before: string[] | undefined) => [...(before ?? []), value]
  return withClientFlags(command)
    .option('--max-connections <number>', 'connections that a session may have', countArgument)
    .addOption(
      new Option('--data-ports <which>', 'the ports it logs in at').choices(['fixed', 'dynamic']),
    )
    .option('--max-sessions <number>', 'sessions that it may have', countArgument)
    .option('--network <address/prefix>', 'a network it may come from; may be repeated', collect)
    .addOption(
      new Option(
        '--min-auth <floor>',
        'what it must show at the least; none: what the server asks of all',
      ).choices(authenticationFloors),
    )
    .option(
      '--allow-unauthenticated',
      'let it in without a secret, whatever the server asks: its network is trusted',
    )
}

function settingsOf(flags: SetFlags) {
  const { maxConnections, maxSessions, dataPorts, network, anyNetwork } = flags
  const { minAuth, allowUnauthenticated } = flags
  return {
    ...(minAuth !== undefined && { minAuth }),
    ...(allowUnauthenticated && { allowUnauthenticated }),
    ...(maxConnections !== undefined && { maxConnections }),
    ...(maxSessions !== undefined && { maxSessions }),
    ...(dataPorts !== undefined && { dataPorts }),
    ...(network !== undefined && { networks: network }),
    ...(anyNetwork === true && { networks: [] }),
  }
}

function formatHosts(hosts: readonly Host[]): string {
  const rows = hosts.map((it) => [
    it.name,
    orDefault(it.maxConnections),
    orDefault(it.maxSessions),
    orDefault(it.dataPorts),
    authenticationOf(it),
    networksOf(it),
  ])
  const counts = ['MAX CONNECTIONS', 'MAX SESSIONS']
  const titles = ['HOST', ...counts, 'DATA PORTS', 'AUTHENTICATION', 'NETWORKS']
  return formatTable(titles, rows, 'no hosts; make one known with: platterd host create')
}

function describe(host: Host): string {
  const { maxConnections, maxSessions, dataPorts } = host
  const counts = `max connections: ${orDefault(maxConnections)}, max sessions: ${orDefault(maxSessions)}`
  const ports = `data ports: ${orDefault(dataPorts)}`
  return `${counts}, ${ports}, authentication: ${authenticationOf(host)}, networks: ${networksOf(host)}`
}

function orDefault(setting: number | string | undefined): string {
  return setting === undefined ? 'default' : String(setting)
}

function authenticationOf({ minAuth, allowUnauthenticated }: Host): string {
  return allowUnauthenticated ? 'not needed' : (minAuth ?? 'default')
}

function networksOf({ networks }: Host): string {
  return networks?.join(', ') ?? 'any'
}
