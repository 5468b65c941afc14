/** Composition root of the host side: targets found and logged in to, and their units as devices. */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import {
  type AuthenticationFloor,
  Challenges,
  type ChapAlgorithm,
  chapAlgorithms,
  type NegotiationPolicy,
  parseName,
  standardPolicy,
} from '@platter/protocol/iscsi'
import { isLoopback } from '@platter/transport/loopback'
import type { BlockDevice } from './block/block-device.ts'
import { BlockPromises } from './block/block-promises.ts'
import { partBytes } from './block/part-size.ts'
import { type PartitionChange, Partitions } from './block/partitions.ts'
import { discoverTargets } from './net/discover.ts'
import type { Endpoint } from './net/endpoint.ts'
import type { PathOptions, PathStatus } from './net/path.ts'
import { readAccess } from './net/read-access.ts'
import type { SessionEvent } from './net/session-options.ts'
import { type MultiMode, TargetTransport } from './net/target-transport.ts'
import type { AuthenticationPolicy } from './session/authentication.ts'
import type { DiscoveredTarget } from './session/discovery.ts'
import { ConnectionLostError } from './session/errors.ts'
import type { LoginIdentity, SessionType } from './session/login.ts'
import type { PolicyName } from './session/placement.ts'
import { PATH_TIMEOUT_MS } from './session/silence.ts'

/** What we ask for: much data at once, without being asked for each burst (docs/performance.md). */
const policy: NegotiationPolicy = {
  ...standardPolicy,
  initialR2T: false,
  immediateData: true,
  maxBurstLength: 1024 * 1024,
  firstBurstLength: 256 * 1024,
  maxRecvDataSegmentLength: 256 * 1024,
  headerDigest: ['None', 'CRC32C'],
  dataDigest: ['None', 'CRC32C'],
}

const RETRY_FOR_MS = 120_000
const CONNECTIONS = 4
/** Within a machine more of them only cost more: 1 MiB writes had 0.7 of the rate with four. */
const LOOPBACK_CONNECTIONS = 2

/** Of all logins of this process. */
const challenges = new Challenges()

/** How a host and its targets authenticate to each other (CHAP). Secrets are of 12 to 255 bytes. */
export interface HostAuthentication {
  /** What we show; CHAP_N is our iSCSI name if no user is given. */
  readonly host?: { readonly user?: string | undefined; readonly secret: Buffer } | undefined
  /** What every target must show, whatever its name is if no user is given. */
  readonly target?: { readonly user?: string | undefined; readonly secret: Buffer } | undefined
  /** The least that will do; if not given, all that there are secrets for. */
  readonly floor?: AuthenticationFloor | undefined
  /** In the order of preference; all, from the strongest to the weakest, if not given. */
  readonly chapAlgorithms?: readonly ChapAlgorithm[] | undefined
}

export interface HostOptions {
  /** Who we are, as an iSCSI name; made of the machine's name if not given. */
  readonly initiatorName?: string
  /** If not given, we show nothing and ask for nothing. A RangeError says what is wrong with it. */
  readonly authentication?: HostAuthentication
}

export interface ConnectOptions extends HostOptions {
  /** How long I/O waits for a lost target before it fails, in ms; two minutes if not given. */
  readonly retryForMs?: number
  /**
   * How many connections to spread the I/O over. If not given four, two to a target on this machine, or one for each
   * path if those are more.
   */
  readonly connections?: number | undefined
  /** Whether they are of one session, or each of its own; what the target allows if not given. */
  readonly multi?: MultiMode | undefined
  /** Which connection a command takes; `least-bytes` if not given. */
  readonly policy?: PolicyName | undefined
  /** The longest part into which an operation is divided, in bytes; see part-size.ts for what it is if not given. */
  readonly splitBytes?: number | undefined
  /** A path is dead when nothing has come over it for so long while something was due, in ms; 5000 if not given. */
  readonly pathTimeoutMs?: number | undefined
  /** Told when a connection is lost, and when it is back. */
  readonly onEvent?: (event: SessionEvent) => void
}

/** A target that we are logged in to. */
export interface ConnectedTarget {
  readonly targetName: string
  /** One for each partition that there is now; their names are different. */
  readonly devices: readonly BlockDevice[]
  /** The one with this LUN, if it is a disk. */
  deviceAt(lun: number): BlockDevice | undefined
  readonly mode: MultiMode
  /** How many connections there are, once all paths have answered. */
  readonly connections: number
  /** What each path is doing, and has done. */
  paths(): PathStatus[]
  /**
   * The partitions that come, go and grow from now on, until the target is closed. What the target does
   * not tell of is noticed within half a minute.
   */
  changes(): AsyncIterableIterator<PartitionChange>
  /** Makes everything durable that was written, and logs out. Rejects when it could not. */
  close(): Promise<void>
}

/** The targets that a portal tells of. Rejects with a LoginError or a ConnectionLostError. */
export function discover(portal: Endpoint, options: HostOptions = {}): Promise<DiscoveredTarget[]> {
  return discoverTargets(portal, identity('Discovery', undefined, options))
}

/**
 * Logs in to a target, over all the paths given, and finds its disks. I/O goes on when a path was lost,
 * and when all were, within `retryForMs`. Rejects with a LoginError, a ConnectionLostError or a BlockError.
 */
