/** What a login is allowed, and who has come of it: between login.ts and the target node. */
import type { LoginStatus, NegotiationPolicy } from '@platter/protocol/iscsi'
import type { AuthenticationPolicy } from './authentication.ts'

export interface LoginPolicy extends AuthenticationPolicy {
  readonly targetName: string
  readonly targetAlias?: string
  /** Told to initiators that tell theirs, and to no other. */
  readonly nodeArchitecture?: string
  readonly targetPortalGroupTag: number
  /** The portal that the connection came by, as `host:port`. */
  readonly portal: string
  readonly negotiation: NegotiationPolicy
  /** Requests that one login may take. */
  readonly loginRequestsMax: number
  /** Text that one login may carry in all, in bytes. */
  readonly textBytesMax: number
  /**
   * Asked once, when a login has succeeded but for this: whether there is, or can be, a session for
   * it. Returns what to refuse it with, or undefined.
   */
  admit(identity: LoginIdentity): LoginRefusal | undefined
  /**
   * Whether this is a target to the initiator at all, from where it comes. One for which it is not has a
   * discovery session that tells of no target, and no other session.
   */
  isFor(initiatorName: string): boolean
  /** Connections that a session of this initiator may have. */
  maxConnections(initiatorName: string): number
  /** Where to send an authenticated initiator that wants a new session, if anywhere. */
  redirect(initiatorName: string): LoginRedirect | undefined
}

/** What a login is refused with; `detail` is for the log. */
export interface LoginRefusal {
  readonly status: LoginStatus
  readonly detail: string
}

/** Where an initiator is to log in instead. */
export interface LoginRedirect {
  /** A value of TargetAddress, without a portal group tag (RFC 7143 section 13.8). */
  readonly address: string
  readonly permanent: boolean
}

/** Who logged in, and to what. Names are normalised; `isid` is twelve hexadecimal digits. */
export interface LoginIdentity {
  readonly sessionType: 'Normal' | 'Discovery'
  readonly initiatorName: string
  /** What it has shown to get in, for people: `None`, or as `CHAP SHA3-256, mutual`. */
  readonly authentication: string
  readonly initiatorAlias: string | undefined
  /** What the initiator says it is made of: for people, nothing may depend on it. */
  readonly nodeArchitecture: string | undefined
  /** A discovery session need not name a target. */
  readonly targetName: string | undefined
  /**
   * What the initiator port has its session with: the target, or the portal where none is named. There is
   * one session for both ports (RFC 7143 section 7.4.2).
   */
  readonly targetPort: string
  readonly isid: string
  /** As requested: 0 for a new session. */
  readonly tsih: number
  readonly cid: number
}
