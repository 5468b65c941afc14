/** `platterd partition …` */
import { Command, Option } from 'commander'
import type { Partition } from '../admin/model.ts'
import { formatSize } from '../size.ts'
import {
  ask,
  type ClientFlags,
  confirm,
  partitionArgument,
  show,
  sizeArgument,
  withClientFlags,
} from './client-command.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

type SizeFlags = ClientFlags & { readonly size: number }
type CreateFlags = SizeFlags & {
  readonly blockSize?: Partition['blockSize']
  readonly host?: string
}
type Key = ReturnType<typeof partitionArgument>

export function partitionCommand(io: CliIo): Command {
  const partition = new Command('partition').description(
    'pieces of an array, which hosts see as disks',
  )
  withClientFlags(partition.command('create'))
    .description('cut a partition from an array; hosts see it when they are granted it')
    .argument('<array/name>', 'the array, and a name for the partition', partitionArgument)
    .requiredOption('--size <size>', 'its size, such as 512M, 10G, 1T', sizeArgument)
    .addOption(
      new Option(
        '--block-size <format>',
        '512, 512e (blocks of 512 bytes in physical ones of 4096; the default) or 4kn (4096)',
      ).choices(['512', '512e', '4kn']),
    )
    .option('--host <name>', "grant it to this host as well, or to all: '*'")
    .action(async (key: Key, { size, blockSize, host, ...flags }: CreateFlags) => {
      const wanted = {
        ...key,
        sizeBytes: size,
        ...(blockSize !== undefined && { blockSize }),
        ...(host !== undefined && { host }),
      }
      const made = await ask(io, flags, 'partition create', wanted)
      show(io, flags, made, (it) => `partition ${describe(it)} created\n`)
    })
  withClientFlags(partition.command('list'))
    .description('list the partitions, and to whom each is granted')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'partition list', {}), formatPartitions)
    })
  withClientFlags(partition.command('grow'))
    .description('make a partition larger, while it is in use')
    .argument('<array/name>', 'the partition', partitionArgument)
    .requiredOption('--size <size>', 'its new size', sizeArgument)
    .action(async (key: Key, { size, ...flags }: SizeFlags) => {
      const grown = await ask(io, flags, 'partition grow', { ...key, sizeBytes: size })
      show(io, flags, grown, (it) => `partition ${describe(it)} grown\n`)
    })
  withClientFlags(partition.command('delete'))
    .description('delete a partition and what is on it')
    .argument('<array/name>', 'the partition', partitionArgument)
    .option('--yes', 'do not ask')
    .action(async (key: Key, { yes, ...flags }: ClientFlags & { yes?: boolean }) => {
      const name = `${key.array}/${key.name}`
      await confirm(io, yes, `Delete partition ${name} and everything on it?`)
      const answer = await ask(io, flags, 'partition delete', key)
      show(io, flags, answer, () => `partition ${name} deleted\n`)
    })
  return partition
}

function formatPartitions(partitions: readonly Partition[]): string {
  const rows = partitions.map((it) => [
    `${it.array}/${it.name}`,
    formatSize(it.sizeBytes),
    it.blockSize,
    it.grants.map(describeGrant).join(', ') || 'nobody',
    it.id,
  ])
  const titles = ['PARTITION', 'SIZE', 'BLOCK', 'GRANTED TO', 'ID']
  return formatTable(titles, rows, 'no partitions; make one with: platterd partition create')
}

function describe({ array, name, sizeBytes, grants }: Partition): string {
  const hosts = grants.map(describeGrant).join(', ') || 'nobody'
  return `${array}/${name}, ${formatSize(sizeBytes)}, granted to ${hosts},`
}

function describeGrant({ host, lun, access }: Partition['grants'][number]): string {
  const who = host === '*' ? 'all hosts' : host
  return `${who} as LUN ${lun}${access === 'read-only' ? ' read-only' : ''}`
}
