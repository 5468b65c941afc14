/**
 * The iSCSI target node: what all its connections share. Its name and policy, its sessions, and the
 * rules by which a login makes a session, replaces one, or joins one (RFC 7143 sections 6.3.1, 6.3.5).
 */
import {
  type AccessiblePartition,
  Challenges,
  chapAlgorithms,
  LoginStatus,
  type NegotiationPolicy,
  type SessionParameters,
} from '@platter/protocol/iscsi'
import type { TaskExecutor } from '../scsi/scsi-task.ts'
import { abortAll, tasksOf } from './abort.ts'
import { type AdmissionLimits, refusalOf, sameSession } from './admission.ts'
import type { AuthenticationRequirement } from './authentication.ts'
import { CommandWindow } from './command-window.ts'
import type { DataPortPolicy } from './data-port-policy.ts'
import {
  defaultLoginFailureLimits,
  type LoginFailureLimits,
  LoginFailures,
} from './login-failures.ts'
import type { LoginIdentity, LoginRedirect, LoginRefusal } from './login-policy.ts'
import { Session, type SessionConnection } from './session.ts'

/** Bounds on what hosts may use; each is enforced, and exceeding it has an answer. */
export interface SessionLimits extends AdmissionLimits {
  /** Commands of one session in progress at once. */
  readonly commandWindow: number
  readonly loginTimeoutMs: number
  readonly loginRequestsMax: number
  /** Silence after which a connection is pinged, and how long the answer may take. */
  readonly pingAfterMs: number
  readonly pingTimeoutMs: number
  /** What an initiator that is asked to log out has for it. */
  readonly logoutSeconds: number
  readonly loginFailures: LoginFailureLimits
}

export const defaultLimits: SessionLimits = {
  sessionsMax: 256,
  hostSessionsMax: 64,
  hostConnectionsMax: 256,
  commandWindow: 128,
  loginTimeoutMs: 15_000,
  loginRequestsMax: 32,
  pingAfterMs: 30_000,
  pingTimeoutMs: 30_000,
  logoutSeconds: 2,
  loginFailures: defaultLoginFailureLimits,
}

export interface TargetNodeOptions {
  readonly targetName: string
  readonly targetAlias?: string
  /** Told to initiators that tell theirs (RFC 7143 section 13.26). */
  readonly nodeArchitecture?: string
  readonly targetPortalGroupTag: number
  readonly negotiation: NegotiationPolicy
  readonly limits: SessionLimits
  readonly executor: TaskExecutor
  /** What a host must show to get in; by default nothing. */
  requirementOf?(initiatorName: string): AuthenticationRequirement
  /** Whether the target is there for a host that comes from this IP address; by default it is for all. */
  isFor?(initiatorName: string, remoteHost: string): boolean
  /** Connections that one session of a host may have; by default what `negotiation` says. */
  maxConnections?(initiatorName: string): number
  /** Sessions that a host may have; by default what `limits` says. */
  maxSessions?(initiatorName: string): number
  /** What a host may use; by default it is not told in text. */
  partitionsOf?(initiatorName: string): readonly AccessiblePartition[]
  /** Which portals are for which host; by default all are for all. */
  readonly dataPorts?: DataPortPolicy
  /** Where a host is sent instead of being let in; by default nowhere. */
  redirect?(initiatorName: string): LoginRedirect | undefined
}

const nothingRequired: AuthenticationRequirement = {
  floor: 'none',
  chapAlgorithms,
  credentials: undefined,
}

/** The two ends of a TCP connection, as the portal saw them. */
export interface ConnectionAddresses {
  readonly localHost: string
  readonly localPort: number
  readonly remoteHost: string
  /** `host:port`, for people. */
  readonly remote: string
  /** The portals of this target that the initiator can use, as things are now. */
  portals(): readonly { readonly host: string; readonly port: number }[]
}

export class TargetNode {
  readonly options: TargetNodeOptions
  /** Shared by all logins, so that no host can have one answered by another connection. */
  readonly challenges = new Challenges()
  readonly loginFailures: LoginFailures
  readonly #sessions = new Map<number, Session>()
  /** Sessions that have ended but still have storage operations under way, and who waits for them. */
  readonly #ending = new Map<Session, (() => void)[]>()
  /** A session whose only connection is being replaced: it does not end with it. */
  #joined: Session | null = null
  #lastTsih = 0
  #onAllEnded: (() => void) | undefined
  #closing = false

  constructor(options: TargetNodeOptions) {
    this.options = options
    this.loginFailures = new LoginFailures(options.limits.loginFailures)
  }

  requirementOf(initiatorName: string): AuthenticationRequirement {
    return this.options.requirementOf?.(initiatorName) ?? nothingRequired
  }

  /** Whether this is a target to an initiator that comes from `remoteHost`. */
  isFor(initiatorName: string, remoteHost: string): boolean {
    return this.options.isFor?.(initiatorName, remoteHost) ?? true
  }

  /** Live sessions. */
  sessions(): Iterable<Session> {
    return this.#sessions.values()
  }

  /** Live sessions, and those that have ended but still have storage operations under way. */
  *sessionsWithTasks(): Generator<Session> {
    yield* this.#sessions.values()
    yield* this.#ending.keys()
  }

