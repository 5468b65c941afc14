/** `platter bench`: how fast a partition is, without a mount. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { patterns, type Workload, WorkloadRun } from '../bench/workload.ts'
import type { BlockDevice } from '../block/block-device.ts'
import { BlockPromises } from '../block/block-promises.ts'
import { readHost } from './authentication.ts'
import { type CliIo, misuse } from './io.ts'
import { PARTITION, type PartitionPlace, partitionArgument, withPartition } from './partition.ts'
import { type PathFlags, withPaths } from './path-flags.ts'
import { type PortalFlags, withHost } from './portal.ts'
import { Progress } from './progress.ts'
import { formatSize } from './size.ts'
import { blockSizeArgument, depthArgument, listen } from './transfer.ts'

interface Flags extends PortalFlags, PathFlags {
  readonly pattern?: Workload['pattern']
  readonly blockSize?: number
  readonly depth?: number
  readonly seconds: number
  readonly destroyData?: boolean
  readonly quiet?: boolean
}

const SECONDS = 5
const KiB = 1024
/** What is measured when nothing is said: latency, small operations, and throughput. */
const usual = [
  { pattern: 'random', blockBytes: 4 * KiB, depth: 1 },
  { pattern: 'random', blockBytes: 4 * KiB, depth: 32 },
  { pattern: 'sequential', blockBytes: 1024 * KiB, depth: 8 },
] as const

export function benchCommand(io: CliIo): Command {
  const command = new Command('bench')
    .description('measure how fast a partition is: reads, and writes only with --destroy-data')
    .argument('<partition>', PARTITION, partitionArgument)
    .addOption(
      new Option('--pattern <pattern>', 'where: one of the usual three if none is given').choices(
        patterns,
      ),
    )
    .option('--block-size <size>', 'bytes in an operation, such as 4K or 1M', blockSizeArgument)
    .option('--depth <number>', 'operations under way at once', depthArgument)
    .option('--seconds <number>', 'how long each measurement takes', secondsArgument, SECONDS)
    .option('--destroy-data', 'measure writes too: what the partition holds is overwritten')
    .option('--quiet', 'say nothing of how far it has come')
  return withPaths(withHost(command)).action((place: PartitionPlace, flags: Flags) =>
    bench(io, place, flags),
  )
}

function secondsArgument(text: string): number {
  const seconds = Number(text)
  if (seconds >= 0.1 && seconds <= 86_400) return seconds
  throw new InvalidArgumentError(`got ${text}, wanted a number of seconds from 0.1 on`)
}

async function bench(io: CliIo, place: PartitionPlace, flags: Flags): Promise<void> {
  const { portal: portals } = flags
  const host = await readHost(io, flags)
  const progress = new Progress(io, flags.quiet === true)
  const say = (text: string) => progress.say(text)
  const stop = new AbortController()
  try {
    await withPartition({ place, portals, host, flags, say }, async (device, targetName) => {
      const workloads = workloadsOf(flags)
      if (flags.destroyData === true && device.readOnly) {
        throw misuse(`--destroy-data: ${device.name} is write protected`)
      }
      const stopListening = listen(io, progress, stop)
      const results: Result[] = []
      try {
        for (const workload of workloads) {
          results.push(await measure(device, workload, flags.seconds, progress, stop.signal))
        }
      } finally {
        stopListening()
        progress.end()
      }
      const answer = { targetName, partition: device.name, results }
      io.out(flags.json === true ? `${JSON.stringify(answer)}\n` : formatTable(results))
    })
  } finally {
    progress.end()
  }
}

function workloadsOf({ pattern, blockSize, depth, destroyData }: Flags): Workload[] {
  const isOwn = pattern !== undefined || blockSize !== undefined || depth !== undefined
  const own = { pattern: pattern ?? 'random', blockBytes: blockSize ?? 4 * KiB, depth: depth ?? 32 }
  const operations = destroyData === true ? (['read', 'write'] as const) : (['read'] as const)
  return operations.flatMap((operation) =>
    (isOwn ? [own] : usual).map((kind) => ({ operation, ...kind })),
  )
}

interface Result extends Workload {
  readonly seconds: number
  readonly operations: number
  readonly iops: number
  readonly bytesPerSecond: number
  readonly latencyMicros: Readonly<Record<'mean' | 'p50' | 'p90' | 'p99' | 'p999' | 'max', number>>
}

async function measure(
  device: BlockDevice,
  workload: Workload,
  seconds: number,
  progress: Progress,
  stop: AbortSignal,
): Promise<Result> {
  // Not AbortSignal.any of a timeout: Node 20 may collect it as garbage before it fires.
  const end = new AbortController()
  const finish = () => end.abort()
  const run = new WorkloadRun(device, workload, end.signal)
  progress.show(() => {
    const iops = Math.round(run.latencies.count / run.seconds)
    const rate = `${formatSize(iops * workload.blockBytes)}/s`
    return `${titleOf(workload)}: ${run.seconds.toFixed(0)} of ${seconds} s, ${iops} IOPS, ${rate}`
  })
  const timer = setTimeout(finish, seconds * 1000)
  stop.addEventListener('abort', finish)
  try {
    await run.run()
  } finally {
    clearTimeout(timer)
    stop.removeEventListener('abort', finish)
  }
  stop.throwIfAborted()
  if (workload.operation === 'write') await new BlockPromises(device).flush()
  const { latencies } = run
  const at = (share: number) => latencies.percentileMicros(share)
  const iops = latencies.count / run.seconds
  return {
    ...workload,
    seconds: run.seconds,
    operations: latencies.count,
    iops,
    bytesPerSecond: iops * workload.blockBytes,
    latencyMicros: {
      mean: latencies.meanMicros,
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      p999: at(0.999),
      max: latencies.maxMicros,
    },
  }
}

function titleOf({ operation, pattern, blockBytes, depth }: Workload): string {
  return `${pattern} ${operation} ${formatSize(blockBytes)} depth ${depth}`
}

function formatTable(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const { mean, p50, p90, p99, p999, max } = result.latencyMicros
    const times = [mean, p50, p90, p99, p999, max].map((micros) => micros.toFixed(0))
    const rate = `${formatSize(result.bytesPerSecond)}/s`
    return [titleOf(result), result.iops.toFixed(0), rate, ...times]
  })
  const heads = ['', 'IOPS', 'throughput', 'mean us', 'p50', 'p90', 'p99', 'p99.9', 'max']
  const table = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  const format = (row: readonly string[]) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    )
  return table.map((row) => `${format(row).join('  ').trimEnd()}\n`).join('')
}
