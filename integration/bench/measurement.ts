/** One run of the load generator against one server, and figures over many runs. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runOk } from '../lib/command.ts'
import type { Workload } from './workload.ts'

/** A server as the benchmark sees it: one LUN, and the files that hold it. */
export interface Server {
  readonly name: string
  readonly pid: number
  readonly url: string
  readonly files: readonly string[]
}

/** What the load generator prints, and the processor time that the server spent meanwhile. */
export interface Run {
  readonly operations: number
  readonly seconds: number
  readonly bytes: number
  readonly p50Us: number
  readonly p99Us: number
  readonly serverCpuUs: number
}

export interface Spread {
  readonly median: number
  readonly minimum: number
  readonly maximum: number
}

/** Compiles the load generator, which needs gcc and libiscsi's headers. */
export async function compileLoad(directory: string): Promise<string> {
  const program = join(directory, 'load')
  const source = join(import.meta.dirname, '..', '..', 'bench', 'load.c')
  await runOk('gcc', ['-O2', '-Wall', '-Wextra', '-o', program, source, '-liscsi'])
  return program
}

/** Loads the server's LUN for about `seconds`. */
export async function measure(
  loadProgram: string,
  server: Server,
  workload: Workload,
  seconds: number,
  seed: number,
): Promise<Run> {
  const { mode, blockBytes, queueDepth, coldCache } = workload
  if (coldCache) await dropFromCache(server.files)
  const before = cpuTimeUs(server.pid)
  const parameters = [mode, blockBytes, queueDepth, seconds, seed].map(String)
  const printed = await runOk(loadProgram, [server.url, ...parameters])
  const serverCpuUs = cpuTimeUs(server.pid) - before
  return { ...(JSON.parse(printed) as Omit<Run, 'serverCpuUs'>), serverCpuUs }
}

/** Writes the whole LUN once, so that every block has its place on disk and in the page cache. */
export async function fill(loadProgram: string, server: Server): Promise<void> {
  await runOk(loadProgram, [server.url, 'fill', '262144', '8', '0', '1'])
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  const lower = sorted[sorted.length % 2 === 0 ? middle - 1 : middle] ?? Number.NaN
  return {
    median: (lower + upper) / 2,
    minimum: sorted[0] ?? Number.NaN,
    maximum: sorted[sorted.length - 1] ?? Number.NaN,
  }
}

/** GNU dd with nocache and no data drops a file's clean pages (posix_fadvise), which needs no root. */
async function dropFromCache(files: readonly string[]): Promise<void> {
  for (const file of files) {
    const drop = ['oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']
    await runOk('dd', ['if=/dev/null', `of=${file}`, ...drop])
  }
}

/** User and system time of all threads of a process, from /proc/PID/stat (proc(5)), in ticks of 10 ms. */
export function cpuTimeUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the program's name, which may hold anything but ends at the last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}
