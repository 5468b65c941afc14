/** `platterd array …` */
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import type { ArrayInfo } from '../admin/model.ts'
import { formatSize } from '../size.ts'
import { describeScrub, formatJob, formatMembers } from './array-format.ts'
import {
  ask,
  type ClientFlags,
  confirm,
  show,
  sizeArgument,
  withClientFlags,
} from './client-command.ts'
import { CliFailure, type CliIo, ExitCode } from './io.ts'
import { formatTable } from './table.ts'

interface CreateFlags extends ClientFlags {
  readonly level: ArrayInfo['level']
  readonly chunk: number
  readonly checksums?: boolean
}

const LEVELS = ['raid0', 'raid1', 'raid10', 'raid5', 'raid6']
const POLL_MS = 500

export function arrayCommand(io: CliIo): Command {
  const array = new Command('array').description('disks under one RAID level')
  addCreate(io, array)
  withClientFlags(array.command('list'))
    .description('list the arrays, and why one is not available')
    .action(async (flags: ClientFlags) => {
      show(io, flags, await ask(io, flags, 'array list', {}), formatArrays)
    })
  withClientFlags(array.command('show'))
    .description('show an array, its members, and what it is doing')
    .argument('<name>', 'the array')
    .action(async (name: string, flags: ClientFlags) => {
      show(io, flags, await find(io, flags, name), formatArray)
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
  addMemberCommands(io, array)
  addScrub(io, array)
  addWait(io, array)
  return array
}

function addCreate(io: CliIo, array: Command): void {
  withClientFlags(array.command('create'))
    .description('make an array of free disks; what was on them is lost')
    .argument('<name>', 'its name: letters, digits, dots, dashes, underscores')
    .argument('<disk...>', 'paths of added disks, in member order')
    .addOption(new Option('--level <level>', 'RAID level').choices(LEVELS).default('raid0'))
    .option('--chunk <size>', 'bytes in a row on one disk', sizeArgument, 64 * 1024)
    .option('--checksums', 'notice what a disk silently changes (default, except for raid0)')
    .option('--no-checksums', 'believe the disks')
    .action(async (name: string, disks: string[], create: CreateFlags) => {
      const { level, chunk, checksums, ...flags } = create
      const paths = disks.map((disk) => path.resolve(io.cwd, disk))
      const made = await ask(io, flags, 'array create', {
        name,
        level,
        chunkSizeBytes: chunk,
        disks: paths,
        ...(checksums === undefined ? {} : { checksums }),
      })
      show(io, flags, made, (it) => `array ${it.name} created, ${describeSizes(it)}\n`)
    })
}

function addMemberCommands(io: CliIo, array: Command): void {
  withClientFlags(array.command('fail'))
    .description('take a disk out of an array that can do without it')
    .argument('<name>', 'the array')
    .argument('<disk>', 'the disk')
    .option('--yes', 'do not ask')
    .action(async (name, disk, { yes, ...flags }: ClientFlags & { yes?: boolean }) => {
      await confirm(io, yes, `Take ${disk} out of array ${name}?`)
      const input = { name, disk: path.resolve(io.cwd, disk) }
      show(io, flags, await ask(io, flags, 'array fail', input), formatArray)
    })
  withClientFlags(array.command('replace'))
    .description('put a free disk in the place of an absent one, and have it rebuilt')
    .argument('<name>', 'the array')
    .argument('<disk>', 'the free disk; what is on it is lost')
    .option('--for <disk>', 'the disk to take out first, if it is still there')
    .option('--yes', 'do not ask')
    .action(async (name, disk, given: ClientFlags & { for?: string; yes?: boolean }) => {
      const { for: replaced, yes, ...flags } = given
      if (replaced !== undefined) await confirm(io, yes, `Take ${replaced} out of ${name}?`)
      const answer = await ask(io, flags, 'array replace', {
        name,
        disk: path.resolve(io.cwd, disk),
        ...(replaced === undefined ? {} : { replaced: path.resolve(io.cwd, replaced) }),
      })
      show(io, flags, answer, formatArray)
    })
  withClientFlags(array.command('re-add'))
    .description('take a disk back that was taken out, and copy what it lacks')
    .argument('<name>', 'the array')
    .argument('<disk>', 'the disk')
    .action(async (name, disk, flags: ClientFlags) => {
      const input = { name, disk: path.resolve(io.cwd, disk) }
      show(io, flags, await ask(io, flags, 'array re-add', input), formatArray)
    })
}

function addScrub(io: CliIo, array: Command): void {
  withClientFlags(array.command('scrub'))
    .description('compare all copies in the background, and mend what is wrong')
    .argument('<name>', 'the array')
    .option('--stop', 'end the one that runs')
    .action(async (name: string, { stop, ...flags }: ClientFlags & { stop?: boolean }) => {
      const operation = stop === true ? 'array scrub-stop' : 'array scrub'
      show(io, flags, await ask(io, flags, operation, { name }), formatArray)
    })
}

function addWait(io: CliIo, array: Command): void {
  withClientFlags(array.command('wait'))
    .description('wait until an array neither rebuilds nor scrubs; fails if it is not whole then')
    .argument('<name>', 'the array')
    .action(async (name: string, flags: ClientFlags) => {
      let shown = ''
      for (;;) {
        const info = await find(io, flags, name)
        const line = info.job === null ? '' : formatJob(info.job)
        if (line !== shown && flags.json !== true) io.err(`${line}\n`)
        shown = line
        if (info.job !== null) {
          await sleep(POLL_MS)
          continue
        }
        show(io, flags, info, formatArray)
        if (info.state === 'available') return
        throw new CliFailure(ExitCode.Failed, 'not-whole', `array ${name} is ${info.state}`)
      }
    })
}

async function find(io: CliIo, flags: ClientFlags, name: string): Promise<ArrayInfo> {
  const found = (await ask(io, flags, 'array list', {})).find((it) => it.name === name)
  if (found !== undefined) return found
  throw new CliFailure(ExitCode.Failed, 'not-found', `there is no array ${name}`)
}

function formatArrays(arrays: readonly ArrayInfo[]): string {
  const rows = arrays.map((it) => [
    it.name,
    it.level,
    formatSize(it.chunkSizeBytes),
    String(it.disks.length),
    describeSizes(it),
    describeState(it),
  ])
  const titles = ['ARRAY', 'LEVEL', 'CHUNK', 'DISKS', 'SIZE', 'STATE']
  return formatTable(titles, rows, 'no arrays; make one with: platterd array create')
}

function formatArray(it: ArrayInfo): string {
  const lines = [
    `array ${it.name}: ${it.level}, chunks of ${formatSize(it.chunkSizeBytes)}, ${describeSizes(it)}`,
    `state: ${describeState(it)}`,
    `checksums: ${it.checksums ? 'on' : 'off'}`,
    ...(it.lastScrub === null ? [] : describeScrub(it.lastScrub)),
  ]
  return `${lines.join('\n')}\n${formatMembers(it)}`
}

function describeState({ state, reason, job }: ArrayInfo): string {
  const doing = job === null ? '' : `, ${formatJob(job)}`
  return `${state}${reason === null ? '' : `: ${reason}`}${doing}`
}

function describeSizes(array: ArrayInfo): string {
  if (array.sizeBytes === null || array.freeBytes === null) return '-'
  return `${formatSize(array.sizeBytes)}, free ${formatSize(array.freeBytes)}`
}
