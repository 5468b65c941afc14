/**
 * The mounted file against what else presents an iSCSI LUN as a file without the kernel's help: the FUSE
 * export of qemu-storage-daemon, on the same LUN of the same server, under the same fio jobs, in turn.
 * Our other driver, fuse-native, is in the table beside them.
 *
 *     npm run bench -- --mounts [--only NAME]... [--rounds N] [--seconds S] [--connections N] [--check]
 */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { cleanUp, onCleanUp, temporaryDirectory, unmountNow } from '../lib/cleanup.ts'
import { BackgroundProcess, runOk } from '../lib/command.ts'
import { FuseMount } from '../lib/fuse-mount.ts'
import { TargetProcess } from '../lib/target-process.ts'
import { type JobOptions, job } from './fio.ts'
import { cpuTimeUs, type Spread, spread } from './measurement.ts'
import { type Column, formatCells, titles } from './report.ts'

const KiB = 1024
const MiB = 1024 * KiB
const lunBytes = 1024 * MiB

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string' },
    check: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)

/** A file that is the LUN, and the process behind it. */
interface Presenter {
  readonly name: string
  readonly file: string
  readonly pid: number
}

interface Job extends Omit<JobOptions, 'seconds'> {
  readonly name: string
  /** The least that we want to be, in operations of qemu-storage-daemon. */
  readonly wanted: number
}

const jobs: readonly Job[] = [true, false].flatMap((direct) => [
  ...(['randread', 'randwrite'] as const).flatMap((rw) =>
    [1, 32].map((depth) => describe(rw, 4 * KiB, depth, direct, depth === 1 ? 1 : 1.3)),
  ),
  ...(['read', 'write'] as const).map((rw) => describe(rw, MiB, 4, direct, 1.2)),
])

function describe(
  rw: Job['rw'],
  blockBytes: number,
  depth: number,
  direct: boolean,
  wanted: number,
): Job {
  const size = blockBytes === MiB ? '1m' : '4k'
  const name = `${size}-${rw}-qd${depth}-${direct ? 'direct' : 'buffered'}`
  return { name, rw, blockBytes, depth, direct, wanted }
}

async function startTarget(): Promise<TargetProcess> {
  const target = await TargetProcess.start()
  await target.createPartition({
    directory: temporaryDirectory(),
    disks: 4,
    diskSize: '272M',
    chunk: '64K',
    array: 'bench',
    partition: 'lun',
    size: '1G',
  })
  return target
}

async function mountPlatter(
  name: string,
  { host, port }: TargetProcess,
  driver: 'kernel' | 'native',
): Promise<Presenter> {
  const { connections } = values
  const flags = connections === undefined ? [] : ['--connections', connections]
  const mount = await FuseMount.mount(`${host}:${port}`, '--driver', driver, ...flags)
  return { name, file: mount.file('lun'), pid: mount.process.pid }
}

/** It presents the LUN in the place of a file that is there. */
async function mountQemu(target: TargetProcess): Promise<Presenter> {
  const file = join(temporaryDirectory(), 'lun')
  closeSync(openSync(file, 'w'))
  const lun = `transport=tcp,portal=${target.host}:${target.port},target=${await target.targetName()},lun=0`
  onCleanUp(() => unmountNow(file))
  const daemon = new BackgroundProcess('qemu-storage-daemon', [
    '--blockdev',
    `driver=iscsi,node-name=lun,cache.direct=on,${lun}`,
    '--export',
    `type=fuse,id=file,node-name=lun,mountpoint=${file},writable=on`,
  ])
  await daemon.untilReady(async () => (await stat(file)).size === lunBytes)
  return { name: 'qemu', file, pid: daemon.pid }
}

interface Figures {
  readonly operationsPerSecond: Spread
  readonly cpuUsPerOperation: Spread
}

async function measure(presenter: Presenter, options: Job) {
  const before = cpuTimeUs(presenter.pid)
  const { operations, rate } = await job(presenter.file, { ...options, seconds })
  // What it spent in the half second before counts as well, for all alike.
  const cpuUs = cpuTimeUs(presenter.pid) - before
  return { operationsPerSecond: rate / options.blockBytes, cpuUsPerOperation: cpuUs / operations }
}

/** All in turn, round by round, after one that is not counted. */
async function compare(presenters: readonly Presenter[], options: Job) {
  const runs: Awaited<ReturnType<typeof measure>>[][] = presenters.map(() => [])
  // Which counts for nothing: what is compiled, cached or learnt at first is so for all.
  for (const presenter of presenters) await measure(presenter, options)
  for (let round = 0; round < rounds; round++) {
    for (const [index, presenter] of presenters.entries()) {
      runs[index]?.push(await measure(presenter, options))
    }
  }
  const [ours = [], theirs = []] = runs
  const ratio = spread(
    ours.map((run, round) => run.operationsPerSecond / (theirs[round]?.operationsPerSecond ?? 0)),
  )
  const figures = runs.map(
    (of): Figures => ({
      operationsPerSecond: spread(of.map((run) => run.operationsPerSecond)),
      cpuUsPerOperation: spread(of.map((run) => run.cpuUsPerOperation)),
    }),
  )
  return { ratio, figures }
}

const columns: readonly Column[] = [
  ['job', -27],
  ['qemu op/s', 10],
  ['platter', 9],
  ['ratio', 7],
  ['(min..max)', 14],
  ['wanted', 8],
  ['', 7],
  ['native', 8],
  ['CPU us/op', 11],
  ['platter', 9],
  ['native', 8],
]

function formatRow(
  { name, wanted }: Job,
  { ratio, figures }: Awaited<ReturnType<typeof compare>>,
): string {
  const [platter, qemu, native] = figures
  const rate = (of: Figures | undefined) => (of?.operationsPerSecond.median ?? 0).toFixed(0)
  const cpu = (of: Figures | undefined) => (of?.cpuUsPerOperation.median ?? 0).toFixed(1)
  return formatCells(columns, [
    name,
    rate(qemu),
    rate(platter),
    ratio.median.toFixed(2),
    `(${ratio.minimum.toFixed(2)}..${ratio.maximum.toFixed(2)})`,
    `>= ${wanted.toFixed(2)}`,
    ratio.median >= wanted ? 'met' : 'BELOW',
    rate(native),
    cpu(qemu),
    cpu(platter),
    cpu(native),
  ])
}

async function main(): Promise<void> {
  const target = await startTarget()
  const presenters = [
    await mountPlatter('platter', target, 'kernel'),
    await mountQemu(target),
    await mountPlatter('native', target, 'native'),
  ]
  const [{ file }] = presenters as [Presenter]
  // Every block has its place on the disks, and in the server's cache.
  await runOk('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', 'conv=notrunc,fsync', 'count=1024'])
  const control = readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim()
  console.log(
    `${rounds} rounds of ${seconds} s each, in turn; the LUN has 1 GiB; the system has ${control}`,
  )
  console.log(formatCells(columns, titles(columns)))
  const below: string[] = []
  for (const chosen of jobs) {
    const isChosen =
      values.only.length === 0 || values.only.some((part) => chosen.name.includes(part))
    if (!isChosen) continue
    const result = await compare(presenters, chosen)
    console.log(formatRow(chosen, result))
    if (result.ratio.median < chosen.wanted) below.push(chosen.name)
  }
  console.log(below.length === 0 ? 'every ratio is as wanted' : `below: ${below.join(', ')}`)
  if (values.check && below.length > 0) process.exitCode = 1
}

try {
  await main()
} finally {
  cleanUp()
}
