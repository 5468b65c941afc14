/** `platter status` */
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Command } from 'commander'
import { mountsOfType } from '../fuse/mountpoint.ts'
import type { CliIo } from './io.ts'
import { describeStatus, type EarlierStatus } from './mount-description.ts'
import { type MountStatus, readStatus } from './mount-status.ts'

interface Flags {
  readonly watch?: boolean
  readonly json?: boolean
}

const WATCH_MS = 1000
/** Moves to the upper left corner, and clears what is there (ECMA-48: CUP, ED). */
const CLEAR = '\x1b[H\x1b[J'

export function statusCommand(io: CliIo): Command {
  return new Command('status')
    .description('what mounts are doing: connections, traffic, latency, the health of each path')
    .argument('[directory]', 'where it is mounted (default: all mounts)')
    .option(
      '--watch',
      'again every second, with what goes over each path in that time; Ctrl-C ends it',
    )
    .option('--json', 'answer in JSON: one line for each look')
    .action(async (directory: string | undefined, { watch, json }: Flags) => {
      const look = () =>
        directory === undefined ? readAll(io) : Promise.all([readStatus(path.resolve(directory))])
      const show = json === true ? showJson : showWords
      if (watch === true) await watchStatus(io, look, show)
      else io.out(show(await look(), []))
    })
}

type Show = (statuses: readonly MountStatus[], before: readonly EarlierStatus[]) => string

/** Of the mounts that tell; what is the matter with the others is said. */
async function readAll(io: CliIo): Promise<MountStatus[]> {
  const outcomes = await Promise.allSettled((await mountsOfType('fuse.platter')).map(readStatus))
  return outcomes.flatMap((outcome) => {
    if (outcome.status === 'fulfilled') return [outcome.value]
    io.err(`platter: ${outcome.reason.message}\n`)
    return []
  })
}

function showJson(statuses: readonly MountStatus[]): string {
  return `${JSON.stringify(statuses)}\n`
}

function showWords(statuses: readonly MountStatus[], before: readonly EarlierStatus[]): string {
  if (statuses.length === 0) return 'nothing is mounted\n'
  const earlier = (now: MountStatus) =>
    before.find(({ status }) => status.directory === now.directory && status.pid === now.pid)
  return statuses.map((status) => describeStatus(status, earlier(status))).join('\n')
}

async function watchStatus(io: CliIo, look: () => Promise<MountStatus[]>, show: Show) {
  const stop = new AbortController()
  const stopListening = io.onStopSignal(() => stop.abort())
  let last: { readonly statuses: readonly MountStatus[]; readonly ms: number } | undefined
  while (!stop.signal.aborted) {
    const statuses = await look()
    const ms = performance.now()
    const seconds = last === undefined ? 0 : (ms - last.ms) / 1000
    const before = last?.statuses.map((status) => ({ status, seconds })) ?? []
    io.out((show === showWords ? CLEAR : '') + show(statuses, before))
    last = { statuses, ms }
    await setTimeout(WATCH_MS, undefined, { signal: stop.signal }).catch(() => {})
  }
  stopListening()
}
