/**
 * What two sides agree on in a login, and what one of them brings to it (RFC 7143 section 13). How the
 * one becomes the other is in negotiation.ts.
 */

export type Digest = 'None' | 'CRC32C'
export type TaskReporting = 'RFC3720' | 'ResponseFence' | 'FastAbort'

/** Values of the session and of this connection, as both sides hold them after login. */
export interface SessionParameters {
  readonly maxConnections: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  /** In bytes. */
  readonly maxBurstLength: number
  /** In bytes; never above maxBurstLength. */
  readonly firstBurstLength: number
  readonly maxOutstandingR2T: number
  /** In seconds. */
  readonly defaultTime2Wait: number
  /** In seconds. */
  readonly defaultTime2Retain: number
  readonly dataPDUInOrder: boolean
  readonly dataSequenceInOrder: boolean
  readonly errorRecoveryLevel: number
  readonly taskReporting: TaskReporting
  readonly iSCSIProtocolLevel: number
  /** Of this connection. */
  readonly headerDigest: Digest
  /** Of this connection. */
  readonly dataDigest: Digest
  /** The longest data segment that we take in on this connection, in bytes. */
  readonly maxRecvDataSegmentLength: number
  /** The longest data segment that the peer takes in on this connection, in bytes. */
  readonly peerMaxRecvDataSegmentLength: number
}

/**
 * What we want: the best value that we support of each parameter, by its key's rule the bound of what
 * can be agreed. Lists are in order of preference, and name all that is acceptable.
 */
export interface NegotiationPolicy {
  readonly maxConnections: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly maxOutstandingR2T: number
  readonly defaultTime2Wait: number
  readonly defaultTime2Retain: number
  readonly dataPDUInOrder: boolean
  readonly dataSequenceInOrder: boolean
  readonly errorRecoveryLevel: number
  readonly taskReporting: readonly TaskReporting[]
  readonly iSCSIProtocolLevel: number
  readonly headerDigest: readonly Digest[]
  readonly dataDigest: readonly Digest[]
  readonly maxRecvDataSegmentLength: number
}

/** A policy of the standard's default values, which every peer supports. */
export const standardPolicy: NegotiationPolicy = {
  maxConnections: 1,
  initialR2T: true,
  immediateData: true,
  maxBurstLength: 262144,
  firstBurstLength: 65536,
  maxOutstandingR2T: 1,
  defaultTime2Wait: 2,
  defaultTime2Retain: 20,
  dataPDUInOrder: true,
  dataSequenceInOrder: true,
  errorRecoveryLevel: 0,
  taskReporting: ['RFC3720'],
  iSCSIProtocolLevel: 1,
  headerDigest: ['None'],
  dataDigest: ['None'],
  maxRecvDataSegmentLength: 8192,
}
