/**
 * Each RAID level beside RAID 0 on as many disks, in one server, loaded by one client in alternation; whole,
 * and with one member taken out. `ideal` is what as many such disks as hold data would do by themselves:
 * a figure to look at, since here the processor is the limit and not the disks.
 *
 *     npm run bench -- --arrays [--level NAME]… [--rounds N] [--seconds S] [--no-checksums] [--check]
 *     npm run bench -- --arrays --minutes 10     the memory of the server under such load
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { askAdminOk } from '../lib/admin-api.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { TargetProcess } from '../lib/target-process.ts'
import {
  compileLoad,
  fill,
  measure,
  type Run,
  type Server,
  type Spread,
  spread,
} from './measurement.ts'
import { type Column, formatCells, titles } from './report.ts'
import type { Workload } from './workload.ts'

const KiB = 1024
const MEMBERS = 4
const CHUNK_BYTES = 64 * KiB
/** Whole rows at each level: of 4, 3, 2 and 1 chunks. */
const ROWS_BYTES = 12 * CHUNK_BYTES
const LUN_BYTES = 384 * KiB * KiB

const levels = ['raid1', 'raid10', 'raid5', 'raid6'] as const
type Level = 'raid0' | (typeof levels)[number]

/** How many of the members' bandwidths a level has for reads, and for writes. */
const bandwidths: Record<Level, { readonly read: number; readonly write: number }> = {
  raid0: { read: MEMBERS, write: MEMBERS },
  raid1: { read: MEMBERS, write: 1 },
  raid10: { read: MEMBERS, write: MEMBERS / 2 },
  raid5: { read: MEMBERS, write: MEMBERS - 1 },
  raid6: { read: MEMBERS, write: MEMBERS - 2 },
}

/** What is wanted of RAID 0's rate, of a whole array. */
const wanted: Partial<Record<Level, Partial<Record<string, number>>>> = {
  raid1: { '4k-randread': 1, 'rows-read': 1 },
  raid10: { '4k-randread': 1, 'rows-read': 1 },
  raid5: { 'rows-write': 0.6 },
}

function describe(mode: Workload['mode'], name: string, blockBytes: number, queueDepth: number) {
  return { name, mode, blockBytes, queueDepth, coldCache: false, wanted: 0 } satisfies Workload
}

const jobs: readonly Workload[] = [
  describe('randread', '4k-randread', 4 * KiB, 32),
  describe('randwrite', '4k-randwrite', 4 * KiB, 32),
  describe('seqread', 'rows-read', ROWS_BYTES, 4),
  describe('seqwrite', 'rows-write', ROWS_BYTES, 4),
]

