/**
 * Whether a login that has succeeded but for this may make a session, or join one: who belongs where
 * (RFC 7143 section 6.3.1), and the bounds on sessions and connections.
 */
import { LoginStatus } from '@platter/protocol/iscsi'
import type { LoginIdentity, LoginRefusal } from './login-policy.ts'
import type { Session } from './session.ts'

export interface AdmissionLimits {
  readonly sessionsMax: number
  readonly hostSessionsMax: number
  /** Over all sessions of the host. */
  readonly hostConnectionsMax: number
}

/** Why a login is refused; undefined when it is not. What it replaces does not count. */
export function refusalOf(
  identity: LoginIdentity,
  sessions: readonly Session[],
  limits: AdmissionLimits,
): LoginRefusal | undefined {
  const ofHost = sessions.filter((it) => it.identity.initiatorName === identity.initiatorName)
  return identity.tsih === 0
    ? refusalToMake(identity, sessions, ofHost, limits)
    : refusalToJoin(identity, sessions, ofHost, limits)
}

/** The session of the same initiator port, its name and ISID, with the same port of ours (RFC 7143 section 4.4.3). */
export function sameSession(
  sessions: Iterable<Session>,
  identity: LoginIdentity,
): Session | undefined {
  for (const session of sessions) {
    const { targetPort } = session.identity
    if (isSamePort(session, identity) && targetPort === identity.targetPort) return session
  }
  return undefined
}

function isSamePort(session: Session, identity: LoginIdentity): boolean {
  const { initiatorName, isid } = session.identity
  return initiatorName === identity.initiatorName && isid === identity.isid
}

function refusalToMake(
  identity: LoginIdentity,
  sessions: readonly Session[],
  ofHost: readonly Session[],
  { sessionsMax, hostSessionsMax, hostConnectionsMax }: AdmissionLimits,
): LoginRefusal | undefined {
  if (sameSession(ofHost, identity) !== undefined) return undefined
  const status = LoginStatus.OutOfResources
  if (sessions.length >= sessionsMax) {
    return { status, detail: `there are ${sessions.length} sessions, of at most ${sessionsMax}` }
  }
  if (ofHost.length >= hostSessionsMax) {
    const detail = `the host has ${ofHost.length} sessions, of at most ${hostSessionsMax}`
    return { status, detail }
  }
  const connections = connectionCount(ofHost)
  if (connections < hostConnectionsMax) return undefined
  return { status, detail: tooMany('host', connections, hostConnectionsMax) }
}

function refusalToJoin(
  identity: LoginIdentity,
  sessions: readonly Session[],
  ofHost: readonly Session[],
  { hostConnectionsMax }: AdmissionLimits,
): LoginRefusal | undefined {
  const { tsih, cid } = identity
  const session = sessions.find((it) => it.identity.tsih === tsih)
  if (session === undefined) {
    return { status: LoginStatus.SessionDoesNotExist, detail: `there is no session ${tsih}` }
  }
  if (!isSamePort(session, identity) || session.identity.type !== identity.sessionType) {
    const detail = `session ${tsih} is of another initiator port, or another type`
    return { status: LoginStatus.CannotIncludeInSession, detail }
  }
  if (session.connections.has(cid)) return undefined
  const status = LoginStatus.TooManyConnections
  const { maxConnections } = session.parameters
  const own = session.connections.size
  if (own >= maxConnections) return { status, detail: tooMany('session', own, maxConnections) }
  const connections = connectionCount(ofHost)
  if (connections < hostConnectionsMax) return undefined
  return { status, detail: tooMany('host', connections, hostConnectionsMax) }
}

function connectionCount(sessions: readonly Session[]): number {
  return sessions.reduce((sum, { connections }) => sum + connections.size, 0)
}

function tooMany(whose: string, count: number, max: number): string {
  return `the ${whose} has ${count} connections, of at most ${max}`
}
