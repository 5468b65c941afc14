/**
 * Whether a target answers at a portal: a discovery session that asks nothing. That a connection is
 * accepted would not prove it, and a Normal session might take the place of another.
 */
import { randomBytes } from 'node:crypto'
import { LoginError } from '../session/errors.ts'
import type { LoginIdentity } from '../session/login.ts'
import { Session } from '../session/session.ts'
import { RunningClock } from './clock.ts'
import type { Endpoint } from './endpoint.ts'
import { SocketConnection } from './socket-connection.ts'

export class Probe {
  readonly #session: Session
  #cancelled = false

  /** Calls `done` once, later, unless it is cancelled before. A refusal is an answer, too. */
  constructor(
    endpoint: Endpoint,
    identity: LoginIdentity,
    timeoutMs: number,
    done: (error: Error | null) => void,
  ) {
    const clock = new RunningClock()
    const isid = randomBytes(6)
    isid[0] = 0x80
    this.#session = new Session({
      identity: { ...identity, isid, sessionType: 'Discovery', targetName: undefined },
      cmdSN: 0,
      nowMs: clock.nowMs,
      pathTimeoutMs: timeoutMs,
      loggedIn: () => this.#session.logout(),
      ended: (error) => {
        if (!this.#cancelled) done(error instanceof LoginError ? null : error)
      },
    })
    new SocketConnection({
      endpoint,
      connectTimeoutMs: timeoutMs,
      connect: (sink) => this.#session.connect(sink),
      onTick: () => this.#session.onTimer(clock.advance()),
      onFault: (error) => done(error as Error),
    })
  }

  cancel(): void {
    this.#cancelled = true
    this.#session.logout()
  }
}