  /** Whether a login may go on: what to refuse it with, or undefined. */
  admit(identity: LoginIdentity): LoginRefusal | undefined {
    if (this.#closing) {
      return { status: LoginStatus.ServiceUnavailable, detail: 'the server stops' }
    }
    const { limits, maxSessions } = this.options
    const hostSessionsMax = maxSessions?.(identity.initiatorName) ?? limits.hostSessionsMax
    return refusalOf(identity, [...this.#sessions.values()], { ...limits, hostSessionsMax })
  }

  /**
   * Makes way for a login that is about to reach full feature phase. A leading one ends the session of
   * the same initiator port, if there is one (session reinstatement); a further one ends the connection
   * with the same CID (connection reinstatement). `done` is called when no storage operation of what
   * has ended is under way, lest an old write overtakes a new one; at once if there is none.
   */
  makeWay(identity: LoginIdentity, done: () => void): void {
    if (identity.tsih !== 0) {
      this.#replaceConnection(identity, done)
      return
    }
    const former = sameSession(this.#sessions.values(), identity)
    if (former !== undefined) this.#end(former, 'reinstated', 'the same initiator port logged in')
    const ending = sameSession(this.#ending.keys(), identity)
    if (ending === undefined) done()
    else this.#ending.get(ending)?.push(() => this.makeWay(identity, done))
  }

  #replaceConnection(identity: LoginIdentity, done: () => void): void {
    const session = this.#sessions.get(identity.tsih)
    const former = session?.connections.get(identity.cid)
    if (session === undefined || former === undefined) {
      done()
      return
    }
    this.#joined = session
    former.end('reinstated', 'the same CID logged in again')
    this.#joined = null
    const formers = tasksOf([session], (task) => task.owner === former)
    abortAll(formers, () => {
      done()
      this.#endIfEmpty(session)
    })
  }

  /**
   * The session of a login that reaches full feature phase now, or what to refuse it with after all:
   * much may have happened while way was made for it.
   */
  enter(
    identity: LoginIdentity,
    parameters: SessionParameters,
    cmdSN: number,
  ): Session | LoginRefusal {
    const refusal = this.admit(identity)
    if (refusal !== undefined) return refusal
    const joined = this.#sessions.get(identity.tsih)
    if (joined !== undefined) return joined
    const session = new Session({
      identity: {
        type: identity.sessionType,
        initiatorName: identity.initiatorName,
        targetPort: identity.targetPort,
        authentication: identity.authentication,
        initiatorAlias: identity.initiatorAlias,
        nodeArchitecture: identity.nodeArchitecture,
        isid: identity.isid,
        tsih: this.#nextTsih(),
      },
      targetName: this.options.targetName,
      targetPortalGroupTag: this.options.targetPortalGroupTag,
      parameters,
      window: new CommandWindow(cmdSN, this.options.limits.commandWindow),
      executor: this.options.executor,
    })
    this.#sessions.set(session.identity.tsih, session)
    return session
  }

  /** A connection has ended. The session's last one takes the session with it. */
  connectionEnded(session: Session, connection: SessionConnection): void {
    session.removeConnection(connection)
    if (session !== this.#joined) this.#endIfEmpty(session)
  }

  #endIfEmpty(session: Session): void {
    const isLive = this.#sessions.get(session.identity.tsih) === session
    if (isLive && session.connections.size === 0) {
      this.#end(session, 'session-ended', 'its last connection ended')
    }
  }

  /**
   * Asks the initiator of this name, in its normal form, or every one, to log out; `onTimer` of
   * connections that are still there after `logoutSeconds` ends them. Returns the number of sessions.
   */
  requestLogout(nowMs: number, initiatorName: string | undefined, detail: string): number {
    const { logoutSeconds } = this.options.limits
    let count = 0
    for (const session of [...this.#sessions.values()]) {
      const { identity } = session
      if (initiatorName !== undefined && identity.initiatorName !== initiatorName) continue
      session.requestLogout(nowMs, logoutSeconds, detail)
      count++
    }
    return count
  }

  /**
   * Asks every initiator to log out, as `requestLogout` does, and admits no more. Resolves when no storage operation of any session is under way.
   */
  async close(nowMs: number): Promise<void> {
    this.#closing = true
    this.requestLogout(nowMs, undefined, 'the server stops')
    if (this.#sessions.size === 0 && this.#ending.size === 0) return
    await new Promise<void>((resolve) => {
      this.#onAllEnded = resolve
    })
  }

  #end(session: Session, reason: 'reinstated' | 'session-ended', detail: string): void {
    const waiting: (() => void)[] = []
    this.#sessions.delete(session.identity.tsih)
    this.#ending.set(session, waiting)
    session.close(reason, detail, () => {
      this.#ending.delete(session)
      for (const goOn of waiting) goOn()
      if (this.#ending.size === 0 && this.#sessions.size === 0) this.#onAllEnded?.()
    })
  }

  /** TSIH 0 is reserved (RFC 7143 section 11.12.6). */
  #nextTsih(): number {
    do {
      this.#lastTsih = (this.#lastTsih % 0xffff) + 1
    } while (this.#sessions.has(this.#lastTsih))
    return this.#lastTsih
  }
}
