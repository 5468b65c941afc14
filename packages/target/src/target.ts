/**
 * The composition root: opens a state directory and builds the whole server from its parts. Nothing
 * imports it but the command line and index.ts.
 */
import {
  type AuthenticationFloor,
  type ChapAlgorithm,
  chapAlgorithms,
  parseName,
  standardPolicy,
} from '@platter/protocol/iscsi'
import type {
  Host,
  LoginFailures,
  Partition,
  Redirect,
  Session as SessionInfo,
  Status,
} from './admin/model.ts'
import type {
  GrantChange,
  GrantKey,
  HostChange,
  MemberKey,
  NewArray,
  NewGrant,
  NewPartition,
  NewSecret,
  PartitionKey,
  TargetFacade,
} from './admin/target-facade.ts'
import { requirementOf, type ServerAuthentication } from './authentication.ts'
import { ChangeQueue } from './change-queue.ts'
import {
  type DataPortsConfig,
  defaultFloor,
  formatPortal,
  type NodeArchitectureDetail,
} from './config.ts'
import { DataPorts } from './data-ports.ts'
import type { OpenDisk } from './disk-set.ts'
import { makePrivateDirectory, type OnStep } from './durable-file.ts'
import { grantsOf } from './grant.ts'
import { Grants } from './grants.ts'
import { Hosts } from './hosts.ts'
import { Inventory } from './inventory.ts'
import { type Log, silentLog } from './log.ts'
import { IscsiServer } from './net/iscsi-server.ts'
import type { PortalAddress } from './net/portals.ts'
import { negotiation, nodeArchitectureOf, sessionLimits } from './node-policy.ts'
import { Redirects } from './redirects.ts'
import { ReservationFile } from './reservation-file.ts'
import { SanitizeStates } from './sanitize-states.ts'
import { Secrets } from './secrets.ts'
import { ServedUnits } from './served-units.ts'
import { defaultServerLimits, type ServerLimits } from './server-limits.ts'
import { TargetNode } from './session/target-node.ts'
import { describeSession } from './session-info.ts'
import { StateStore } from './state.ts'
import { lockStateDirectory } from './state-lock.ts'
import { version } from './version.ts'
import { DiskFile } from './volume/disk-file.ts'
import { withTimeout } from './with-timeout.ts'

export interface TargetOptions {
  /** Made with mode 0700 when it is not there. One target at a time may have it. */
  readonly stateDirectory: string
  /** Where `start` listens; port 0 takes a free one, which `status` tells. */
  readonly portals: readonly PortalAddress[]
  /** Replaces the iSCSI name that the state directory has, for good. */
  readonly targetName?: string | undefined
  /** Silence after which a host is pinged, and how long its answer may take; 30 s each by default. */
  readonly pingAfterMs?: number | undefined
  readonly pingTimeoutMs?: number | undefined
  /** Connections that one session may have, where nothing has been set for its host; 1 by default. */
  readonly maxConnections?: number
  /** The least that a host must show: nothing, if every portal is a loopback address, else CHAP. */
  readonly minAuth?: AuthenticationFloor
  /** Those that hosts may authenticate with; all by default. */
  readonly chapAlgorithms?: readonly ChapAlgorithm[]
  /** Failures to authenticate after which the logins of an address are slowed down; 10 by default. */
  readonly slowLoginsAfter?: number | undefined
  /** Where hosts log in for which nothing else has been set; at the portals by default. */
  readonly dataPorts?: DataPortsConfig
  /** Those that are not given are as in defaultServerLimits. */
  readonly limits?: Partial<ServerLimits>
  /** How long a disk may take to answer if its array can do without it; 30 s by default. */
  readonly diskTimeoutMs?: number | undefined
  /** What hosts are told of this software that tell of theirs; its version by default. */
  readonly nodeArchitecture?: NodeArchitectureDetail
  readonly log?: Log
  /** For tests: other disks than files. */
  readonly openDisk?: OpenDisk
  /** For fault tests: told after each durable step of a change; throwing stands for a crash there. */
  readonly onStep?: OnStep
}

