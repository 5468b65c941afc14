/**
 * Platter against tgtd, on files of the same size in the same file system, loaded by one and the same
 * client in alternation: A B A B. What counts is the ratio of each pair of neighbours; single figures
 * of one machine move by a third from run to run.
 *
 *     npm run bench -- [--quick] [--only NAME]… [--rounds N] [--seconds S] [--dir DIR] [--disks N] [--json] [--check]
 */
import { mkdirSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { TargetProcess } from '../lib/target-process.ts'
import { startTgtd } from '../lib/tgtd.ts'
import { compileLoad, fill, measure, type Run, type Server, spread } from './measurement.ts'
import { formatRow, heading, isMet, type Result } from './report.ts'
import { type Workload, workloads } from './workload.ts'

const lunBytes = 2 ** 30
const TMPFS_TYPE = 0x01021994

interface Options {
  readonly chosen: readonly Workload[]
  readonly rounds: number
  readonly seconds: number
  readonly directory: string
  /** Disk files that platterd stripes its LUN over. */
  readonly disks: number
  readonly json: boolean
  /** A ratio below what is wanted makes the exit status 1. */
  readonly check: boolean
}

function parseOptions(parameters: string[]): Options {
  const { values } = parseArgs({
    args: parameters,
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      dir: { type: 'string', default: tmpdir() },
      disks: { type: 'string', default: '4' },
      json: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
    },
  })
  const inMemory = statfsSync(values.dir).type === TMPFS_TYPE
  const chosen = workloads.filter(
    ({ name, coldCache }) =>
      (values.only.length === 0 || values.only.some((part) => name.includes(part))) &&
      // What lies in memory has no cold cache.
      !(coldCache && inMemory),
  )
  if (chosen.length === 0) {
    throw new Error(`no such workload; there are ${workloads.map(({ name }) => name).join(', ')}`)
  }
  return {
    chosen,
    rounds: Number(values.rounds ?? (values.quick ? 3 : 5)),
    seconds: Number(values.seconds ?? (values.quick ? 1 : 2.5)),
    directory: values.dir,
    disks: Number(values.disks),
    json: values.json,
    check: values.check,
  }
}

async function startTgt(directory: string): Promise<Server> {
  const file = join(directory, 'tgtd-lun')
  writeFileSync(file, '')
  truncateSync(file, lunBytes)
  const tgtd = await startTgtd([file])
  return { name: 'tgtd', pid: tgtd.pid, url: tgtd.url(0), files: [file] }
}

async function startPlatter(directory: string, disks: number): Promise<Server> {
  const state = join(directory, 'state')
  mkdirSync(state)
  const target = await TargetProcess.start(state)
  const { lun } = await target.createPartition({
    directory,
    disks,
    // Room for the labels as well.
    diskSize: `${Math.ceil(lunBytes / disks / 2 ** 20) + 16}M`,
    chunk: '64K',
    array: 'bench',
    partition: 'lun',
    size: '1G',
  })
  if (lun === null) throw new Error('the partition has no LUN')
  const files = Array.from({ length: disks }, (_, index) => join(directory, `disk-${index}`))
  return { name: 'platterd', pid: target.pid, url: await target.url(lun), files }
}

/** Measures both servers in turn, round by round. */
async function compare(
  load: string,
  servers: readonly [Server, Server],
  workload: Workload,
  { rounds, seconds }: Options,
): Promise<Result> {
  // What earlier runs left dirty is written now, not in the midst of somebody's run.
  await runOk('sync', [])
  const runs: [Run[], Run[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    runs[0].push(await measure(load, servers[0], workload, seconds, round + 1))
    runs[1].push(await measure(load, servers[1], workload, seconds, round + 1))
  }
  const ratios = runs[1].map((run, round) => rate(run) / rate(runs[0][round] ?? run))
  return {
    workload,
    ratio: spread(ratios),
    servers: servers.map(({ name }, index) => ({
      name,
      operationsPerSecond: spread((runs[index] ?? []).map(rate)).median,
      cpuUsPerOperation: spread((runs[index] ?? []).map(cpuUsPerOperation)).median,
      p50Us: spread((runs[index] ?? []).map((run) => run.p50Us)).median,
      p99Us: spread((runs[index] ?? []).map((run) => run.p99Us)).median,
    })),
  }
}

function rate(run: Run): number {
  return run.operations / run.seconds
}

function cpuUsPerOperation(run: Run): number {
  return run.serverCpuUs / run.operations
}

async function main(parameters: string[]): Promise<void> {
  const options = parseOptions(parameters)
  const say = (line: string): void => {
    if (!options.json) console.log(line)
  }
  const directory = temporaryDirectory(options.directory)
  const load = await compileLoad(directory)
  const servers = [await startTgt(directory), await startPlatter(directory, options.disks)] as const
  const memoryGiB = Math.round(totalmem() / 2 ** 30)
  say(`${availableParallelism()} processors, ${memoryGiB} GiB, Node ${process.version}`)
  say(`two LUNs of 1 GiB under ${options.directory}: one file, and ${options.disks} striped files`)
  for (const server of servers) await fill(load, server)
  say(`${options.rounds} rounds of ${options.seconds} s each, tgtd and platterd in turn`)
  say(heading)
  const results: Result[] = []
  for (const workload of options.chosen) {
    const result = await compare(load, servers, workload, options)
    results.push(result)
    say(formatRow(result))
  }
  if (options.json) console.log(JSON.stringify(results, null, 2))
  const below = results.filter((result) => !isMet(result)).map(({ workload }) => workload.name)
  say(below.length === 0 ? 'every ratio is as wanted' : `below: ${below.join(', ')}`)
  if (options.check && below.length > 0) process.exitCode = 1
}

try {
  await main(process.argv.slice(2))
} finally {
  cleanUp()
}
