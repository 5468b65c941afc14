/** What the target offers in negotiations, and the bounds of its sessions. */
import { type NegotiationPolicy, standardPolicy } from '@platter/protocol/iscsi'
import type { NodeArchitectureDetail } from './config.ts'
import type { ServerLimits } from './server-limits.ts'
import { RFC_7144_LEVEL } from './session/session.ts'
import { defaultLimits, type SessionLimits } from './session/target-node.ts'
import { R2T_LIMIT } from './session/task.ts'
import { version } from './version.ts'

/** As large as pays: data-out bursts of a whole write, segments of what the network layer buffers. */
export const negotiation: NegotiationPolicy = {
  ...standardPolicy,
  initialR2T: false,
  maxOutstandingR2T: R2T_LIMIT,
  maxBurstLength: 1024 * 1024,
  firstBurstLength: 256 * 1024,
  maxRecvDataSegmentLength: 256 * 1024,
  headerDigest: ['None', 'CRC32C'],
  dataDigest: ['None', 'CRC32C'],
  taskReporting: ['RFC3720', 'ResponseFence'],
  iSCSIProtocolLevel: RFC_7144_LEVEL,
}

/** What is not given is as in defaultLimits. */
interface SessionOptions {
  readonly pingAfterMs?: number | undefined
  readonly pingTimeoutMs?: number | undefined
  readonly slowLoginsAfter?: number | undefined
}

export function sessionLimits(options: SessionOptions, limits: ServerLimits): SessionLimits {
  const { pingAfterMs, pingTimeoutMs, slowLoginsAfter } = options
  return {
    ...defaultLimits,
    sessionsMax: limits.sessions,
    hostConnectionsMax: limits.connectionsPerHost,
    commandWindow: limits.commands,
    loginTimeoutMs: limits.loginTimeoutMs,
    pingAfterMs: pingAfterMs ?? defaultLimits.pingAfterMs,
    pingTimeoutMs: pingTimeoutMs ?? defaultLimits.pingTimeoutMs,
    loginFailures: {
      ...defaultLimits.loginFailures,
      ...(slowLoginsAfter !== undefined && { freeFailures: slowLoginsAfter }),
    },
  }
}

/** What a node says of its software, by X#NodeArchitecture among others (RFC 7143 sections 9.4 and 13.26). */
export function nodeArchitectureOf(detail: NodeArchitectureDetail = 'version'): {
  readonly nodeArchitecture?: string
} {
  if (detail === 'none') return {}
  return { nodeArchitecture: detail === 'name' ? 'Platter' : `Platter/${version}` }
}
