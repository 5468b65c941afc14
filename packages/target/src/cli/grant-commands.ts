/** `platterd grant …` */
import { Command, InvalidArgumentError } from 'commander'
import type { ShownGrant } from '../admin/model.ts'
import {
  ask,
  type ClientFlags,
  partitionArgument,
  show,
  withClientFlags,
} from './client-command.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

type HostFlags = ClientFlags & { readonly host: string }
type SetFlags = HostFlags & {
  readonly readOnly?: boolean
  readonly readWrite?: boolean
  readonly shared?: boolean
  readonly exclusive?: boolean
}
type CreateFlags = SetFlags & { readonly lun?: number }
type Partition = ReturnType<typeof partitionArgument>

export function grantCommand(io: CliIo): Command {
  const grant = new Command('grant').description('which host may use which partition')
  withSharing(withHost(grant.command('create')))
    .description('give a host a partition; connected hosts see it at once')
    .option('--read-only', 'it may read, and change nothing')
    .option(
      '--lun <number>',
      'the LUN it has there (default: the lowest that is free)',
      lunArgument,
    )
    .action(async (partition: Partition, { lun, ...flags }: CreateFlags) => {
      const wanted = { ...keyOf(partition, flags), ...settingsOf(flags) }
      const made = await ask(io, flags, 'grant create', {
        ...wanted,
        ...(lun !== undefined && { lun }),
      })
      show(io, flags, made, (it) => `${describe(it)}\n`)
    })
  withSharing(withHost(grant.command('set')))
    .description('change what a host may do with a partition, at once')
    .option('--read-only', 'it may read, and change nothing')
    .option('--read-write', 'it may read and write')
    .action(async (partition: Partition, flags: SetFlags) => {
      const wanted = { ...keyOf(partition, flags), ...settingsOf(flags) }
      show(io, flags, await ask(io, flags, 'grant set', wanted), (it) => `${describe(it)}\n`)
    })
  withClientFlags(grant.command('list'))
    .description('list the grants')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'grant list', {}), formatGrants)
    })
  withHost(grant.command('delete'))
    .description('take a partition away from a host, at once: what it is doing there fails')
    .action(async (partition: Partition, flags: HostFlags) => {
      const key = keyOf(partition, flags)
      const answer = await ask(io, flags, 'grant delete', key)
      const name = `${key.array}/${key.partition}`
      show(io, flags, answer, () => `${name} is not granted to ${nameOf(key.host)} any more\n`)
    })
  return grant
}

function withHost(command: Command): Command {
  return withClientFlags(command)
    .argument('<array/partition>', 'the partition', partitionArgument)
    .requiredOption('--host <name>', "the host's iSCSI name, or '*' for every host without its own")
}

function withSharing(command: Command): Command {
  return command
    .option('--shared', 'other hosts may have the partition as well')
    .option('--exclusive', 'no other host may have it (default for a named host)')
}

function keyOf({ array, name }: Partition, { host }: HostFlags) {
  return { array, partition: name, host }
}

function settingsOf({ readOnly, readWrite, shared, exclusive }: SetFlags) {
  return {
    ...(readOnly === true && { access: 'read-only' as const }),
    ...(readWrite === true && { access: 'read-write' as const }),
    ...(shared === true && { sharing: 'shared' as const }),
    ...(exclusive === true && { sharing: 'exclusive' as const }),
  }
}

function lunArgument(text: string): number {
  const lun = /^\d{1,5}$/.test(text) ? Number(text) : -1
  if (lun < 0 || lun > 16383) throw new InvalidArgumentError(`got ${text}, wanted 0 to 16383`)
  return lun
}

function formatGrants(grants: readonly ShownGrant[]): string {
  const rows = grants.map((it) => [
    `${it.array}/${it.partition}`,
    it.host,
    String(it.lun),
    it.access,
    it.sharing,
  ])
  const titles = ['PARTITION', 'HOST', 'LUN', 'ACCESS', 'SHARING']
  return formatTable(titles, rows, 'nothing is granted; do so with: platterd grant create')
}

function describe({ array, partition, host, lun, access, sharing }: ShownGrant): string {
  return `${array}/${partition} is LUN ${lun} for ${nameOf(host)}, ${access}, ${sharing}`
}

function nameOf(host: string): string {
  return host === '*' ? 'all hosts' : host
}
