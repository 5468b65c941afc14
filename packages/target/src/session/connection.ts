/**
 * One connection of the target, from accept to close, without a socket or a clock: bytes come in by
 * `receive`, time by `onTimer`, and PDUs leave through the ConnectionSink. What PDUs mean depends on
 * the phase: login-phase.ts first, then full-feature-phase.ts.
 */
import {
  AsyncEvent,
  Framer,
  type FramerHandler,
  formatTargetAddress,
  ProtocolError,
  type SessionParameters,
} from '@platter/protocol/iscsi'
import { AHS_LENGTH_MAX } from './command-check.ts'
import type { CloseReason, ConnectionSink } from './connection-sink.ts'
import { type ConnectionEvent, type ConnectionState, nextState } from './connection-state.ts'
import { FullFeaturePhase } from './full-feature-phase.ts'
import { LoginPhase } from './login-phase.ts'
import type { LoginIdentity } from './login-policy.ts'
import { Responder } from './responder.ts'
import type { Session } from './session.ts'
import { TargetDirectory } from './target-directory.ts'
import type { ConnectionAddresses, TargetNode } from './target-node.ts'

/** MaxRecvDataSegmentLength before it is declared (RFC 7143 section 13.12), in bytes. */
const LOGIN_SEGMENT_MAX = 8192

export interface TargetConnectionOptions {
  readonly sink: ConnectionSink
  readonly node: TargetNode
  readonly addresses: ConnectionAddresses
  readonly nowMs: number
  /** StatSN of the first response; 1 unless told otherwise. */
  readonly firstStatSN?: number
}

export class TargetConnection implements FramerHandler {
  readonly #sink: ConnectionSink
  readonly #node: TargetNode
  readonly #addresses: ConnectionAddresses
  readonly #framer = new Framer(this, LOGIN_SEGMENT_MAX)
  readonly #responder: Responder
  readonly #startedMs: number
  #state: ConnectionState = 'FREE'
  readonly #login: LoginPhase
  #phase: LoginPhase | FullFeaturePhase
  #fullFeature: FullFeaturePhase | null = null

  #heard = true
  #heardMs: number
  #pingTag: number | null = null
  #pingedMs = 0
  /** A sign of life that was sent after the ping is wanted as well. */
  #pingAgain = false
  #nowMs: number
  /** What is to be said when the connection must be dropped, if the initiator was asked to log out. */
  #logout: { readonly dueMs: number; readonly detail: string } | null = null

