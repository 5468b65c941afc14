/**
 * What a mount tells of itself. It lies in the mount, as a file that is not listed: who may use the
 * partitions may read it, and nothing else has to be found or asked.
 */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { mountedType } from '../fuse/mountpoint.ts'
import { ReportFile } from '../fuse/report-file.ts'
import { Directory, type Tree } from '../fuse/tree.ts'
import type { MountedServer, ServerStatus } from '../mounted-server.ts'
import { version } from '../version.ts'
import { CliFailure, ExitCode } from './io.ts'

const STATUS_DIRECTORY = '.platter'
const STATUS_FILE = 'status.json'

export interface MountStatus {
  readonly directory: string
  /** Of the process behind it. */
  readonly pid: number
  readonly version: string
  /** When it was mounted, as ISO 8601 has it. */
  readonly since: string
  readonly servers: readonly ServerStatus[]
}

/** Tells of the mount at `directory` from now on, and in its tree. */
export function reportStatus(
  tree: Tree,
  directory: string,
  servers: readonly MountedServer[],
): () => MountStatus {
  const since = new Date().toISOString()
  const report = (): MountStatus => ({
    directory,
    pid: process.pid,
    version,
    since,
    servers: servers.map((server) => server.status()),
  })
  const hidden = new Directory({ listed: false })
  tree.add(tree.root, STATUS_DIRECTORY, hidden)
  tree.add(hidden, STATUS_FILE, new ReportFile(() => JSON.stringify(report())))
  return report
}

/** Rejects with a CliFailure when nothing of ours is mounted there. */
export async function readStatus(directory: string): Promise<MountStatus> {
  await requireMount(directory)
  const file = path.join(directory, STATUS_DIRECTORY, STATUS_FILE)
  for (let attempt = 1; ; attempt++) {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTCONN') throw error
      const message = `the process behind ${directory} has died; platter unmount ${directory} cleans up`
      throw new CliFailure(ExitCode.Failed, 'dead', message)
    })
    try {
      return JSON.parse(text)
    } catch (error) {
      // It had grown by a page between its size and its text.
      if (attempt === 3) throw error
    }
  }
}

/** Rejects with a CliFailure unless a mount of ours is there. */
export async function requireMount(directory: string): Promise<void> {
  const type = await mountedType(directory)
  if (type === 'fuse.platter') return
  const got = type === undefined ? 'nothing' : `a file system of type ${type}`
  const message = `${directory} has ${got} mounted on it, not partitions`
  throw new CliFailure(ExitCode.Failed, 'not-mounted', message)
}
