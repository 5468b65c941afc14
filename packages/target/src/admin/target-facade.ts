/**
 * What the admin API may do to a running target. target.ts implements it; admin knows nothing else
 * of the server. Sizes are bytes, paths absolute; inputs are checked against admin's schemas before
 * they come here.
 */
import type {
  ArrayInfo,
  Disk,
  Host,
  LoginFailures,
  Partition,
  Redirect,
  Session,
  ShownGrant,
  ShownSecret,
  Status,
} from './model.ts'

/** Why an operation was refused; every code has one HTTP status, in server.ts. */
export type TargetErrorCode =
  | 'invalid-request'
  | 'not-found'
  | 'already-exists'
  | 'in-use'
  | 'no-space'
  | 'unavailable'
  | 'storage-failed'
  | 'shutting-down'

/** An operation was refused or failed; nothing was changed unless the message says so. */
export class TargetError extends Error {
  override readonly name = 'TargetError'
  readonly code: TargetErrorCode

  constructor(code: TargetErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export interface NewArray {
  readonly name: string
  readonly level: ArrayInfo['level']
  readonly chunkSizeBytes: number
  /** If not given, on levels with redundancy. */
  readonly checksums?: boolean
  /** Paths of known disks that are free, in member order. */
  readonly disks: readonly string[]
}

/** Names one disk of an array by its path. */
export interface MemberKey {
  readonly array: string
  readonly disk: string
}

/** Names one partition. */
export interface PartitionKey {
  readonly array: string
  readonly name: string
}

export interface NewPartition extends PartitionKey {
  readonly sizeBytes: number
  readonly blockSize?: Partition['blockSize']
  readonly host?: string
}

/** What is to be set for a host; what is not there stays as it is. */
export interface HostChange {
  readonly maxConnections?: number
  readonly maxSessions?: number
  readonly dataPorts?: 'fixed' | 'dynamic'
  /** Each is ADDRESS/PREFIX or an address; none: it may come from anywhere. */
  readonly networks?: readonly string[]
  /** `none`: what the server asks of all, and no longer that it may show nothing. */
  readonly minAuth?: NonNullable<Host['minAuth']>
  /** It may show nothing, and has no `minAuth`. */
  readonly allowUnauthenticated?: true
}

/** Names one grant: a partition, and the iSCSI name of a host or `*`. */
export interface GrantKey {
  readonly array: string
  readonly partition: string
  readonly host: string
}

/** What is to be set for a grant; what is not there stays as it is. */
export interface GrantChange {
  readonly access?: ShownGrant['access']
  readonly sharing?: ShownGrant['sharing']
}

/** By default read-write, exclusive unless for all hosts, and at the lowest LUN that is free. */
export interface NewGrant extends GrantKey, GrantChange {
  readonly lun?: number
}

/** What a host authenticates with, or with `mutual` what the server authenticates to it with. */
export interface NewSecret {
  /** An iSCSI name, or `*`. */
  readonly host: string
  /** The CHAP user name; null is the iSCSI name of whom it belongs to. */
  readonly user: string | null
  readonly secret: string
  readonly mutual: boolean
}

/** Changes run one after another; each is durable when its promise resolves. All reject with TargetError. */
export interface TargetFacade {
  status(): Status
  listSessions(): Session[]
  /** Who has failed to authenticate lately, the latest last. */
  listLoginFailures(): LoginFailures[]

  listDisks(): Disk[]
  /** Makes a sparse file and adds it; a file that exists is never touched. */
  createDisk(path: string, sizeBytes: number): Promise<Disk>
  addDisk(path: string): Promise<Disk>
  /** Forgets the disk; its bytes stay as they are. */
  removeDisk(path: string): Promise<void>

  listArrays(): ArrayInfo[]
  createArray(array: NewArray): Promise<ArrayInfo>
  /** Wipes the labels of its disks. Refused while it has partitions, or is not available. */
  deleteArray(name: string): Promise<void>

  /** Takes a disk out of an array that can do without it. */
  failDisk(member: MemberKey): Promise<ArrayInfo>
  /** Puts a free disk in the place of an absent member, or of `replaced`, and has it rebuilt. */
  replaceDisk(member: MemberKey, replaced?: string): Promise<ArrayInfo>
  /** Takes a disk back that was taken out; only what has been written since is copied. */
  reAddDisk(member: MemberKey): Promise<ArrayInfo>
  /** Begins to compare all copies in the background. */
  startScrub(array: string): Promise<ArrayInfo>
  stopScrub(array: string): Promise<ArrayInfo>
  /** Says whether a disk takes the place of one that an array loses. */
  setSpare(path: string, spare: boolean): Promise<Disk>

  listPartitions(): Partition[]
  /** Nobody sees it until it is granted; with `host`, grants it to that host as `createGrant` does. */
  createPartition(partition: NewPartition): Promise<Partition>
  growPartition(partition: PartitionKey, sizeBytes: number): Promise<Partition>
  deletePartition(partition: PartitionKey): Promise<void>

  /** Asks the initiators of the host's sessions to log out, and soon drops those that do not; how many. */
  endSessions(host: string): number

  listHosts(): Host[]
  createHost(host: HostChange & { readonly name: string }): Promise<Host>
  /** For logins from now on. */
  setHost(name: string, change: HostChange): Promise<Host>
  /** With its grants; its sessions are asked to log out. */
  deleteHost(name: string): Promise<void>

  /** Those of partitions that are available. */
  listGrants(): ShownGrant[]
  createGrant(grant: NewGrant): Promise<ShownGrant>
  /** When it resolves, no command that is not allowed any more reaches the partition. */
  setGrant(key: GrantKey, change: GrantChange): Promise<ShownGrant>
  deleteGrant(key: GrantKey): Promise<void>

  listRedirects(): Redirect[]
  /** For logins from now on; sessions that there are stay. */
  createRedirect(redirect: Redirect): Promise<Redirect>
  deleteRedirect(host: string): Promise<void>

  listSecrets(): ShownSecret[]
  /** For logins from now on; sessions that there are stay. */
  setSecret(secret: NewSecret): Promise<ShownSecret>
  deleteSecret(host: string): Promise<void>
}
