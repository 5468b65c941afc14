/** What `platterd serve` may be told, checked. A configuration file comes later; it ends up here too. */
import { homedir } from 'node:os'
import path from 'node:path'
import {
  type AuthenticationFloor,
  authenticationFloors,
  type ChapAlgorithm,
  chapAlgorithmName,
  chapAlgorithms,
  parseChapAlgorithms,
} from '@platter/protocol/iscsi'
import type { LogLevel } from './log.ts'
import { logLevels } from './log.ts'
import type { PortalAddress, PortRange } from './net/portals.ts'
import { defaultServerLimits, type ServerLimits } from './server-limits.ts'

export interface ServeConfig {
  readonly stateDirectory: string
  readonly socketPath: string
  readonly portals: readonly PortalAddress[]
  /** Undefined keeps the name that the state directory has. */
  readonly targetName: string | undefined
  /** Silence after which a host is pinged, and how long its answer may take. Undefined: 30 s each. */
  readonly pingAfterMs: number | undefined
  readonly pingTimeoutMs: number | undefined
  /** How long a disk may take to answer if its array can do without it. Undefined: 30 s. */
  readonly diskTimeoutMs: number | undefined
  /** Connections that one session may have, where nothing has been set for its host. */
  readonly maxConnections: number
  readonly limits: ServerLimits
  /** Where hosts log in for which nothing else has been set. */
  readonly dataPorts: DataPortsConfig
  /** Failures to authenticate after which logins of an address are slowed down. Undefined: 10. */
  readonly slowLoginsAfter: number | undefined
  /** The least that a host must show to get in. */
  readonly minAuth: AuthenticationFloor
  /** Those that hosts may authenticate with. */
  readonly chapAlgorithms: readonly ChapAlgorithm[]
  /** What hosts are told of what this server is made of. */
  readonly nodeArchitecture: NodeArchitectureDetail
  readonly logLevel: LogLevel
  readonly jsonLog: boolean
}

/** From nothing to the name and version of the software (RFC 7143 section 9.4). */
export const nodeArchitectureDetails = ['none', 'name', 'version'] as const
export type NodeArchitectureDetail = (typeof nodeArchitectureDetails)[number]

/** At the portals, or at ports that are opened for each host. */
export interface DataPortsConfig {
  readonly kind: 'fixed' | 'dynamic'
  /** Where they are taken from; undefined: wherever one is free. */
  readonly range: PortRange | undefined
}

/** The words of a command line, unchecked. */
export interface ServeFlags {
  readonly state?: string
  readonly socket?: string
  readonly portal?: readonly string[]
  readonly targetName?: string
  readonly pingAfter?: string
  readonly pingTimeout?: string
  readonly diskTimeout?: string
  readonly maxConnections?: number
  readonly maxSessions?: number
  readonly maxSessionsPerHost?: number
  readonly maxConnectionsPerHost?: number
  readonly maxTcpConnections?: number
  readonly maxLogins?: number
  readonly maxLoginsPerAddress?: number
  readonly maxCommands?: number
  readonly loginTimeout?: string
  readonly dataPorts?: string
  readonly dataPortTimeout?: string
  readonly slowLoginsAfter?: number
  readonly minAuth?: string
  readonly chapAlgorithms?: string
  readonly nodeArchitecture?: string
  readonly logLevel?: string
  readonly jsonLog?: boolean
  readonly allowUnauthenticated?: boolean
}

/** The flags cannot be followed; the message names the flag. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** RFC 7143 section 14: 3260 is iSCSI's own port. */
const defaultPort = 3260

/** Enough for a few networks with a few connections each; a host has to ask for more than one. */
const defaultMaxConnections = 8

/** Where state lives unless `--state` says otherwise: $PLATTER_STATE, or the XDG place for it. */
export function defaultStateDirectory(env: NodeJS.ProcessEnv): string {
  const named = env.PLATTER_STATE
  return path.resolve(
    named === undefined || named === '' ? `${homedir()}/.local/state/platter` : named,
  )
}

/** Where the admin socket of a state directory is. */
export function defaultSocketPath(stateDirectory: string): string {
  return path.join(stateDirectory, 'admin.sock')
}

/** Checks flags and fills in defaults. Throws ConfigError. */
export function readServeConfig(flags: ServeFlags, env: NodeJS.ProcessEnv): ServeConfig {
  const stateDirectory =
    flags.state === undefined ? defaultStateDirectory(env) : path.resolve(flags.state)
  const portals = (flags.portal ?? [`127.0.0.1:${defaultPort}`]).map(parsePortal)
  const logLevel = logLevels.find((level) => level === (flags.logLevel ?? 'info'))
  if (logLevel === undefined) {
    throw new ConfigError(`--log-level: got ${flags.logLevel}, wanted ${logLevels.join(' | ')}`)
  }
  return {
    stateDirectory,
    socketPath:
      flags.socket === undefined ? defaultSocketPath(stateDirectory) : path.resolve(flags.socket),
    portals,
    targetName: flags.targetName,
    pingAfterMs: readSeconds('--ping-after', flags.pingAfter),
    pingTimeoutMs: readSeconds('--ping-timeout', flags.pingTimeout),
    diskTimeoutMs: readSeconds('--disk-timeout', flags.diskTimeout),
    maxConnections: flags.maxConnections ?? defaultMaxConnections,
    limits: readLimits(flags),
    dataPorts: readDataPorts(flags.dataPorts),
    slowLoginsAfter: flags.slowLoginsAfter,
    minAuth: readFloor(flags, portals),
    chapAlgorithms: readAlgorithms(flags.chapAlgorithms),
    nodeArchitecture: readDetail(flags.nodeArchitecture),
    logLevel,
    jsonLog: flags.jsonLog ?? false,
  }
}