/** A running storage server, and everything that can be asked of it. */
export interface Target extends TargetFacade {
  /** Listens on the portals. Rejects with the system's error when one cannot be had. */
  start(): Promise<void>
  /**
   * Takes no more changes and connections, lets those under way finish, ends the sessions, closes
   * the disks. Rejects when sessions have not ended in `timeoutMs`; everything is released all the same.
   */
  stop(timeoutMs?: number): Promise<void>
}

/** Sessions that have not ended by then are not waited for. */
const stopTimeoutMs = 10_000

/**
 * Opens a state directory and builds a target on it, which serves from `start` on. Rejects when the
 * directory is in use, or its state is not valid; a disk or array that is not well is no reason to.
 */
export async function createTarget(options: TargetOptions): Promise<Target> {
  const { stateDirectory, targetName, onStep = () => {} } = options
  await makePrivateDirectory(stateDirectory)
  const unlock = lockStateDirectory(stateDirectory)
  try {
    const state = await StateStore.open(stateDirectory, onStep)
    if (targetName !== undefined && targetName !== state.current.targetName) {
      await state.replace({ ...state.current, targetName })
    }
    const reservations = await ReservationFile.open(stateDirectory, onStep)
    const sanitizes = await SanitizeStates.open(stateDirectory)
    const opened = { state, reservations, sanitizes, unlock }
    const target = new ComposedTarget(options, opened)
    await target.open()
    return target
  } catch (error) {
    unlock()
    throw error
  }
}

/** What a target has of its state directory. */
interface OpenedState {
  readonly state: StateStore
  readonly reservations: ReservationFile
  readonly sanitizes: SanitizeStates
  readonly unlock: () => void
}

class ComposedTarget implements Target {
  readonly #options: TargetOptions
  readonly #state: StateStore
  readonly #reservations: ReservationFile
  readonly #unlock: () => void
  readonly #log: Log
  readonly #node: TargetNode
  readonly #network: IscsiServer
  readonly #inventory: Inventory
  readonly #units: ServedUnits
  readonly #grants: Grants
  readonly #redirects: Redirects
  readonly #secrets: Secrets
  readonly #authentication: ServerAuthentication
  readonly #hosts: Hosts
  readonly #dataPorts: DataPorts
  readonly #changes = new ChangeQueue()
  readonly #portals: PortalAddress[] = []
  readonly #startedMs = performance.now()
  #stopped: Promise<void> | undefined