const { values } = parseArgs({
  options: {
    level: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1.5' },
    minutes: { type: 'string' },
    'no-checksums': { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const chosen = levels.filter((level) => values.level.length === 0 || values.level.includes(level))

const columns: readonly Column[] = [
  ['array', -16],
  ['workload', -14],
  ['raid0 MiB/s', 12],
  ['MiB/s', 9],
  ['ratio', 7],
  ['(min..max)', 14],
  ['wanted', 9],
  ['', 7],
  ['of ideal', 10],
]

interface Bench {
  readonly load: string
  readonly target: TargetProcess
  readonly directory: string
}

async function makeArray(bench: Bench, name: string, level: Level, disks: number): Promise<Server> {
  const { target, directory } = bench
  const paths = Array.from({ length: disks }, (_, n) => join(directory, `${name}-${n}`))
  // Room for the labels and what else a level needs.
  const perDisk = level === 'raid1' ? LUN_BYTES : Math.ceil(LUN_BYTES / Math.max(disks / 2, 1))
  for (const path of paths) {
    const size = `${Math.ceil(perDisk / KiB / KiB) + 32}M`
    await target.command('disk', 'create', path, '--size', size)
  }
  const chunk = ['--level', level, '--chunk', `${CHUNK_BYTES / KiB}K`]
  const sums = values['no-checksums'] ? ['--no-checksums'] : []
  await target.command('array', 'create', name, ...chunk, ...sums, ...paths)
  const { lun } = await target.addPartition(`${name}/lun`, `${LUN_BYTES}`)
  const server = { name, pid: target.pid, url: await target.url(lun), files: paths }
  await fill(bench.load, server)
  return server
}

/** MiB/s of both in each round, and the ratios of the second to the first. */
async function compare({ load }: Bench, base: Server, other: Server, job: Workload) {
  await runOk('sync', [])
  const rates: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    rates[0].push(rate(await measure(load, base, job, seconds, round + 1)))
    rates[1].push(rate(await measure(load, other, job, seconds, round + 1)))
  }
  return {
    base: spread(rates[0]),
    other: spread(rates[1]),
    ratio: spread(rates[1].map((it, round) => it / (rates[0][round] ?? it))),
  }
}

function rate(run: Run): number {
  return run.bytes / run.seconds / KiB / KiB
}

function formatRow(
  name: string,
  job: Workload,
  found: { readonly base: Spread; readonly other: Spread; readonly ratio: Spread },
  least: number | undefined,
  ideal: number,
): string {
  const { base, other, ratio } = found
  return formatCells(columns, [
    name,
    job.name,
    base.median.toFixed(0),
    other.median.toFixed(0),
    ratio.median.toFixed(2),
    `(${ratio.minimum.toFixed(2)}..${ratio.maximum.toFixed(2)})`,
    least === undefined ? '' : `>= ${least.toFixed(2)}`,
    least === undefined ? '' : ratio.median >= least ? 'met' : 'BELOW',
    (other.median / ideal).toFixed(2),
  ])
}

/** All rows; false if one is below what is wanted. */
async function compareLevels(bench: Bench): Promise<boolean> {
  const base = await makeArray(bench, 'raid0', 'raid0', MEMBERS)
  const single = await makeArray(bench, 'one', 'raid0', 1)
  const member = new Map<string, number>()
  for (const job of jobs) {
    member.set(job.name, rate(await measure(bench.load, single, job, seconds, 1)))
  }
  console.log(formatCells(columns, titles(columns)))
  let isMet = true
  for (const level of chosen) {
    const server = await makeArray(bench, level, level, MEMBERS)
    for (const state of ['whole', 'degraded'] as const) {
      if (state === 'degraded') {
        const input = { disk: server.files[1] }
        const { stateDirectory } = bench.target
        await askAdminOk(stateDirectory, 'POST', `/api/v1/arrays/${level}/fail`, input)
      }
      for (const job of jobs) {
        const found = await compare(bench, base, server, job)
        const least = state === 'whole' ? wanted[level]?.[job.name] : undefined
        const kind = job.mode.endsWith('read') ? 'read' : 'write'
        const ideal = bandwidths[level][kind] * (member.get(job.name) ?? Number.NaN)
        console.log(formatRow(`${level} ${state}`, job, found, least, ideal))
        if (least !== undefined && found.ratio.median < least) isMet = false
      }
    }
  }
  return isMet
}

/** Loads all levels in turn, and prints the server's resident memory each half minute. */
async function watchMemory(bench: Bench, minutes: number): Promise<void> {
  const servers: Server[] = []
  for (const level of chosen) servers.push(await makeArray(bench, level, level, MEMBERS))
  const untilMs = performance.now() + minutes * 60_000
  let printedMs = 0
  for (let turn = 0; performance.now() < untilMs; turn++) {
    const server = servers[turn % servers.length] as Server
    const job = jobs[Math.floor(turn / servers.length) % jobs.length] as Workload
    await measure(bench.load, server, job, seconds, turn + 1)
    if (performance.now() - printedMs < 30_000) continue
    printedMs = performance.now()
    console.log(`${residentMiB(server.pid)} MiB resident`)
  }
}

function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / KiB)
}

try {
  const directory = temporaryDirectory()
  const target = await TargetProcess.start()
  const bench = { load: await compileLoad(directory), target, directory }
  if (values.minutes !== undefined) await watchMemory(bench, Number(values.minutes))
  else if (!(await compareLevels(bench)) && values.check) process.exitCode = 1
} finally {
  await cleanUp()
}
