/** One of the connections that a session is to have: the path that it prefers, and how it fares. */
import type { Connection } from '../session/connection.ts'
import type { LoginIdentity } from '../session/login.ts'
import type { Path } from './path.ts'
import { Probe } from './probe.ts'

/** Pauses between attempts, in ms: doubled each time, up to the second figure. */
const PAUSE_MS = 100
const PAUSE_MAX_MS = 2000

export class Pause {
  #nextMs = PAUSE_MS

  /** How long to wait now. */
  take(): number {
    const takenMs = this.#nextMs
    this.#nextMs = Math.min(takenMs * 2, PAUSE_MAX_MS)
    return takenMs
  }

  /** An attempt was a success. */
  reset(): void {
    this.#nextMs = PAUSE_MS
  }
}

export class SessionLane {
  readonly preferred: Path
  /** The one that it is on, or tries. */
  path: Path
  /** From the moment it is dialled until it has ended. */
  connection: Connection | null = null
  /** Logged in. */
  up = false
  /** Its user has been told that it is down. */
  told = false
  readonly pause = new Pause()
  timer: NodeJS.Timeout | null = null
  probe: Probe | null = null

  constructor(preferred: Path) {
    this.preferred = preferred
    this.path = preferred
  }

  /** On a path that is not its own. */
  get astray(): boolean {
    return this.up && this.path !== this.preferred
  }

  goesUp(): void {
    this.up = true
    this.path.connections += 1
    this.path.opened += 1
    this.path.works()
  }

  /** Its connection has ended, or never was. */
  goesDown(): void {
    if (this.up) this.path.connections -= 1
    this.up = false
    this.connection = null
    this.rest()
  }

  /** Asks the path that it prefers after a pause, and again, until something answers there. */
  awaitPreferred(identity: LoginIdentity, timeoutMs: number, onAnswer: () => void): void {
    this.timer = setTimeout(() => {
      this.timer = null
      this.probe = new Probe(this.preferred.endpoint, identity, timeoutMs, (error) => {
        this.probe = null
        if (error === null) onAnswer()
        else this.awaitPreferred(identity, timeoutMs, onAnswer)
      })
    }, this.pause.take())
  }

  /** Whatever was to be tried later is not. */
  rest(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    this.probe?.cancel()
    this.probe = null
  }
}

export function laneOf(lanes: readonly SessionLane[], connection: Connection): SessionLane {
  const lane = lanes.find((it) => it.connection === connection)
  if (lane === undefined) throw new Error(`connection ${connection.cid} has no lane`)
  return lane
}
