/**
 * The nouns of the admin API as schemas: what its answers hold, and the inputs that several
 * operations share. Types come from the schemas, so that a check at run time and at compile time
 * cannot part ways.
 */
import Type, { type Static } from 'typebox'

/** Disk sizes up to what a JavaScript number counts exactly; far beyond any disk. */
const sizeMax = Number.MAX_SAFE_INTEGER

/** Names of arrays and partitions are file names at the host, and words on a command line. */
export const Name = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
  description:
    'a name: a letter or digit, then up to 62 letters, digits, dots, dashes, underscores',
})

export const Path = Type.String({
  pattern: '^/[^\\u0000]{0,4094}$',
  description: 'an absolute path',
})

export const SizeBytes = Type.Integer({
  minimum: 1,
  maximum: sizeMax,
  description: 'a size in bytes, at least 1',
})

export const RaidLevel = Type.Enum(['raid0', 'raid1', 'raid10', 'raid5', 'raid6'])

/** Of a partition: 512 native, 512 emulated on 4096, 4096 native. */
export const BlockSize = Type.Enum(['512', '512e', '4kn'])

const Size = Type.Integer({ minimum: 0, maximum: sizeMax })
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const Reason = Nullable(Type.String())

/** A file or block device that the server owns. */
export const Disk = Type.Object({
  path: Path,
  /**
   * free: in no array. member: part of `array`. out: `array` has lost it, and it may be taken back.
   * unavailable: cannot be used, for `reason`.
   */
  state: Type.Enum(['free', 'member', 'out', 'unavailable']),
  sizeBytes: Nullable(Size),
  array: Nullable(Type.String()),
  /** Whether it takes the place of a disk that an array loses. */
  spare: Type.Boolean(),
  reason: Reason,
})
export type Disk = Static<typeof Disk>

/** One place in an array. `disk` is null when there is none: it was missing, failed, or was taken out. */
const ArrayMember = Type.Object({
  number: Size,
  disk: Nullable(Type.String()),
  state: Type.Enum(['in-sync', 'rebuilding', 'absent']),
})

/** What an array does by itself beside serving its partitions. Bytes are those of each member. */
const ArrayJob = Type.Object({
  /** rebuild: fills a new member. resync: makes members agree after a crash. scrub: compares all copies. */
  kind: Type.Enum(['rebuild', 'resync', 'scrub']),
  doneBytes: Size,
  totalBytes: Size,
  bytesPerSecond: Size,
})
export type ArrayJob = Static<typeof ArrayJob>

/** What the last look at all copies found. */
const ScrubReport = Type.Object({
  /** When it ended, in ISO 8601. */
  endedAt: Type.String(),
  /** Bytes of sectors in which members did not agree. */
  differingBytes: Size,
  /** Ranges that could not be read, or held something else than was written, and were mended. */
  repairedCount: Size,
  /** The first of them. */
  repaired: Type.Array(Type.Object({ disk: Type.String(), offset: Size, length: Size })),
  /** Why it ended before it had seen everything. */
  error: Reason,
})
export type ScrubReport = Static<typeof ScrubReport>

/** Disks under one RAID level. Sizes are null while it is unavailable, for `reason`. */
export const ArrayInfo = Type.Object({
  name: Type.String(),
  id: Type.String(),
  level: RaidLevel,
  chunkSizeBytes: Size,
  /** degraded: available, but members are absent or being rebuilt. */
  state: Type.Enum(['available', 'degraded', 'unavailable']),
  reason: Reason,
  sizeBytes: Nullable(Size),
  freeBytes: Nullable(Size),
  /** Whether checksums of the data are kept and looked at. */
  checksums: Type.Boolean(),
  members: Type.Array(ArrayMember),
  job: Nullable(ArrayJob),
  lastScrub: Nullable(ScrubReport),
  /** The paths of the members at hand, in member order. */
  disks: Type.Array(Type.String()),
  partitionCount: Size,
})
export type ArrayInfo = Static<typeof ArrayInfo>

export const HostName = Type.String({
  pattern: '^(\\*|.{5,223})$',
  description: 'the iSCSI name of a host, or * for all hosts',
})

export const Lun = Type.Integer({ minimum: 0, maximum: 16383 })

export const Access = Type.Enum(['read-write', 'read-only'])

/** exclusive: no other host has a grant of the partition. */
export const Sharing = Type.Enum(['exclusive', 'shared'])

const PartitionGrant = Type.Object({
  /** `*` is every host that has no grant of its own for the partition. */
  host: HostName,
  lun: Lun,
  access: Access,
  sharing: Sharing,
})

