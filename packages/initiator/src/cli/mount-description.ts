/** A mount's status in words. */

import type { ServerStatus } from '../mounted-server.ts'
import type { PathStatus } from '../net/path.ts'
import type { MountStatus } from './mount-status.ts'
import { formatSize } from './size.ts'

/** What the one who has mounted wants to know. */
export function describeMount({ directory, servers }: MountStatus): string {
  return servers.map((server) => describeNew(directory, server)).join('')
}

function describeNew(directory: string, server: ServerStatus): string {
  const { name, targetName, paths } = server
  if (targetName === null) return `${name} cannot be reached: ${server.error}\n`
  const over = paths.map(({ path }) => path).join(' and ')
  const partitions = server.partitions.map(describePartition).join('')
  return `${targetName} is mounted on ${directory}\n  ${describeMode(server)}, over ${over}\n${partitions}`
}

/**
 * The whole of a status. With `before`, an earlier one, traffic is that of the time between, for each
 * second; else it is that since the mount.
 */
export function describeStatus(status: MountStatus, before?: EarlierStatus): string {
  const { directory, pid, since, servers } = status
  const lines = servers.map((server, index) =>
    describeServer(
      server,
      before && { server: before.status.servers[index], seconds: before.seconds },
    ),
  )
  return `${directory}  mounted since ${since}, process ${pid}\n${lines.join('')}`
}

export interface EarlierStatus {
  readonly status: MountStatus
  /** How long ago it was. */
  readonly seconds: number
}

interface EarlierServer {
  readonly server: ServerStatus | undefined
  readonly seconds: number
}

function describeServer(server: ServerStatus, before: EarlierServer | undefined): string {
  const { name, targetName } = server
  if (targetName === null) return `\n${name}  not reached: ${server.error}\n`
  const paths = server.paths.map((path, index) => {
    const earlier = before?.server?.paths[index]
    return `  ${path.path}  ${describePath(path)}${describeTraffic(path, earlier, before?.seconds)}\n`
  })
  const partitions = server.partitions.map(describePartition)
  return `\n${name}  ${targetName}\n  ${describeMode(server)}\n${paths.join('')}${partitions.join('')}`
}

function describePath({ connections, lost, error }: PathStatus): string {
  const state = error === null ? `up, ${plural(connections, 'connection')}` : `DOWN: ${error}`
  return lost === 0 ? state : `${state}, lost ${plural(lost, 'time')}`
}

function describeTraffic(now: PathStatus, before?: PathStatus, seconds?: number): string {
  const { commands, readBytes, writtenBytes, commandMs } = before ?? nothing
  const count = now.commands - commands
  const latency = count === 0 ? '' : `, ${((now.commandMs - commandMs) / count).toFixed(2)} ms each`
  const per = seconds === undefined ? '' : '/s'
  const share = seconds ?? 1
  const read = formatSize((now.readBytes - readBytes) / share)
  const written = formatSize((now.writtenBytes - writtenBytes) / share)
  return `; ${read}${per} read, ${written}${per} written, ${Math.round(count / share)} commands${per}${latency}`
}

const nothing = { commands: 0, readBytes: 0, writtenBytes: 0, commandMs: 0 }

function describeMode({ mode, connections }: ServerStatus): string {
  if (connections === 1) return 'one connection'
  if (mode === 'connections') return `${connections} connections in one session`
  return `${connections} sessions of one connection, which is all that the target allows`
}

function describePartition({ name, sizeBytes, readOnly }: ServerStatus['partitions'][number]) {
  return `  ${name}  ${formatSize(sizeBytes)}${readOnly ? ', read-only' : ''}\n`
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
