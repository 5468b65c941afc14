/**
 * One connection of the initiator, from connect to close, without a socket or a clock: bytes come in
 * by `receive`, time by `onTimer`, and PDUs leave through the ConnectionSink. Full feature phase is
 * in full-feature-phase.ts.
 */
import {
  BHS_LENGTH,
  Framer,
  type FramerHandler,
  LoginRequest,
  LoginResponse,
  type LogoutReason,
  Opcode,
  opcodeName,
  ProtocolError,
  type SessionParameters,
  serialAdd,
} from '@platter/protocol/iscsi'
import type { ConnectionSink } from './connection-sink.ts'
import { type ConnectionEvent, type ConnectionState, nextState } from './connection-state.ts'
import { AuthenticationError, ConnectionLostError, LoginError } from './errors.ts'
import { FullFeaturePhase, type SessionSide } from './full-feature-phase.ts'
import { Login, type LoginIdentity, type LoginOutcome, type LoginStep } from './login.ts'
import { PduWriter } from './pdu-writer.ts'
import { COMMAND_COST_BYTES, type ConnectionPlace, type Lane } from './placement.ts'
import { Silence } from './silence.ts'
import type { ScsiTask } from './task.ts'
import type { TextDone } from './text-exchange.ts'

/** MaxRecvDataSegmentLength before it is declared (RFC 7143 section 13.12), in bytes. */
const LOGIN_SEGMENT_MAX = 8192
const LOGIN_TIMEOUT_MS = 15_000
/** How long the last commands may take to end once the connection is to be closed. */
const RETIRE_MS = 1_000

export interface ConnectionOptions {
  readonly sink: ConnectionSink
  readonly identity: LoginIdentity
  /** Of the session that it joins; 0 for the leading connection. */
  readonly tsih: number
  readonly cid: number
  readonly session: ConnectionOwner
  readonly place: ConnectionPlace
  readonly pathTimeoutMs: number
  readonly nowMs: number
}

/** What a connection needs from its session, besides what full-feature-phase.ts does. */
export interface ConnectionOwner extends SessionSide {
  /** What holds for this connection: what the session agreed on, and what is the connection's own. */
  parametersFor(connection: Connection, outcome: LoginOutcome): SessionParameters
  loggedIn(connection: Connection, outcome: LoginOutcome): void
  /** It was to be closed, and its last command has ended or takes too long: log it out. */
  retired(connection: Connection): void
  /** It is gone: with null after a logout, else with the reason. Called once. */
  connectionEnded(connection: Connection, error: Error | null): void
}

export class Connection implements FramerHandler, Lane {
  readonly cid: number
  readonly weight: number
  readonly rank: number
  readonly #place: ConnectionPlace
  credit = 0
  bytesInFlight = 0
  commandsInFlight = 0
  readonly #sink: ConnectionSink
  readonly #session: ConnectionOwner
  readonly #identity: LoginIdentity
  readonly #tsih: number
  readonly #writer: PduWriter
  readonly #framer = new Framer(this, LOGIN_SEGMENT_MAX)
  readonly #login: Login
  readonly #startedMs: number
  /** Header of the PDU that is coming in, and the data segment of a Login Response. */
  readonly #header = Buffer.alloc(BHS_LENGTH)
  #loginText = Buffer.alloc(0)
  #expStatSN: number | null = null
  #loginTag = 0
  #state: ConnectionState = 'XPT_WAIT'
  #phase: FullFeaturePhase | null = null
  readonly #silence: Silence
  #retiring = false
  #retiringSinceMs: number | null = null

  constructor(options: ConnectionOptions) {
    this.cid = options.cid
    this.weight = options.place.weight
    this.rank = options.place.rank
    this.#place = options.place
    this.#silence = new Silence(options.pathTimeoutMs, options.nowMs)
    this.#sink = options.sink
    this.#session = options.session
    this.#identity = options.identity
    this.#tsih = options.tsih
    this.#startedMs = options.nowMs
    this.#writer = new PduWriter(options.sink)
    this.#login = new Login(options.identity, options.tsih)
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Whether commands are sent on it. */
  get alive(): boolean {
    return this.#state === 'LOGGED_IN' && !this.#retiring
  }

  /** Whether a command may be sent on it now. */
  get ready(): boolean {
    return this.alive && this.#fullFeature.ready
  }

  get hasUnsent(): boolean {
    return this.#sink.hasUnsent
  }

  /** Whether it makes the session, or joins it. */
  get leading(): boolean {
    return this.#tsih === 0
  }

  /** Whether commands may still end on it: it is logged in, and no logout is under way. */
  get carries(): boolean {
    return this.#state === 'LOGGED_IN' || this.#state === 'LOGOUT_REQUESTED'
  }

  /** Whether it has been logged in: tasks may be on it. */
  get entered(): boolean {
    return this.#phase !== null
  }

  get #open(): boolean {
    return this.#state !== 'FREE' && this.#state !== 'CLEANUP_WAIT'
  }

