/** `platterd disk …` */
import path from 'node:path'
import { Command } from 'commander'
import type { Disk } from '../admin/model.ts'
import { formatSize } from '../size.ts'
import { ask, type ClientFlags, show, sizeArgument, withClientFlags } from './client-command.ts'
import type { CliIo } from './io.ts'
import { formatTable } from './table.ts'

export function diskCommand(io: CliIo): Command {
  const disk = new Command('disk').description(
    'the files and block devices that arrays are made of',
  )
  withClientFlags(disk.command('create'))
    .description('make a sparse disk file and add it; a file that exists is never touched')
    .argument('<path>', 'where to make it')
    .requiredOption('--size <size>', 'its size, such as 512M, 10G, 1T', sizeArgument)
    .action(async (file: string, flags: ClientFlags & { size: number }) => {
      const input = { path: path.resolve(io.cwd, file), sizeBytes: flags.size }
      const made = await ask(io, flags, 'disk create', input)
      show(io, flags, made, (it) => `disk ${it.path} created, ${describeSize(it)}\n`)
    })
  withClientFlags(disk.command('add'))
    .description('add a file or block device; labels on it bring their array back')
    .argument('<path>', 'the file or block device')
    .action(async (file: string, flags: ClientFlags) => {
      const added = await ask(io, flags, 'disk add', { path: path.resolve(io.cwd, file) })
      show(
        io,
        flags,
        added,
        (it) => `disk ${it.path} added, ${describeSize(it)}, ${describe(it)}\n`,
      )
    })
  withClientFlags(disk.command('list'))
    .description('list the disks and what they are used for')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'disk list', {}), formatDisks)
    })
  withClientFlags(disk.command('remove'))
    .description('forget a disk that no available array uses; its bytes stay as they are')
    .argument('<path>', 'the disk')
    .action(async (file: string, flags: ClientFlags) => {
      const disk = path.resolve(io.cwd, file)
      const answer = await ask(io, flags, 'disk remove', { path: disk })
      show(io, flags, answer, () => `disk ${disk} removed; its bytes are as they were\n`)
    })
  withClientFlags(disk.command('spare'))
    .description('have a free disk take the place of one that an array loses')
    .argument('<path>', 'the disk; what is on it is lost then')
    .option('--off', 'have it do so no longer')
    .action(async (file: string, { off, ...flags }: ClientFlags & { off?: boolean }) => {
      const input = { path: path.resolve(io.cwd, file), spare: off !== true }
      const set = await ask(io, flags, 'disk spare', input)
      show(io, flags, set, (it) => `disk ${it.path} is ${it.spare ? 'a' : 'no'} spare\n`)
    })
  return disk
}

function formatDisks(disks: readonly Disk[]): string {
  const rows = disks.map((it) => [it.path, describeSize(it), describe(it)])
  return formatTable(
    ['DISK', 'SIZE', 'STATE'],
    rows,
    'no disks; make one with: platterd disk create',
  )
}

function describeSize(disk: Disk): string {
  return disk.sizeBytes === null ? '-' : formatSize(disk.sizeBytes)
}

function describe(disk: Disk): string {
  const free = disk.spare ? 'spare' : disk.state
  const state = disk.state === 'member' ? `member of ${disk.array}` : free
  return disk.reason === null ? state : `${state}: ${disk.reason}`
}
