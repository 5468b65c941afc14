/** fio on one file, and what it says. */
import { type Outcome, run } from '../lib/command.ts'

export interface FioFigures {
  /** Bytes per second. */
  readonly rate: number
  /** The longest that one operation took. */
  readonly slowestMs: number
  readonly operations: number
}

interface Side {
  readonly bw_bytes: number
  readonly total_ios: number
  readonly clat_ns: { readonly max: number }
}

/** Sequential reads or writes of 1 MiB, so many at once, past the page cache; a second to get going. */
export function stream(
  file: string,
  rw: 'read' | 'write',
  seconds: number,
  depth: number,
): Promise<FioFigures> {
  const time = ['--time_based', '--ramp_time=1', `--runtime=${seconds}`]
  const job = ['--ioengine=libaio', '--bs=1M', `--iodepth=${depth}`, '--direct=1', ...time]
  return fio(file, [`--rw=${rw}`, '--size=256M', ...job], seconds)
}

export interface JobOptions {
  readonly rw: 'read' | 'write' | 'randread' | 'randwrite'
  readonly blockBytes: number
  readonly depth: number
  /** Past the page cache; else each of `depth` programs has one operation under way. */
  readonly direct: boolean
  readonly seconds: number
}

/** One kind of operation on the whole file, as fast as it goes; half a second to get going. */
export function job(file: string, options: JobOptions): Promise<FioFigures> {
  const { rw, blockBytes, depth, direct, seconds } = options
  const time = ['--time_based', '--ramp_time=0.5', `--runtime=${seconds}`]
  const many = direct
    ? ['--ioengine=libaio', `--iodepth=${depth}`, '--direct=1']
    : ['--ioengine=psync', `--numjobs=${depth}`, '--thread', '--group_reporting']
  return fio(file, [`--rw=${rw}`, `--bs=${blockBytes}`, ...many, ...time], seconds)
}

/**
 * Writes at random places, each read back and compared, for so long. Rejects with what fio says when
 * an operation fails or a byte is wrong.
 */
export function verified(file: string, seconds: number): Promise<FioFigures> {
  const checks = ['--verify=crc32c', '--verify_backlog=64', '--verify_fatal=1', '--do_verify=1']
  // It would leave a file where it runs.
  const stateless = '--verify_state_save=0'
  const load = ['--rw=randwrite', '--bsrange=4k-1M', '--iodepth=16', '--direct=1', '--size=128M']
  const job = ['--ioengine=libaio', ...load]
  return fio(file, [...job, ...checks, stateless, `--runtime=${seconds}`, '--time_based'], seconds)
}

async function fio(file: string, job: readonly string[], seconds: number): Promise<FioFigures> {
  const common = ['--name=job', `--filename=${file}`, '--output-format=json']
  const timeoutMs = seconds * 1000 + 120_000
  const outcome = await run('fio', [...common, '--fallocate=none', ...job], { timeoutMs })
  const sides = sidesOf(outcome)
  return {
    rate: sides.reduce((sum, side) => sum + side.bw_bytes, 0),
    slowestMs: Math.max(...sides.map(({ clat_ns }) => clat_ns.max)) / 1e6,
    operations: sides.reduce((sum, side) => sum + side.total_ios, 0),
  }
}

function sidesOf({ status, stdout, stderr }: Outcome): Side[] {
  if (status !== 0) throw new Error(`fio ended with ${status}:\n${stderr}${stdout.slice(-2000)}`)
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    jobs: { read: Side; write: Side }[]
  }
  return jobs.flatMap(({ read, write }) => [read, write]).filter(({ total_ios }) => total_ios > 0)
}
