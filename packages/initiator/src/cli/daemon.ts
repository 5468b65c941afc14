/**
 * A mount that goes on by itself: the same command line, run by a process of its own, which says over a
 * channel to this one when it has mounted, or why it could not.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { CliFailure, type CliIo, ExitCode } from './io.ts'
import type { MountStatus } from './mount-status.ts'

/** What the process is told by, instead of --daemon. */
export const DAEMON_FLAG = '--as-daemon'

type Report =
  | { readonly mounted: MountStatus }
  | {
      readonly failed: {
        readonly exitCode: number
        readonly code: string
        readonly message: string
      }
    }

/**
 * Runs `args` with `--daemon` replaced, and resolves when it has mounted. What it says from then on is
 * in `log`. Rejects with the CliFailure that it ended with.
 */
export async function startDaemon(args: readonly string[], log: string): Promise<MountStatus> {
  await mkdir(path.dirname(log), { recursive: true, mode: 0o700 })
  const file = await open(log, 'a', 0o600)
  const own = args.map((arg) => (arg === '--daemon' ? DAEMON_FLAG : arg))
  const child = spawn(process.execPath, [process.argv[1] as string, ...own], {
    detached: true,
    stdio: ['inherit', file.fd, file.fd, 'ipc'],
  })
  await file.close()
  const [report] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => [endedSilently(code, log)]),
  ])) as [Report]
  if (child.connected) child.disconnect()
  child.unref()
  if ('mounted' in report) return report.mounted
  const { exitCode, code, message } = report.failed
  throw new CliFailure(exitCode, code, message)
}

function endedSilently(exitCode: number | null, log: string): Report {
  const message = `the process of the mount ended with ${exitCode} before it had mounted; see ${log}`
  return { failed: { exitCode: ExitCode.Failed, code: 'failed', message } }
}

/** In the daemon: the parent is told that it has mounted, and is not needed any more. */
export async function reportMounted(mounted: MountStatus): Promise<void> {
  await report({ mounted })
  // What it holds would be busy otherwise, until it ends.
  process.chdir('/')
}

/** In the daemon: the parent is told why it could not mount. */
export function reportFailure(failed: {
  readonly exitCode: number
  readonly code: string
  readonly message: string
}): Promise<void> {
  return report({ failed })
}

async function report(said: Report): Promise<void> {
  if (process.send === undefined || !process.connected) return
  await new Promise<void>((resolve) => process.send?.(said, undefined, {}, () => resolve()))
  process.disconnect?.()
}

/** Each line in the log says when it was written. */
export function withTimes(io: CliIo): CliIo {
  return { ...io, err: (text) => io.err(`${new Date().toISOString()} ${text}`) }
}

/** Where the mount at `directory` logs to, unless it is told: `~/.local/state/platter/mnt-san.log`. */
export function defaultLog(directory: string): string {
  const base = process.env.XDG_STATE_HOME ?? path.join(homedir(), '.local', 'state')
  const name = path.resolve(directory).slice(1).replaceAll('/', '-')
  return path.join(base, 'platter', `${name || 'root'}.log`)
}

/** Has the process's id in a file for as long as `during` takes; nowhere if there is no `file`. */
export async function withPidFile(
  file: string | undefined,
  during: () => Promise<void>,
): Promise<void> {
  if (file === undefined) return during()
  const absolute = path.resolve(file)
  await writeFile(absolute, `${process.pid}\n`)
  try {
    await during()
  } finally {
    await rm(absolute, { force: true })
  }
}