/** Throws ConfigError. */
function readDetail(word = 'version'): NodeArchitectureDetail {
  const detail = nodeArchitectureDetails.find((it) => it === word)
  if (detail !== undefined) return detail
  const wanted = nodeArchitectureDetails.join(' | ')
  throw new ConfigError(`--node-architecture: got ${word}, wanted ${wanted}`)
}

/** What hosts must show where nothing has been said: CHAP, unless only this machine reaches the portals. */
export function defaultFloor(portals: readonly PortalAddress[]): AuthenticationFloor {
  return portals.every(({ host }) => isLoopback(host)) ? 'none' : 'chap'
}

/** To let in hosts from other machines that show nothing takes plain words. Throws ConfigError. */
function readFloor(
  { minAuth, allowUnauthenticated }: ServeFlags,
  portals: readonly PortalAddress[],
): AuthenticationFloor {
  const floor = authenticationFloors.find((it) => it === minAuth)
  if (minAuth !== undefined && floor === undefined) {
    throw new ConfigError(`--min-auth: got ${minAuth}, wanted ${authenticationFloors.join(' | ')}`)
  }
  if (allowUnauthenticated === true) {
    if (floor === undefined || floor === 'none') return 'none'
    throw new ConfigError(`--min-auth ${floor} and --allow-unauthenticated contradict each other`)
  }
  const open = portals.find(({ host }) => !isLoopback(host))
  if (floor === 'none' && open !== undefined) {
    throw new ConfigError(
      `--min-auth none: refused for the portal ${formatPortal(open)}: whoever reaches it could read and overwrite partitions. Leave it out, so that hosts authenticate, or say --allow-unauthenticated where the network itself is trusted`,
    )
  }
  return floor ?? defaultFloor(portals)
}

/** `fixed`, `dynamic`, or either with `:LOW-HIGH`. Throws ConfigError. */
function readDataPorts(text = 'fixed'): DataPortsConfig {
  const match = /^(fixed|dynamic)(?::(\d{1,5})-(\d{1,5}))?$/.exec(text)
  const [low, high] = [Number(match?.[2] ?? 1), Number(match?.[3] ?? 1)]
  if (match === null || low < 1 || high < low || high > 65535) {
    throw new ConfigError(`--data-ports: got ${text}, wanted fixed, dynamic or dynamic:LOW-HIGH`)
  }
  const kind = match[1] === 'dynamic' ? 'dynamic' : 'fixed'
  return { kind, range: match[2] === undefined ? undefined : { low, high } }
}

function readLimits(flags: ServeFlags): ServerLimits {
  const standard = defaultServerLimits
  return {
    sessions: flags.maxSessions ?? standard.sessions,
    sessionsPerHost: flags.maxSessionsPerHost ?? standard.sessionsPerHost,
    connectionsPerHost: flags.maxConnectionsPerHost ?? standard.connectionsPerHost,
    tcpConnections: flags.maxTcpConnections ?? standard.tcpConnections,
    logins: flags.maxLogins ?? standard.logins,
    loginsPerAddress: flags.maxLoginsPerAddress ?? standard.loginsPerAddress,
    loginTimeoutMs: readSeconds('--login-timeout', flags.loginTimeout) ?? standard.loginTimeoutMs,
    dataPorts: standard.dataPorts,
    dataPortUnusedMs:
      readSeconds('--data-port-timeout', flags.dataPortTimeout) ?? standard.dataPortUnusedMs,
    commands: flags.maxCommands ?? standard.commands,
  }
}

function readAlgorithms(list: string | undefined): readonly ChapAlgorithm[] {
  const algorithms = list === undefined ? chapAlgorithms : parseChapAlgorithms(list)
  if (algorithms !== undefined) return algorithms
  const known = chapAlgorithms.map(chapAlgorithmName).join(',')
  throw new ConfigError(`--chap-algorithms: got ${list}, wanted some of ${known}`)
}

/** Whole seconds up to an hour, in milliseconds. Throws ConfigError. */
function readSeconds(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (seconds < 1 || seconds > 3600) {
    throw new ConfigError(`${flag}: got ${text}, wanted whole seconds from 1 to 3600`)
  }
  return seconds * 1000
}

/** Reads `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`. Throws ConfigError. */
export function parsePortal(text: string): PortalAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/.exec(text)
  const port = Number(match?.[3] ?? defaultPort)
  if (match === null || port > 65535) {
    throw new ConfigError(
      `--portal: got ${text}, wanted HOST:PORT such as 127.0.0.1:3260 or [::1]:3260`,
    )
  }
  return { host: match[1] ?? match[2]!, port }
}

/** `127.0.0.1:3260`, `[::1]:3260`. */
export function formatPortal({ host, port }: PortalAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Names other than localhost are not looked up: what they resolve to may change. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