  constructor(options: TargetOptions, opened: OpenedState) {
    const { state, reservations, unlock } = opened
    this.#reservations = reservations
    this.#options = options
    this.#state = state
    this.#unlock = unlock
    this.#log = options.log ?? silentLog
    this.#secrets = new Secrets(state)
    this.#authentication = {
      floor: options.minAuth ?? defaultFloor(options.portals),
      chapAlgorithms: options.chapAlgorithms ?? chapAlgorithms,
    }
    const limits = { ...defaultServerLimits, ...options.limits }
    this.#hosts = new Hosts(state, {
      maxConnections: options.maxConnections ?? standardPolicy.maxConnections,
      maxSessions: limits.sessionsPerHost,
      dataPorts: options.dataPorts?.kind ?? 'fixed',
    })
    this.#dataPorts = this.#composeDataPorts(limits)
    this.#redirects = new Redirects(state, () => this.#portals.map(formatPortal))
    this.#units = new ServedUnits({
      ...opened,
      grantsOf: (host) => grantsOf(state.current.grants, host),
    })
    const { targetName, targetPortalGroupTag } = state.current
    this.#node = new TargetNode({
      targetName,
      targetPortalGroupTag,
      ...nodeArchitectureOf(options.nodeArchitecture),
      negotiation,
      limits: sessionLimits(options, limits),
      executor: this.#units.devices,
      requirementOf: (initiatorName) => {
        const host = this.#hosts.authenticationOf(initiatorName)
        return requirementOf(initiatorName, this.#authentication, host, this.#secrets)
      },
      isFor: (initiatorName, remoteHost) => this.#isFor(initiatorName, remoteHost),
      maxConnections: (initiatorName) => this.#hosts.maxConnections(initiatorName),
      maxSessions: (initiatorName) => this.#hosts.maxSessions(initiatorName),
      dataPorts: this.#dataPorts,
      partitionsOf: (initiatorName) => this.#grants.partitionsOf(initiatorName),
      redirect: (initiatorName) => this.#redirects.of(initiatorName),
    })
    this.#network = new IscsiServer({
      node: this.#node,
      log: this.#log,
      connectionsMax: limits.tcpConnections,
      loginsMax: limits.logins,
      loginsPerAddressMax: limits.loginsPerAddress,
      onTick: () => this.#dataPorts.expire(),
    })
    this.#inventory = new Inventory({
      state,
      server: this.#units,
      openDisk: options.openDisk ?? ((path) => DiskFile.open(path)),
      log: this.#log,
      onStep: options.onStep ?? (() => {}),
      inTurn: (change) => this.#changes.run(change),
      diskTimeoutMs: options.diskTimeoutMs,
    })
    this.#grants = new Grants({
      state,
      inventory: this.#inventory,
      hosts: this.#hosts,
      changed: () => this.#units.grantsChanged(),
    })
  }

  /** For createTarget. */
  async open(): Promise<void> {
    try {
      await this.#inventory.open()
    } catch (error) {
      await this.#inventory.close()
      throw error
    }
  }

  async start(): Promise<void> {
    for (const { host, port } of this.#options.portals) {
      const portal = await this.#network.listen(host, port)
      this.#portals.push(portal)
      this.#log.info('listening', { portal: formatPortal(portal) })
    }
  }

  stop(timeoutMs = stopTimeoutMs): Promise<void> {
    this.#stopped ??= this.#stop(timeoutMs)
    return this.#stopped
  }

  async #stop(timeoutMs: number): Promise<void> {
    await this.#changes.close()
    try {
      await withTimeout(this.#network.close(), timeoutMs, 'sessions have not ended')
    } finally {
      this.#units.suspend()
      await this.#inventory.close()
      await this.#reservations.close()
      this.#unlock()
    }
  }

  status(): Status {
    const { targetName, targetPortalGroupTag } = this.#state.current
    return {
      version,
      pid: process.pid,
      uptimeSeconds: Math.floor((performance.now() - this.#startedMs) / 1000),
      targetName,
      targetPortalGroupTag,
      portals: this.#portals.map(formatPortal),
      dataPorts: this.#dataPorts.list().map(({ initiatorName: host, leftMs, ...port }) => ({
        host,
        portal: formatPortal(port),
        secondsLeft: leftMs === undefined ? null : Math.ceil(leftMs / 1000),
      })),
      stateDirectory: this.#options.stateDirectory,
      diskCount: this.#inventory.listDisks().length,
      arrayCount: this.#inventory.listArrays().length,
      partitionCount: this.#inventory.listPartitions().length,
      sessionCount: [...this.#node.sessions()].length,
      problems: this.#inventory.problems(),
    }
  }

  listSessions(): SessionInfo[] {
    const isDynamic = (portal: string) => this.#dataPorts.has(portal)
    return [...this.#node.sessions()].map((session) => describeSession(session, isDynamic))
  }

  listLoginFailures(): LoginFailures[] {
    const nowMs = performance.now()
    return this.#node.loginFailures.list(nowMs).map(({ lastMs, ...failures }) => ({
      ...failures,
      secondsAgo: Math.floor((nowMs - lastMs) / 1000),
    }))
  }

  endSessions(host: string): number {
    const name = host === '*' ? undefined : (parseName(host)?.name ?? host)
    return this.#node.requestLogout(performance.now(), name, 'its sessions were ended')
  }

  listDisks = () => this.#inventory.listDisks()
  listArrays = () => this.#inventory.listArrays()
  listPartitions = () => this.#inventory.listPartitions()
  listSecrets = () => this.#secrets.list()
  listHosts = () => [...this.#hosts.list()]
  listGrants = () => this.#grants.list()
  listRedirects = () => [...this.#redirects.list()]

  createDisk = (path: string, sizeBytes: number) =>
    this.#changes.run(() => this.#inventory.createDisk(path, sizeBytes))
  addDisk = (path: string) => this.#changes.run(() => this.#inventory.addDisk(path))
  removeDisk = (path: string) => this.#changes.run(() => this.#inventory.removeDisk(path))
  createArray = (array: NewArray) => this.#changes.run(() => this.#inventory.createArray(array))
  deleteArray = (name: string) => this.#changes.run(() => this.#inventory.deleteArray(name))
  failDisk = (member: MemberKey) => this.#changes.run(() => this.#inventory.failDisk(member))
  replaceDisk = (member: MemberKey, replaced?: string) =>
    this.#changes.run(() => this.#inventory.replaceDisk(member, replaced))
  reAddDisk = (member: MemberKey) => this.#changes.run(() => this.#inventory.reAddDisk(member))
  startScrub = (array: string) => this.#changes.run(() => this.#inventory.startScrub(array))
  stopScrub = (array: string) => this.#changes.run(() => this.#inventory.stopScrub(array))
  setSpare = (path: string, spare: boolean) =>
    this.#changes.run(() => this.#inventory.setSpare(path, spare))
  createPartition = (partition: NewPartition) =>
    this.#changes.run(() => this.#createPartition(partition))
  growPartition = (key: PartitionKey, sizeBytes: number) =>
    this.#changes.run(() => this.#inventory.growPartition(key, sizeBytes))
  deletePartition = (key: PartitionKey) =>
    this.#changes.run(() => this.#inventory.deletePartition(key))
  createHost = (host: Host) => this.#changes.run(() => this.#hosts.create(host))
  setHost = (name: string, change: HostChange) =>
    this.#changes.run(() => this.#hosts.set(name, change))
  deleteHost = (name: string) => this.#changes.run(() => this.#deleteHost(name))
  createGrant = (grant: NewGrant) => this.#changes.run(() => this.#grants.create(grant))
  setGrant = (key: GrantKey, change: GrantChange) =>
    this.#changes.run(() => this.#grants.set(key, change))
  deleteGrant = (key: GrantKey) => this.#changes.run(() => this.#grants.delete(key))
  createRedirect = (redirect: Redirect) => this.#changes.run(() => this.#redirects.create(redirect))
  setSecret = (secret: NewSecret) => this.#changes.run(() => this.#secrets.set(secret))
  deleteSecret = (host: string) => this.#changes.run(() => this.#secrets.delete(host))
  deleteRedirect = (host: string) => this.#changes.run(() => this.#redirects.delete(host))

  #composeDataPorts({ dataPorts, dataPortUnusedMs }: ServerLimits): DataPorts {
    return new DataPorts({
      isDynamic: (initiatorName) => this.#hosts.hasDynamicPorts(initiatorName),
      open: (address) => this.#network.openPort(address, this.#options.dataPorts?.range),
      close: (port) => this.#network.closePort(port),
      nowMs: () => performance.now(),
      portsMax: dataPorts,
      unusedMs: dataPortUnusedMs,
      inUse: () => this.#portalsInUse(),
    })
  }

  #portalsInUse(): ReadonlySet<string> {
    const connections = [...this.#node.sessions()].flatMap((it) => [...it.connections.values()])
    return new Set(connections.map(({ local }) => local))
  }

  /** Whether anything has been said of this host, or of all hosts, and it comes from a network of its own. */
  #isFor(host: string, address: string): boolean {
    const isKnown =
      this.#hosts.isKnown(host) ||
      grantsOf(this.#state.current.grants, host).length > 0 ||
      this.#secrets.credentialsOf(host) !== undefined ||
      this.#redirects.of(host) !== undefined
    return isKnown && this.#hosts.mayComeFrom(host, address)
  }

  async #createPartition({ host, sizeBytes, blockSize, ...key }: NewPartition): Promise<Partition> {
    if (host !== undefined) this.#grants.hostNamed(host)
    const partition = await this.#inventory.createPartition(key, sizeBytes, blockSize)
    if (host === undefined) return partition
    const { lun, ...grant } = await this.#grants.create({
      host,
      array: key.array,
      partition: key.name,
    })
    return { ...partition, grants: [{ lun, ...grant }] }
  }

  async #deleteHost(name: string): Promise<void> {
    await this.#hosts.delete(name)
    await this.#units.grantsChanged()
    this.endSessions(name)
  }
}