  constructor(options: TargetConnectionOptions) {
    this.#sink = options.sink
    this.#node = options.node
    this.#addresses = options.addresses
    this.#startedMs = options.nowMs
    this.#heardMs = options.nowMs
    this.#nowMs = options.nowMs
    this.#responder = new Responder(options.sink, options.firstStatSN ?? 1)
    this.#login = new LoginPhase({
      node: options.node,
      responder: this.#responder,
      remoteHost: options.addresses.remoteHost,
      local: { host: options.addresses.localHost, port: options.addresses.localPort },
      nowMs: () => this.#nowMs,
      portal: this.#portal,
      entered: (identity, parameters, session) => this.#enter(identity, parameters, session),
      failed: (detail) => this.#fail('login-failed', detail),
      isOpen: () => this.#isOpen(),
      setPaused: (paused) => this.#setPaused(paused),
    })
    this.#phase = this.#login
    this.#framer.ahsLengthMax = AHS_LENGTH_MAX
    this.#move('transportConnected')
  }

  get #portal(): string {
    const { localHost: host, localPort: port } = this.#addresses
    return formatTargetAddress({ host, port })
  }

  get state(): ConnectionState {
    return this.#state
  }

  get remote(): string {
    return this.#addresses.remote
  }

  /** The session that this connection belongs to, in full feature phase. */
  get session(): Session | undefined {
    return this.#fullFeature?.session
  }

  /** No command of its session is in progress. */
  get idle(): boolean {
    return this.#fullFeature?.session.tasks.size === 0
  }

  /** No more PDUs are taken in until this is false again. */
  get paused(): boolean {
    return this.#framer.paused
  }

  /**
   * Takes in bytes `start` to `end` of `buffer`, which are used or copied before it returns. Returns
   * how many it took: fewer than given when it has paused; the rest must be given again afterwards.
   */
  receive(buffer: Buffer, start: number, end: number): number {
    this.#heard = true
    if (!this.#isOpen()) return end - start
    try {
      return this.#framer.push(buffer, start, end)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#broken(error)
      return end - start
    }
  }

  /** A bad digest costs its connection, anything else all those of the session (RFC 7143 sections 7.7 and 7.8). */
  #broken({ code, message }: ProtocolError): void {
    const session = this.#fullFeature?.session
    this.#fail(session ? 'protocol-error' : 'login-failed', message)
    if (code !== 'digest') session?.endConnections(`another connection failed: ${message}`)
  }

  onHeader(buffer: Buffer, base: number): void {
    if (this.#state === 'XPT_UP') this.#move('loginStarted')
    if (this.#isOpen()) this.#phase.onHeader(buffer, base)
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    if (this.#isOpen()) this.#phase.onData(buffer, position, length, offset)
  }

  onEnd(): void {
    if (this.#isOpen()) this.#phase.onEnd()
  }

  onDataDigestError(): void {
    if (this.#isOpen()) this.#phase.onDataDigestError()
  }

  /** The network took some of the output. */
  onDrain(): void {
    this.#heard = true
    if (this.#isOpen()) this.#fullFeature?.onDrain()
  }

  /** Called about once a second, with a clock that never goes back. */
  onTimer(nowMs: number): void {
    this.#nowMs = nowMs
    // While a slow disk keeps us from reading, silence is not the initiator's.
    const deaf = this.paused && this.#sink.backlogBytes <= this.#sink.backlogLimitBytes
    if (this.#heard || deaf) {
      this.#heard = false
      this.#heardMs = nowMs
    }
    if (deaf) this.#pingedMs = nowMs
    this.#fullFeature?.session.onTimer(this.#fullFeature, nowMs)
    const { limits } = this.#node.options
    if (this.#fullFeature === null) {
      const overdue = nowMs - this.#startedMs > limits.loginTimeoutMs
      if (overdue) this.#fail('timeout', `no login within ${limits.loginTimeoutMs} ms`)
      else if (this.#isOpen()) this.#login.onTimer(nowMs)
    } else if (this.#logout !== null && nowMs >= this.#logout.dueMs) {
      this.#drop(this.#logout.detail)
    } else if (this.#pingTag !== null) {
      const overdue = nowMs - this.#pingedMs > limits.pingTimeoutMs
      if (overdue) this.end('timeout', `no answer to a ping within ${limits.pingTimeoutMs} ms`)
    } else if (!deaf && this.#fullFeature.isUnacknowledged(nowMs, limits.pingTimeoutMs)) {
      this.end('timeout', `statuses were not acknowledged within ${limits.pingTimeoutMs} ms`)
    } else if (this.#isOpen() && nowMs - this.#heardMs > limits.pingAfterMs) {
      this.#ping()
    }
  }

  /** Asks the initiator to log out, unless it was asked or does so already. */
  #requestLogout(nowMs: number, seconds: number, detail: string): void {
    if (this.#state !== 'LOGGED_IN') return
    this.#move('logoutRequested')
    this.#logout = { dueMs: nowMs + 1000 * seconds, detail }
    this.#responder.asyncMessage(AsyncEvent.LogoutRequest, [0, 0, seconds])
  }

  /** It did not log out in time. */
  #drop(detail: string): void {
    const phase = this.#fullFeature
    if (phase !== null && this.#isOpen()) {
      const { defaultTime2Wait, defaultTime2Retain } = phase.session.parameters
      const parameters = [phase.cid, defaultTime2Wait, defaultTime2Retain] as const
      this.#responder.asyncMessage(AsyncEvent.ConnectionDropped, parameters)
    }
    this.end('shutdown', detail)
  }

  #ping(): void {
    this.#pingTag = this.#fullFeature?.nextTag() ?? 0
    this.#pingedMs = this.#nowMs
    this.#responder.ping(this.#pingTag)
  }

  /** Ends the connection from this side, whatever it is doing. */
  end(reason: CloseReason, detail: string): void {
    if (this.#fullFeature === null) {
      this.#fail(reason, detail)
      return
    }
    if (this.#state === 'FREE') return
    if (this.#state === 'IN_LOGOUT') {
      this.#move('logoutFinished')
    } else {
      this.#move('transportLost')
      this.#move('cleanedUp')
    }
    this.#sink.close(reason, detail)
    this.#leave()
  }

  /** The transport connection is gone. */
  transportLost(): void {
    if (this.#state !== 'FREE') this.end('peer-closed', 'the transport connection is gone')
  }

  #fail(reason: CloseReason, detail: string): void {
    if (this.#fullFeature !== null) {
      this.end(reason, detail)
    } else if (this.#state !== 'FREE') {
      this.#move('loginFailed')
      this.#sink.close(reason, detail)
    }
  }

  #leave(): void {
    const phase = this.#fullFeature
    if (phase === null) return
    phase.closed()
    this.#node.connectionEnded(phase.session, phase)
  }

  #enter(identity: LoginIdentity, parameters: SessionParameters, session: Session): void {
    this.#responder.headerDigest = parameters.headerDigest === 'CRC32C'
    this.#responder.dataDigest = parameters.dataDigest === 'CRC32C'
    this.#framer.headerDigest = this.#responder.headerDigest
    this.#framer.dataDigest = this.#responder.dataDigest
    this.#framer.dataSegmentLengthMax = parameters.maxRecvDataSegmentLength
    const phase = new FullFeaturePhase({
      cid: identity.cid,
      remote: this.#addresses.remote,
      local: this.#portal,
      responder: this.#responder,
      session,
      sendSegmentMax: parameters.peerMaxRecvDataSegmentLength,
      sessions: () => this.#node.sessionsWithTasks(),
      directory: new TargetDirectory({
        node: this.#node.options,
        addresses: this.#addresses,
        identity: session.identity,
      }),
      pingAnswered: (tag) => this.#pingAnswered(tag),
      solicit: () => this.#solicit(),
      requestLogout: (nowMs, seconds, detail) => this.#requestLogout(nowMs, seconds, detail),
      isLeaving: () => !this.#isOpen(),
      logoutStarted: () => this.#move('logoutStarted'),
      loggedOut: () => this.end('logout', 'the initiator logged out'),
      end: (reason, detail) => this.end(reason, detail),
      setPaused: (paused) => this.#setPaused(paused),
    })
    session.connections.set(identity.cid, phase)
    this.#phase = phase
    this.#fullFeature = phase
    this.#move('loginFinished')
  }

  #solicit(): void {
    if (this.#pingTag !== null) this.#pingAgain = true
    else if (this.#isOpen()) this.#ping()
  }

  #pingAnswered(tag: number): void {
    if (tag !== this.#pingTag) return
    this.#pingTag = null
    if (!this.#pingAgain) return
    this.#pingAgain = false
    this.#solicit()
  }

  #setPaused(paused: boolean): void {
    if (this.#framer.paused === paused) return
    this.#framer.paused = paused
    if (!paused) this.#sink.resumeInput()
  }

  #isOpen(): boolean {
    const state = this.#state
    return state !== 'FREE' && state !== 'IN_LOGOUT' && state !== 'CLEANUP_WAIT'
  }

  #move(event: ConnectionEvent): void {
    this.#state = nextState(this.#state, event)
  }
}