export async function connect(
  portals: PathOptions | readonly [PathOptions, ...PathOptions[]],
  targetName: string,
  options: ConnectOptions = {},
): Promise<ConnectedTarget> {
  const paths = 'host' in portals ? [portals] : portals
  let partitions: Partitions | undefined
  const transport = await TargetTransport.connect({
    paths,
    connections: options.connections ?? defaultConnections(paths),
    multi: options.multi,
    policy: options.policy ?? 'least-bytes',
    identity: identity('Normal', targetName, options),
    newIsid: randomIsid,
    retryForMs: options.retryForMs ?? RETRY_FOR_MS,
    pathTimeoutMs: options.pathTimeoutMs ?? PATH_TIMEOUT_MS,
    onEvent: (event) => {
      // While it was away, anything may have been changed.
      if (event.type === 'restored') partitions?.look()
      options.onEvent?.(event)
    },
    onScsiEvent: () => partitions?.look(),
    onFault: (error) => process.emitWarning(error as Error),
  })
  try {
    partitions = await openPartitions(transport, options.splitBytes)
    return connected(targetName, transport, partitions)
  } catch (error) {
    await transport.close()
    throw error
  }
}

function openPartitions(transport: TargetTransport, split?: number): Promise<Partitions> {
  const { connections, unsolicitedBytes } = transport
  return Partitions.open({
    transport,
    partBytes: (unit) => partBytes({ ...unit, connections, unsolicitedBytes }, split),
  })
}

function connected(
  targetName: string,
  transport: TargetTransport,
  partitions: Partitions,
): ConnectedTarget {
  return {
    targetName,
    get devices() {
      return partitions.devices
    },
    deviceAt: (lun) => partitions.deviceAt(lun),
    mode: transport.mode,
    connections: transport.connections,
    paths: () => transport.status(),
    changes: () => partitions.changes(),
    close: async () => {
      partitions.close()
      try {
        for (const device of partitions.devices) await new BlockPromises(device).flush()
      } finally {
        await transport.close()
      }
    },
  }
}

/** What we may use of a target. Null is what it does not say. */
export interface Access {
  /** What the server is, as `Platter/0.1.0`. */
  readonly server: string | null
  /** In one session. */
  readonly maxConnections: number | null
  /** Those that we can use. */
  readonly portals: readonly Endpoint[]
  readonly partitions: readonly {
    readonly array: string | null
    readonly name: string
    readonly lun: number | null
    readonly sizeBytes: number
    readonly access: 'read-write' | 'read-only'
    readonly sharing: 'exclusive' | 'shared' | null
  }[]
}

/**
 * Asks a target what we may use of it: a Platter in its own words, any other by what each of its units
 * says. Rejects as `connect` does.
 */
export async function inspectAccess(
  portal: Endpoint,
  targetName: string,
  options: HostOptions = {},
): Promise<Access> {
  const told = await readAccess(portal, identity('Normal', targetName, options)).catch(unlessLost)
  if (told !== undefined) return told
  const target = await connect(portal, targetName, { ...options, connections: 1 })
  await target.close()
  const partitions = target.devices.map(({ name, sizeBytes, readOnly }) => ({
    array: null,
    name,
    lun: null,
    sizeBytes,
    access: readOnly ? ('read-only' as const) : ('read-write' as const),
    sharing: null,
  }))
  return { server: null, maxConnections: null, portals: [portal], partitions }
}

/** tgtd drops a connection for a Text Request in a Normal session; a target that is gone is noticed anyway. */
function unlessLost(error: unknown): undefined {
  if (!(error instanceof ConnectionLostError)) throw error
}

function defaultConnections(paths: readonly PathOptions[]): number {
  const isLocal = paths.every(({ host }) => isLoopback(host))
  return Math.max(isLocal ? LOOPBACK_CONNECTIONS : CONNECTIONS, paths.length)
}

function identity(
  sessionType: SessionType,
  targetName: string | undefined,
  { initiatorName = defaultInitiatorName(), authentication = {} }: HostOptions,
): LoginIdentity {
  const name = parseName(initiatorName)?.name
  if (name === undefined) throw new RangeError(`${initiatorName} is not an iSCSI name`)
  return {
    initiatorName: name,
    targetName,
    sessionType,
    isid: randomIsid(),
    policy,
    authentication: authenticationPolicy(name, authentication),
  }
}

/** `authentication` with what it leaves open filled in, for the host with this name. */
export function authenticationPolicy(
  initiatorName: string,
  { host, target, floor, chapAlgorithms: chosen }: HostAuthentication,
): AuthenticationPolicy {
  const strongest = target !== undefined ? 'chap-mutual' : host !== undefined ? 'chap' : 'none'
  return {
    floor: floor ?? strongest,
    chapAlgorithms: chosen ?? chapAlgorithms.toReversed(),
    host: host && { user: host.user ?? initiatorName, secret: host.secret },
    target: target && { user: target.user, secret: target.secret },
    challenges,
  }
}

/** The name of a host that was given none. */
export function defaultInitiatorName(): string {
  const machine = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, '-')
  return `iqn.2026-11.org.platter.host:${machine.slice(0, 128)}`
}

/** An ISID of the random type (RFC 7143 section 11.12.5): sessions of one host need different ones. */
function randomIsid(): Buffer {
  const isid = randomBytes(6)
  isid[0] = 0x80
  return isid
}