/** A host's right to a partition. */
export const ShownGrant = Type.Object({
  array: Type.String(),
  partition: Type.String(),
  ...PartitionGrant.properties,
})
export type ShownGrant = Static<typeof ShownGrant>

/** A piece of an array; to SCSI, a logical unit. */
export const Partition = Type.Object({
  array: Type.String(),
  name: Type.String(),
  id: Type.String(),
  sizeBytes: Size,
  blockSize: BlockSize,
  grants: Type.Array(PartitionGrant),
})
export type Partition = Static<typeof Partition>

/** One TCP connection of a session. */
export const Connection = Type.Object({
  cid: Size,
  /** The two ends, as `host:port`. */
  remote: Type.String(),
  local: Type.String(),
  /** Whether it came to a data port of its host. */
  dynamicPort: Type.Boolean(),
})

/** An iSCSI session (RFC 7143). */
export const Session = Type.Object({
  initiatorName: Type.String(),
  isid: Type.String(),
  tsih: Size,
  type: Type.Enum(['normal', 'discovery']),
  /** What the host has shown: None, or CHAP with the algorithm, and mutual if so has the server. */
  authentication: Type.String(),
  /** What the host says it is made of (X#NodeArchitecture), if it does. */
  nodeArchitecture: Nullable(Type.String()),
  connections: Type.Array(Connection),
})
export type Session = Static<typeof Session>

/** An address whose hosts have failed to authenticate. */
export const LoginFailures = Type.Object({
  /** An IPv4 address, or a network of IPv6 addresses. */
  address: Type.String(),
  count: Size,
  /** How long ago the last was, and why it failed. */
  secondsAgo: Size,
  detail: Type.String(),
  /** Logins from there wait for each other. */
  slowedDown: Type.Boolean(),
})
export type LoginFailures = Static<typeof LoginFailures>

/** Connections that one session of a host may have, if it asks for as many (RFC 7143 section 13.2). */
const MaxConnections = Type.Integer({ minimum: 1, maximum: 65535 })

/** A host that is known by name, and what has been set for it. */
export const Host = Type.Object({
  /** Its iSCSI name. */
  name: Type.String(),
  /** Absent: what the server has for all. */
  maxConnections: Type.Optional(MaxConnections),
  /** Sessions that it may have; absent: what the server has for all. */
  maxSessions: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
  /** Whether it logs in at ports of its own, which discovery opens; absent: what the server has for all. */
  dataPorts: Type.Optional(Type.Enum(['fixed', 'dynamic'])),
  /** Where it may come from, as ADDRESS/PREFIX; absent: from anywhere. */
  networks: Type.Optional(Type.Array(Type.String(), { maxItems: 64 })),
  /** What it must show at the least; absent: what the server asks of all. */
  minAuth: Type.Optional(Type.Enum(['none', 'chap', 'chap-mutual'])),
  /** Whatever the server asks of all, this host need show nothing but a secret of its own. */
  allowUnauthenticated: Type.Optional(Type.Literal(true)),
})
export type Host = Static<typeof Host>

/** Where hosts are sent when they log in. */
export const Redirect = Type.Object({
  /** `*` is every host that has no redirect of its own. */
  host: HostName,
  /** `host:port` */
  address: Type.String(),
  /** Hosts may remember it. */
  permanent: Type.Boolean(),
})
export type Redirect = Static<typeof Redirect>

/** That a host must authenticate, and how; the secrets themselves are never shown. */
export const ShownSecret = Type.Object({
  /** `*` is every host that has no secret of its own. */
  host: HostName,
  /** The CHAP user name; null is the host's iSCSI name. */
  user: Nullable(Type.String()),
  /** Whether the server authenticates to the host as well. */
  mutual: Type.Boolean(),
  /** Hosts with the same secret in the same direction: any of them can pose as the other. */
  sharedWith: Type.Array(HostName),
})
export type ShownSecret = Static<typeof ShownSecret>

/** A port that is open for one host. */
export const DataPort = Type.Object({
  host: Type.String(),
  portal: Type.String(),
  /** Until it is closed unless it is used before; null while a session uses it. */
  secondsLeft: Nullable(Size),
})
export type DataPort = Static<typeof DataPort>

export const Status = Type.Object({
  version: Type.String(),
  pid: Size,
  uptimeSeconds: Size,
  targetName: Type.String(),
  targetPortalGroupTag: Size,
  portals: Type.Array(Type.String()),
  dataPorts: Type.Array(DataPort),
  stateDirectory: Type.String(),
  diskCount: Size,
  arrayCount: Size,
  partitionCount: Size,
  sessionCount: Size,
  /** What needs a person: missing disks, arrays that cannot be served. Empty when all is well. */
  problems: Type.Array(Type.String()),
})
export type Status = Static<typeof Status>
