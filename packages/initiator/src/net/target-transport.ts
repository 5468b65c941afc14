/**
 * All connections with one target as one transport: one session of several connections where the target
 * allows that (RFC 7143 section 4.2.3), else several sessions of one.
 */
import type { SessionParameters } from '@platter/protocol/iscsi'
import type { LoginIdentity } from '../session/login.ts'
import { type PolicyName, placementPolicies } from '../session/placement.ts'
import type { ScsiTransport } from '../session/scsi-transport.ts'
import type { ScsiTask } from '../session/task.ts'
import { Path, type PathOptions, type PathStatus } from './path.ts'
import { PersistentSession } from './persistent-session.ts'
import { SessionGroup } from './session-group.ts'
import type { PersistentSessionOptions } from './session-options.ts'

/** Many connections in one session, or many sessions of one connection. */
export const multiModes = ['connections', 'sessions'] as const
export type MultiMode = (typeof multiModes)[number]

export interface TargetTransportOptions
  extends Omit<PersistentSessionOptions, 'paths' | 'place' | 'connections'> {
  /** One at least. */
  readonly paths: readonly PathOptions[]
  /** How many to have in all; one at least. */
  readonly connections: number
  /** What the target allows decides if not given. */
  readonly multi: MultiMode | undefined
  readonly policy: PolicyName
  /** Makes the ISID of a further session. */
  newIsid(): Buffer
}

export class TargetTransport implements ScsiTransport {
  readonly mode: MultiMode
  /** How many connections there are to be: what was asked for, or what the target allows. */
  readonly connections: number
  /** What was agreed on at the first login. */
  readonly parameters: SessionParameters
  readonly #paths: readonly Path[]
  readonly #sessions: readonly PersistentSession[]
  readonly #transport: ScsiTransport

  private constructor(
    options: TargetTransportOptions,
    mode: MultiMode,
    paths: readonly Path[],
    sessions: readonly [PersistentSession, ...PersistentSession[]],
  ) {
    const { parameters } = sessions[0]
    if (parameters === null) throw new Error('the session has not been logged in')
    this.parameters = parameters
    this.mode = mode
    const { connections, policy } = options
    const granted = Math.min(connections, parameters.maxConnections)
    this.connections = mode === 'sessions' ? sessions.length : granted
    this.#paths = paths
    this.#sessions = sessions
    this.#transport =
      sessions.length === 1 ? sessions[0] : new SessionGroup(sessions, placementPolicies[policy]())
  }

  /**
   * Logs in on the first path that answers; what else there is to be follows by itself. Rejects as
   * PersistentSession, and with an Error when the target does not allow what `multi` demands.
   */
  static async connect(options: TargetTransportOptions): Promise<TargetTransport> {
    const { connections, multi, policy } = options
    const paths = options.paths.map((it, rank) => new Path(it, rank))
    const asked = multi === 'sessions' ? 1 : connections
    const first = await PersistentSession.connect({
      ...options,
      paths,
      connections: asked,
      identity: withConnections(options.identity, asked),
      place: placementPolicies[policy](),
    })
    const granted = first.parameters?.maxConnections ?? 1
    if (multi === 'connections' && granted === 1 && connections > 1) {
      await first.close()
      const message = 'the target allows one connection in a session; use several sessions'
      throw new Error(message)
    }
    if (granted > 1 || connections === 1) {
      return new TargetTransport(options, 'connections', paths, [first])
    }
    const others = Array.from({ length: connections - 1 }, (_, index) =>
      PersistentSession.start(furtherSession(options, paths, index + 1)),
    )
    return new TargetTransport(options, 'sessions', paths, [first, ...others])
  }

  /** As ScsiTransport. */
  execute(task: ScsiTask): void {
    this.#transport.execute(task)
  }

  /** Bytes of a write that the target takes without having asked for them. */
  get unsolicitedBytes(): number {
    const { initialR2T, immediateData, firstBurstLength, peerMaxRecvDataSegmentLength } =
      this.parameters
    if (!initialR2T) return firstBurstLength
    return immediateData ? Math.min(firstBurstLength, peerMaxRecvDataSegmentLength) : 0
  }

  /** Each path, in the order in which they were given. */
  status(): PathStatus[] {
    return this.#paths.map((path) =>
      path.status(this.#sessions.reduce((sum, session) => sum + session.bytesInFlightOn(path), 0)),
    )
  }

  /** Logs out. What is under way fails. */
  async close(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.close()))
  }
}

/** Its own path first, then the others in turn. */
function furtherSession(
  options: TargetTransportOptions,
  paths: readonly Path[],
  index: number,
): PersistentSessionOptions {
  const own = index % paths.length
  return {
    ...options,
    paths: [...paths.slice(own), ...paths.slice(0, own)],
    connections: 1,
    identity: { ...withConnections(options.identity, 1), isid: options.newIsid() },
    place: placementPolicies[options.policy](),
  }
}

function withConnections(identity: LoginIdentity, maxConnections: number): LoginIdentity {
  return { ...identity, policy: { ...identity.policy, maxConnections } }
}