  /** The transport is connected: begins the login. */
  start(): void {
    this.#loginTag = this.#session.takeControlTag()
    this.#move('loginStarted')
    this.#sendLogin(this.#login.start())
  }

  /** Takes in bytes `start` to `end` of `buffer`; they are used or copied before it returns. */
  receive(buffer: Buffer, start: number, end: number): void {
    this.#silence.break()
    if (!this.#open) return
    try {
      this.#framer.push(buffer, start, end)
    } catch (error) {
      if (!(error instanceof Error) || !isFaultOfPeer(error)) throw error
      this.fail(error)
    }
    if (this.#open) this.#session.resume()
  }

  onHeader(buffer: Buffer, base: number): void {
    buffer.copy(this.#header, 0, base, base + BHS_LENGTH)
    if (this.#phase !== null) {
      this.#phase.onHeader(this.#header)
      return
    }
    const opcode = (this.#header[0] as number) & 0x3f
    if (opcode !== Opcode.LoginResponse) {
      throw broken(`got ${opcodeName(opcode)} during login, wanted LoginResponse`)
    }
    this.#loginText = Buffer.alloc(this.#header.readUIntBE(5, 3))
  }

  onData(buffer: Buffer, position: number, length: number, offset: number): void {
    if (this.#phase !== null) this.#phase.onData(buffer, position, length, offset)
    else buffer.copy(this.#loginText, offset, position, position + length)
  }

  onEnd(): void {
    if (this.#phase !== null) this.#phase.onEnd(this.#header)
    else this.#onLoginResponse(new LoginResponse().at(this.#header, 0))
  }

  onDataDigestError(): void {
    // What was lost cannot be asked for again at ErrorRecoveryLevel 0 (RFC 7143 section 7.8).
    throw broken('a data segment failed its digest')
  }

  #onLoginResponse(response: LoginResponse): void {
    if (response.initiatorTaskTag !== this.#loginTag) {
      throw broken(`login response: Initiator Task Tag is ${response.initiatorTaskTag}`)
    }
    // A refusal has no valid StatSN (RFC 7143 section 11.13.4).
    if (response.statusClass === 0) {
      if (this.#expStatSN !== null && response.statSN !== this.#expStatSN) {
        throw broken(`login response: StatSN is ${response.statSN}, wanted ${this.#expStatSN}`)
      }
      this.#expStatSN = serialAdd(response.statSN, 1)
    }
    const result = this.#login.receive(response, this.#loginText)
    if ('text' in result) this.#sendLogin(result)
    else this.#enter(result, response)
  }

  #sendLogin(step: LoginStep): void {
    const base = this.#writer.reserve(step.text.length)
    const { slab } = this.#writer
    const pdu = new LoginRequest().init(slab, base)
    pdu.transit = step.transit
    pdu.currentStage = step.currentStage
    pdu.nextStage = step.nextStage
    this.#identity.isid.copy(slab, pdu.isidPosition)
    pdu.tsih = this.#tsih
    pdu.initiatorTaskTag = this.#loginTag
    pdu.cid = this.cid
    pdu.cmdSN = this.#session.window.cmdSN
    pdu.expStatSN = this.#expStatSN ?? 0
    step.text.copy(slab, this.#writer.dataPosition(base))
    this.#writer.send(base, step.text.length)
  }

  #enter(outcome: LoginOutcome, response: LoginResponse): void {
    const parameters = this.#session.parametersFor(this, outcome)
    this.#framer.dataSegmentLengthMax = parameters.maxRecvDataSegmentLength
    this.#framer.headerDigest = parameters.headerDigest === 'CRC32C'
    this.#framer.dataDigest = parameters.dataDigest === 'CRC32C'
    this.#writer.headerDigest = this.#framer.headerDigest
    this.#writer.dataDigest = this.#framer.dataDigest
    this.#session.window.update(response.expCmdSN, response.maxCmdSN)
    this.#move('loginFinished')
    this.#phase = new FullFeaturePhase({
      connection: this,
      writer: this.#writer,
      parameters,
      session: this.#session,
      expStatSN: this.#expStatSN ?? 0,
      logoutRequested: () => this.#onLogoutRequested(),
      loggedOut: () => this.#onLoggedOut(),
    })
    this.#session.loggedIn(this, outcome)
  }

  /** Sends a command that has its tag and CmdSN; only when `ready`. */
  sendCommand(task: ScsiTask): void {
    this.commandsInFlight += 1
    this.bytesInFlight += task.length + COMMAND_COST_BYTES
    this.#fullFeature.sendCommand(task)
  }

  /** To be called when a command that was sent here has its outcome. */
  commandEnded(task: ScsiTask): void {
    this.commandsInFlight -= 1
    this.bytesInFlight -= task.length + COMMAND_COST_BYTES
    this.#place.commandEnded(task)
    this.#retireIfDone()
  }

  /** Asks the target to give the command up; `task` then ends with an error. */
  abortTask(task: ScsiTask): void {
    this.#fullFeature.abortTask(task)
  }

  /** Asks a question in text. One at a time; throws an Error when it cannot be asked now. */
  sendText(pairs: Parameters<FullFeaturePhase['sendText']>[0], done: TextDone): void {
    if (this.#state !== 'LOGGED_IN') throw new Error(`connection ${this.cid} is ${this.#state}`)
    this.#fullFeature.sendText(pairs, done)
  }

  /**
   * Ends it, or its session, in an orderly way; `connectionEnded(this, null)` follows. Before it is
   * logged in there is nothing to be ended but the connection.
   */
  logout(reason: LogoutReason): void {
    if (this.carries) {
      this.#move('logoutStarted')
      this.#fullFeature.sendLogout(this.cid, reason)
    } else if (this.#state !== 'IN_LOGOUT') {
      this.fail(new ConnectionLostError('given up before it was logged in'))
    }
  }

  /** Takes no more commands; `retired` is told when it may be logged out, which may be at once. */
  retire(): void {
    if (this.#retiring) return
    this.#retiring = true
    this.#retireIfDone()
  }

  #retireIfDone(): void {
    if (this.#retiring && this.commandsInFlight === 0) this.#session.retired(this)
  }

  get #fullFeature(): FullFeaturePhase {
    if (this.#phase === null) throw new Error(`connection ${this.cid} is not logged in`)
    return this.#phase
  }

  /** The target wants us gone; the session's owner will come back if it still has something to do. */
  #onLogoutRequested(): void {
    if (this.#state !== 'LOGGED_IN') return
    this.#move('logoutRequested')
    this.retire()
  }

  #onLoggedOut(): void {
    if (this.#state !== 'IN_LOGOUT') throw broken('a Logout Response to no request')
    this.#move('logoutFinished')
    this.#end(null)
  }

  /** The network took some of the output. */
  onDrain(): void {
    if (!this.#open) return
    // While more is queued behind it, the network takes only what the target has made room for.
    if (this.#sink.backlogBytes > 0) this.#silence.break()
    this.#phase?.onDrain()
    this.#session.resume()
  }

  /** Called a few times in `pathTimeoutMs`, with a clock that never goes back. */
  onTimer(nowMs: number): void {
    if (!this.#open) return
    this.#silence.onTimer(nowMs)
    if (this.#phase === null) {
      this.#watchLogin(nowMs)
      return
    }
    const overdue = this.#phase.overdue(nowMs)
    if (overdue !== null) this.fail(new ConnectionLostError(overdue))
    else if (this.carries) {
      this.#keepAlive(this.#phase, nowMs)
      this.#watchRetiring(nowMs)
    }
  }

  #watchLogin(nowMs: number): void {
    const { timeoutMs } = this.#silence
    if (this.#silence.lasts(nowMs) > timeoutMs) {
      this.fail(new ConnectionLostError(`no answer to the login within ${timeoutMs} ms`))
    } else if (nowMs - this.#startedMs > LOGIN_TIMEOUT_MS) {
      this.fail(new ConnectionLostError(`no login within ${LOGIN_TIMEOUT_MS} ms`))
    }
  }

  #keepAlive(phase: FullFeaturePhase, nowMs: number): void {
    if (this.#silence.isDeath(nowMs)) {
      const { answerMs } = this.#silence
      this.fail(new ConnectionLostError(`no answer to a ping within ${answerMs} ms`))
    } else if (this.#silence.asks(nowMs, this.commandsInFlight > 0)) phase.ping()
  }

  #watchRetiring(nowMs: number): void {
    if (!this.#retiring || !this.#open) return
    this.#retiringSinceMs ??= nowMs
    if (nowMs - this.#retiringSinceMs > RETIRE_MS) this.#session.retired(this)
  }

  /** The transport broke, or was closed by the target. */
  transportLost(reason: string): void {
    this.fail(new ConnectionLostError(reason))
  }

  /** Gives the connection up; what is under way on it gets no answer any more. */
  fail(error: Error): void {
    if (!this.#open) return
    const loginFailed = this.#state === 'IN_LOGIN'
    this.#move(loginFailed ? 'loginFailed' : 'transportLost')
    if (this.#state === 'CLEANUP_WAIT') this.#move('cleanedUp')
    this.#end(error)
  }

  #end(error: Error | null): void {
    this.#framer.paused = true
    this.#phase?.end(error ?? new ConnectionLostError('logged out'))
    this.#sink.close()
    this.#session.connectionEnded(this, error)
  }

  #move(event: ConnectionEvent): void {
    this.#state = nextState(this.#state, event)
  }
}

function isFaultOfPeer(error: Error): boolean {
  return (
    error instanceof ProtocolError ||
    error instanceof AuthenticationError ||
    error instanceof LoginError ||
    error instanceof ConnectionLostError
  )
}

function broken(message: string): ProtocolError {
  return new ProtocolError('connection', message, { kind: 'drop' })
}
