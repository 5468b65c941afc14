/** `platterd array …` */
import path from 'node:path'
import { Command, Option } from 'commander'
import type { ArrayInfo } from '../admin/model.ts'
import { formatSize } from '../size.ts'
import {
  ask,
  type ClientFlags,
  confirm,
  show,
  sizeArgument,
  withClientFlags,
} from './client-command.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

interface CreateFlags extends ClientFlags {
  readonly level: ArrayInfo['level']
  readonly chunk: number
}

export function arrayCommand(io: CliIo): Command {
  const array = new Command('array').description('disks under one RAID level')
  withClientFlags(array.command('create'))
    .description('make an array of free disks; what was on them is lost')
    .argument('<name>', 'its name: letters, digits, dots, dashes, underscores')
    .argument('<disk...>', 'paths of added disks, in member order')
    .addOption(new Option('--level <level>', 'RAID level').choices(['raid0']).default('raid0'))
    .option('--chunk <size>', 'bytes in a row on one disk', sizeArgument, 64 * 1024)
    .action(async (name: string, disks: string[], { level, chunk, ...flags }: CreateFlags) => {
      const paths = disks.map((disk) => path.resolve(io.cwd, disk))
      const input = { name, level, chunkSizeBytes: chunk, disks: paths }
      const made = await ask(io, flags, 'array create', input)
      show(io, flags, made, (it) => `array ${it.name} created, ${describeSizes(it)}\n`)
    })
  withClientFlags(array.command('list'))
    .description('list the arrays, and why one is not available')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'array list', {}), formatArrays)
    })
  withClientFlags(array.command('delete'))
    .description('take an array without partitions apart, wiping the labels of its disks')
    .argument('<name>', 'the array')
    .option('--yes', 'do not ask')
    .action(async (name: string, { yes, ...flags }: ClientFlags & { yes?: boolean }) => {
      await confirm(io, yes, `Delete array ${name}?`)
      const answer = await ask(io, flags, 'array delete', { name })
      show(io, flags, answer, () => `array ${name} deleted\n`)
    })
  return array
}

function formatArrays(arrays: readonly ArrayInfo[]): string {
  const rows = arrays.map((it) => [
    it.name,
    it.level,
    formatSize(it.chunkSizeBytes),
    String(it.disks.length),
    describeSizes(it),
    it.reason === null ? it.state : `${it.state}: ${it.reason}`,
  ])
  const titles = ['ARRAY', 'LEVEL', 'CHUNK', 'DISKS', 'SIZE', 'STATE']
  return formatTable(titles, rows, 'no arrays; make one with: platterd array create')
}

function describeSizes(array: ArrayInfo): string {
  if (array.sizeBytes === null || array.freeBytes === null) return '-'
  return `${formatSize(array.sizeBytes)}, free ${formatSize(array.freeBytes)}`
}
