/**
 * A session that comes back by itself. When its connection is lost it logs in again, and executes the
 * commands that have no outcome anew, in their order; their user notices a delay at most.
 *
 * The new login has the ISID of the old one, so it takes that session's place: the target ends what
 * it still had of the old commands before it answers (RFC 7143 section 6.3.5). So no old write comes
 * after a new one.
 */

import type { LoginIdentity } from '../session/login.ts'
import type { ScsiTransport } from '../session/scsi-transport.ts'
import { Session } from '../session/session.ts'
import type { ScsiTask } from '../session/task.ts'
import { type Endpoint, SocketConnection } from './socket-connection.ts'

/** Pauses between attempts to log in again, in ms: doubled each time, up to the second figure. */
const PAUSE_MS = 100
const PAUSE_MAX_MS = 5000
/** A connection that is lost sooner does not end the outage before it: commands may be what breaks it. */
const STABLE_MS = 5000

/** `lost` comes with the reason, `refused` with why an attempt to come back failed. */
export type SessionEvent =
  | { readonly type: 'restored' }
  | { readonly type: 'lost' | 'refused'; readonly error: Error }

export interface PersistentSessionOptions {
  readonly endpoint: Endpoint
  readonly identity: LoginIdentity
  /** After so long without a connection, commands fail, until there is one again. */
  readonly retryForMs: number
  readonly onEvent?: (event: SessionEvent) => void
  /** Gets a fault of ours; the connection has been given up. */
  readonly onFault: (error: unknown) => void
}

export class PersistentSession implements ScsiTransport {
  readonly #options: PersistentSessionOptions
  #session: Session | null = null
  #socket: SocketConnection | null = null
  #connected = false
  #everConnected = false
  #connectedMs = 0
  /** When the outage began that is on, or was the last. */
  #lostMs = 0
  #pauseMs = PAUSE_MS
  #timer: NodeJS.Timeout | null = null
  #closing = false
  #onClosed: (() => void) | null = null
  #onFirst: ((error: Error | null) => void) | null = null
  /** Commands that wait for a connection, in their order. */
  #waiting: ScsiTask[] = []
  #cmdSN = 0

  private constructor(options: PersistentSessionOptions) {
    this.#options = options
  }

  /** Logs in once; rejects when that fails, with the reason. */
  static async connect(options: PersistentSessionOptions): Promise<PersistentSession> {
    const persistent = new PersistentSession(options)
    await new Promise<void>((resolve, reject) => {
      persistent.#onFirst = (error) => (error === null ? resolve() : reject(error))
      persistent.#dial()
    })
    return persistent
  }

  /** As ScsiTransport. After `close`, and when there has been no connection for too long, it fails. */
  execute(task: ScsiTask): void {
    if (this.#connected) this.#session?.execute(task)
    else if (this.#closing || this.#overdue) this.#fail([task], this.#reason())
    else this.#waiting.push(task)
  }

  /** Logs out and closes the connection. What is under way fails. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    const session = this.#session
    if (session === null || !this.#connected) {
      this.#fail(this.#takeWaiting(), this.#reason())
      this.#socket?.close()
      return
    }
    await new Promise<void>((resolve) => {
      this.#onClosed = resolve
      session.logout()
    })
  }

  #dial(): void {
    this.#timer = null
    const { endpoint, identity, onFault } = this.#options
    const session = new Session({
      identity,
      cmdSN: this.#cmdSN++,
      nowMs: performance.now(),
      loggedIn: () => this.#onLoggedIn(session),
      ended: (error, unanswered) => this.#onEnded(session, error, unanswered),
    })
    this.#session = session
    this.#socket = new SocketConnection({
      endpoint,
      connect: (sink) => session.connect(sink),
      onTick: (nowMs) => session.onTimer(nowMs),
      onFault,
    })
  }

  #onLoggedIn(session: Session): void {
    this.#connected = true
    this.#connectedMs = performance.now()
    if (this.#everConnected) this.#options.onEvent?.({ type: 'restored' })
    else this.#lostMs = this.#connectedMs
    this.#everConnected = true
    const first = this.#onFirst
    this.#onFirst = null
    first?.(null)
    if (this.#closing) session.logout()
    for (const task of this.#takeWaiting()) session.execute(task)
  }

  #onEnded(session: Session, error: Error | null, unanswered: readonly ScsiTask[]): void {
    if (this.#session !== session) return
    this.#session = null
    const wasConnected = this.#connected
    this.#connected = false
    const reason = error ?? new Error('the target asked us to log out')
    this.#waiting = [...unanswered, ...this.#waiting]
    if (this.#closing || !this.#everConnected) {
      this.#fail(this.#takeWaiting(), reason)
      this.#onClosed?.()
      this.#onFirst?.(reason)
      return
    }
    this.#options.onEvent?.({ type: wasConnected ? 'lost' : 'refused', error: reason })
    const nowMs = performance.now()
    if (wasConnected && nowMs - this.#connectedMs > STABLE_MS) {
      this.#lostMs = nowMs
      this.#pauseMs = PAUSE_MS
    }
    if (this.#overdue) this.#fail(this.#takeWaiting(), this.#reason(reason))
    this.#timer = setTimeout(() => this.#dial(), this.#pauseMs)
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS)
  }

  get #overdue(): boolean {
    return performance.now() - this.#lostMs > this.#options.retryForMs
  }

  #reason(cause?: Error): Error {
    if (this.#closing) return new Error('the session is closed')
    const { retryForMs } = this.#options
    const why = cause === undefined ? '' : `: ${cause.message}`
    return new Error(`no connection for ${retryForMs} ms${why}`, { cause })
  }

  #takeWaiting(): ScsiTask[] {
    const waiting = this.#waiting
    this.#waiting = []
    return waiting
  }

  /**
   * Ends tasks without a status: not from within the call that executed them, and after whatever else
   * is due, so that who tries again at once does not keep the connection from coming back.
   */
  #fail(tasks: readonly ScsiTask[], error: Error): void {
    for (const task of tasks) {
      setImmediate(() => {
        task.reset()
        task.error = error
        task.done(task)
      })
    }
  }
}
