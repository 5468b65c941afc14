/**
 * Every text key of RFC 7143 (sections 12 and 13) and RFC 7144, as a table: who may send it, when,
 * and by which rule two sides agree on it. negotiation.ts applies the rules.
 */

/** When a key may be sent: the two stages of login, and full feature phase. */
export type Stage = 'security' | 'operational' | 'full-feature'

export type Role = 'initiator' | 'target'

/** How a key gets its value. */
export type KeyRule =
  /** Each sender states its own value; there is no answer. `range` is of a number, `values` of words. */
  | {
      readonly kind: 'declarative'
      readonly range?: readonly [low: number, high: number]
      readonly values?: readonly string[]
    }
  /** The answer is the first value of the offered list that the other side supports. */
  | { readonly kind: 'list'; readonly values: readonly string[] }
  | { readonly kind: 'boolean'; readonly result: 'and' | 'or' }
  | {
      readonly kind: 'number'
      readonly result: 'minimum' | 'maximum'
      readonly range: readonly [low: number, high: number]
    }
  /** Part of an authentication: what it means is known to that alone. */
  | { readonly kind: 'authentication' }
  /** Asks for something at once, in full feature phase. */
  | { readonly kind: 'request' }
  /** Of RFC 3720, withdrawn; the answer is fixed (RFC 7143 section 13.25). */
  | { readonly kind: 'obsolete'; readonly answer: 'No' | 'Reject' }

export interface KeyDefinition {
  readonly name: string
  readonly rule: KeyRule
  /** The value that holds if nothing is agreed; undefined when there is none. */
  readonly defaultValue: string | undefined
  readonly senders: readonly Role[]
  readonly stages: readonly Stage[]
  /** Sent on the first connection of a session only ("LO" in RFC 7143 section 13). */
  readonly leadingOnly: boolean
  readonly irrelevantInDiscovery: boolean
  /** A target may send it more than once in one exchange. */
  readonly repeatable: boolean
  /** Peers of RFC 3720 need not know it, so it is not offered unless something else than the default is wanted. */
  readonly laterThanRfc3720: boolean
  /** The longest value, in bytes; of a list, the longest element. */
  readonly valueBytesMax: number
}

/** The longest simple value, where its key does not say otherwise (RFC 7143 section 6.1), in bytes. */
export const VALUE_BYTES_MAX = 255
/** The longest value of a key that carries a large binary value, in bytes of text. */
export const LARGE_VALUE_BYTES_MAX = 8192

/** What a node is made of, as text for people (RFC 7143 section 13.26). */
export const NODE_ARCHITECTURE = 'X#NodeArchitecture'

const anyStage = ['security', 'operational', 'full-feature'] as const
const login = ['security', 'operational'] as const
const both = ['initiator', 'target'] as const
const segmentLengths = [512, 0xffffff] as const

const ordinary = {
  defaultValue: undefined,
  senders: both,
  stages: ['operational'],
  leadingOnly: false,
  irrelevantInDiscovery: false,
  repeatable: false,
  laterThanRfc3720: false,
  valueBytesMax: VALUE_BYTES_MAX,
} as const satisfies Omit<KeyDefinition, 'name' | 'rule'>

const leading = { ...ordinary, leadingOnly: true } as const
/** Negotiated once for a Normal session, on its leading connection. */
const session = { ...leading, irrelevantInDiscovery: true } as const
const named = { ...ordinary, rule: { kind: 'declarative' }, stages: anyStage } as const
const authentication = {
  ...ordinary,
  rule: { kind: 'authentication' },
  stages: ['security'],
} as const
const authenticationData = { ...authentication, valueBytesMax: LARGE_VALUE_BYTES_MAX } as const

const yes = 'Yes'
const digests = { kind: 'list', values: ['None', 'CRC32C'] } as const
const and = { kind: 'boolean', result: 'and' } as const
const or = { kind: 'boolean', result: 'or' } as const
const minimum = (low: number, high: number) =>
  ({ kind: 'number', result: 'minimum', range: [low, high] }) as const
const maximum = (low: number, high: number) =>
  ({ kind: 'number', result: 'maximum', range: [low, high] }) as const
const obsolete = (answer: 'No' | 'Reject') => ({ kind: 'obsolete', answer }) as const
const taskReporting = { kind: 'list', values: ['RFC3720', 'ResponseFence', 'FastAbort'] } as const

const table: readonly KeyDefinition[] = [
  // Who is who.
  { ...named, name: 'InitiatorName', senders: ['initiator'], stages: login },
  { ...named, name: 'InitiatorAlias', senders: ['initiator'] },
  { ...named, name: 'TargetName', repeatable: true },
  { ...named, name: 'TargetAlias', senders: ['target'] },
  { ...named, name: 'TargetAddress', senders: ['target'], repeatable: true },
  {
    ...named,
    name: 'TargetPortalGroupTag',
    rule: { kind: 'declarative', range: [0, 0xffff] },
    senders: ['target'],
    stages: login,
  },
  {
    ...leading,
    name: 'SessionType',
    rule: { kind: 'declarative', values: ['Normal', 'Discovery'] },
    defaultValue: 'Normal',
    senders: ['initiator'],
    stages: login,
  },
  {
    ...ordinary,
    name: 'SendTargets',
    rule: { kind: 'request' },
    senders: ['initiator'],
    stages: ['full-feature'],
  },

  // Of one connection.
  { ...ordinary, name: 'HeaderDigest', rule: digests, defaultValue: 'None' },
  { ...ordinary, name: 'DataDigest', rule: digests, defaultValue: 'None' },
  {
    ...ordinary,
    name: 'MaxRecvDataSegmentLength',
    rule: { kind: 'declarative', range: segmentLengths },
    defaultValue: '8192',
    stages: ['operational', 'full-feature'],
  },

  // Of the session.
  { ...session, name: 'MaxConnections', rule: minimum(1, 65535), defaultValue: '1' },
  { ...session, name: 'InitialR2T', rule: or, defaultValue: yes },
  { ...session, name: 'ImmediateData', rule: and, defaultValue: yes },
  { ...session, name: 'MaxBurstLength', rule: minimum(...segmentLengths), defaultValue: '262144' },
  { ...session, name: 'FirstBurstLength', rule: minimum(...segmentLengths), defaultValue: '65536' },
  { ...leading, name: 'DefaultTime2Wait', rule: maximum(0, 3600), defaultValue: '2' },
  { ...leading, name: 'DefaultTime2Retain', rule: minimum(0, 3600), defaultValue: '20' },
  { ...session, name: 'MaxOutstandingR2T', rule: minimum(1, 65535), defaultValue: '1' },
  { ...session, name: 'DataPDUInOrder', rule: or, defaultValue: yes },
  { ...session, name: 'DataSequenceInOrder', rule: or, defaultValue: yes },
  { ...leading, name: 'ErrorRecoveryLevel', rule: minimum(0, 2), defaultValue: '0' },
  {
    ...session,
    name: 'TaskReporting',
    rule: taskReporting,
    defaultValue: 'RFC3720',
    laterThanRfc3720: true,
  },
  {
    ...session,
    name: 'iSCSIProtocolLevel',
    rule: minimum(0, 31),
    defaultValue: '1',
    laterThanRfc3720: true,
  },
  {
    ...leading,
    name: NODE_ARCHITECTURE,
    rule: { kind: 'declarative' },
    // No rule names a stage, and nothing but logs may depend on this key (RFC 7143 section 13.26).
    stages: login,
    laterThanRfc3720: true,
  },

  // Authentication (RFC 7143 section 12).
  { ...authentication, name: 'AuthMethod' },
  { ...authentication, name: 'CHAP_A' },
  { ...authentication, name: 'CHAP_I' },
  { ...authenticationData, name: 'CHAP_C' },
  { ...authentication, name: 'CHAP_N' },
  { ...authenticationData, name: 'CHAP_R' },
  { ...authentication, name: 'SRP_U' },
  { ...authentication, name: 'SRP_GROUP' },
  { ...authenticationData, name: 'SRP_A' },
  { ...authenticationData, name: 'SRP_B' },
  { ...authenticationData, name: 'SRP_M' },
  { ...authenticationData, name: 'SRP_HM' },
  { ...authenticationData, name: 'SRP_s' },
  { ...authentication, name: 'TargetAuth' },
  { ...authenticationData, name: 'KRB_AP_REQ' },
  { ...authenticationData, name: 'KRB_AP_REP' },

  // Withdrawn (RFC 7143 section 13.25).
  { ...ordinary, name: 'IFMarker', rule: obsolete('No') },
  { ...ordinary, name: 'OFMarker', rule: obsolete('No') },
  { ...ordinary, name: 'IFMarkInt', rule: obsolete('Reject') },
  { ...ordinary, name: 'OFMarkInt', rule: obsolete('Reject') },
]

const definitions: ReadonlyMap<string, KeyDefinition> = new Map(table.map((key) => [key.name, key]))

/** All keys of the standards, in the order of the table. */
export const keyDefinitions: readonly KeyDefinition[] = table

/** What the standards say of a key; undefined for one that is not in them, such as a private `X-` key. */
export function keyDefinition(name: string): KeyDefinition | undefined {
  return definitions.get(name)
}

/** Whether `name` is of the private extension form, `X-` and a reversed domain name (RFC 7143 section 13.22). */
export function isPrivateKey(name: string): boolean {
  return name.startsWith('X-')
}

/** The longest value that a key may have, in bytes; of a list, the longest element. */
export function valueBytesMax(name: string): number {
  if (isPrivateKey(name)) return LARGE_VALUE_BYTES_MAX
  return keyDefinition(name)?.valueBytesMax ?? VALUE_BYTES_MAX
}
