/**
 * A session that comes back by itself, over any of its paths. When a connection is lost it logs in again, by
 * the first path that answers, and executes the commands that have no outcome anew, in their order; further
 * connections join as their paths answer. Its user notices a delay at most.
 *
 * The new login has the ISID of the old one, so it takes that session's place: the target first ends what it still
 * had of the old commands (RFC 7143 section 6.3.5), so no old write comes after a new one, within one portal group.
 */
import type { Connection } from '../session/connection.ts'
import { ConnectionLostError, PortalGroupError } from '../session/errors.ts'
import type { Lane } from '../session/placement.ts'
import type { ScsiTransport } from '../session/scsi-transport.ts'
import { Session } from '../session/session.ts'
import type { ScsiTask } from '../session/task.ts'
import { RunningClock } from './clock.ts'
import { laneOf, Pause, SessionLane } from './lane.ts'
import type { Path } from './path.ts'
import type { PersistentSessionOptions } from './session-options.ts'
import { SocketConnection } from './socket-connection.ts'
import { endWithout, WaitingTasks } from './waiting-tasks.ts'

/** A session that is lost sooner is not logged in to again at once: commands may be what breaks it. */
const STABLE_MS = 1000

export class PersistentSession implements ScsiTransport, Lane {
  readonly #options: PersistentSessionOptions
  readonly #lanes: SessionLane[]
  readonly #clock = new RunningClock()
  #session: Session | null = null
  #connected = false
  #everConnected = false
  /** One connection is all that it is to have, or may have. */
  #single = false
  #connectedMs = 0
  /** When the outage began that is on, or was the last. */
  #lostMs = performance.now()
  readonly #pause = new Pause()
  #timer: NodeJS.Timeout | null = null
  /** Paths that this attempt to come back has still to try. */
  #untried: Path[] = []
  /** Why the attempts before failed. */
  #refusal: Error | null = null
  #portalGroupTag: number | undefined
  /** It logs out to log in on the path that it prefers. */
  #moving = false
  #closing = false
  #onClosed: (() => void) | null = null
  #onFirst: ((error: Error | null) => void) | null = null
  readonly #waiting = new WaitingTasks()
  #cmdSN = 0
  credit = 0

  private constructor(options: PersistentSessionOptions) {
    this.#options = options
    const { paths } = options
    this.#lanes = Array.from(
      { length: options.connections },
      (_, index) => new SessionLane(paths[index % paths.length] as Path),
    )
    for (const path of paths) path.watch(() => this.#onPathWorks(path))
  }

  /** Logs in once; rejects when no path lets it, with the reason of the first. */
  static async connect(options: PersistentSessionOptions): Promise<PersistentSession> {
    const persistent = new PersistentSession(options)
    await new Promise<void>((resolve, reject) => {
      persistent.#onFirst = (error) => (error === null ? resolve() : reject(error))
      persistent.#comeBack()
    })
    return persistent
  }

  /** Logs in when it can, as after a loss. */
  static start(options: PersistentSessionOptions): PersistentSession {
    const persistent = new PersistentSession(options)
    persistent.#everConnected = true
    persistent.#comeBack()
    return persistent
  }

  /** What was agreed on with the target; null while there is no session. */
  get parameters() {
    return this.#session?.parameters ?? null
  }

  /** Connections that are logged in. */
  get connections(): readonly Connection[] {
    return this.#session?.connections.filter((it) => it.entered) ?? []
  }

  /** What is under way on a path. */
  bytesInFlightOn(path: Path): number {
    const lanes = this.#lanes.filter((lane) => lane.path === path)
    return lanes.reduce((sum, { connection }) => sum + (connection?.bytesInFlight ?? 0), 0)
  }

  // As a lane among several sessions.

  get alive(): boolean {
    return this.#connected
  }

  get ready(): boolean {
    return this.#connected && !this.#moving
  }

  get bytesInFlight(): number {
    return this.#waiting.bytes + (this.#session?.bytesInFlight ?? 0)
  }

  get hasUnsent(): boolean {
    return this.#session?.connections[0]?.hasUnsent ?? false
  }

  get weight(): number {
    return (this.#lanes[0] as SessionLane).path.weight
  }

  get rank(): number {
    return (this.#lanes[0] as SessionLane).path.rank
  }

  /** As ScsiTransport. After `close`, and when there has been no connection for too long, it fails. */
  execute(task: ScsiTask): void {
    task.executedMs = performance.now()
    if (this.#connected) this.#session?.execute(task)
    else if (this.#closing || this.#overdue(this.#lostMs)) endWithout(task, this.#reason())
    else this.#waiting.push(task)
  }

  /** Logs out and closes all connections. What is under way fails. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const lane of this.#lanes) lane.rest()
    const session = this.#session
    if (session === null || !this.#connected) {
      this.#waiting.failAll(this.#reason())
      session?.logout()
      return
    }
    await new Promise<void>((resolve) => {
      this.#onClosed = resolve
      session.logout()
    })
  }

  // The leading connection.

  /** Tries the paths one after the other: those that work, and then those that failed longest ago. */
  #comeBack(): void {
    this.#untried = this.#options.paths.filter((path) => this.#reaches(path))
    if (this.#untried.length === 0) {
      // Every portal has answered that it is in another group: the one that we were in is no more.
      this.#portalGroupTag = undefined
      this.#untried = [...this.#options.paths]
    }
    this.#untried.sort((one, other) => one.failedMs - other.failedMs)
    this.#refusal = null
    this.#dial()
  }

  /** Whether a login there takes the place of our session. */
  #reaches({ portalGroupTag }: Path): boolean {
    const own = this.#portalGroupTag
    return own === undefined || portalGroupTag === undefined || portalGroupTag === own
  }

  #dial(): void {
    this.#timer = null
    const path = this.#untried.shift() as Path
    const { identity, place, pathTimeoutMs } = this.#options
    const lane =
      this.#lanes.find(({ preferred }) => preferred === path) ?? (this.#lanes[0] as SessionLane)
    lane.path = path
    const session = new Session({
      identity: { ...identity, portalGroupTag: this.#portalGroupTag },
      cmdSN: this.#cmdSN++,
      nowMs: this.#clock.nowMs,
      place,
      pathTimeoutMs,
      loggedIn: () => this.#onLoggedIn(session, this.#leading(session, lane)),
      joined: (connection) => this.#onJoined(laneOf(this.#lanes, connection)),
      scsiEvent: () => this.#options.onScsiEvent?.(),
      left: (connection, error) => this.#onLeft(laneOf(this.#lanes, connection), error),
      ended: (error, unanswered, lost) =>
        this.#onEnded(session, error, unanswered, laneOf(this.#lanes, lost)),
    })
    this.#session = session
    // A path that does not answer is not to keep one waiting that would.
    this.#open(lane, session, pathTimeoutMs / (this.#untried.length > 0 ? 4 : 1))
  }

  /** The one connection of a session that may have no more is on the first lane, whatever its path. */
  #leading(session: Session, lane: SessionLane): SessionLane {
    const [first] = this.#lanes as [SessionLane]
    this.#single = this.#lanes.length === 1 || session.parameters?.maxConnections === 1
    if (!this.#single || lane === first) return lane
    first.path = lane.path
    first.connection = lane.connection
    lane.connection = null
    return first
  }

  #open(lane: SessionLane, session: Session, connectTimeoutMs: number): void {
    const { onFault } = this.#options
    new SocketConnection({
      endpoint: lane.path.endpoint,
      connectTimeoutMs,
      connect: (sink) => {
        lane.connection = session.connect(sink, lane.path)
        return lane.connection
      },
      onTick: () => session.onTimer(this.#clock.advance()),
      onFault,
    })
  }

  #onLoggedIn(session: Session, lane: SessionLane): void {
    this.#connected = true
    this.#everConnected = true
    this.#moving = false
    this.#connectedMs = performance.now()
    this.#portalGroupTag = session.portalGroupTag
    this.#onUp(lane)
    const first = this.#onFirst
    this.#onFirst = null
    first?.(null)
    if (this.#closing) session.logout()
    for (const task of this.#waiting.take()) session.execute(task)
    const others = this.#lanes.filter((it) => it !== lane && this.#reaches(it.preferred))
    const wanted = Math.min(others.length, (session.parameters?.maxConnections ?? 1) - 1)
    for (const other of others.slice(0, wanted)) this.#join(other)
    if (!lane.astray) lane.pause.reset()
    else if (this.#single) {
      const { identity, pathTimeoutMs } = this.#options
      lane.awaitPreferred(identity, pathTimeoutMs, () => this.#onPreferredAnswers(lane))
    }
  }

  #onUp(lane: SessionLane): void {
    lane.path.portalGroupTag = this.#portalGroupTag
    lane.goesUp()
    if (lane.told) {
      this.#options.onEvent?.({ type: 'restored', path: lane.path.name, alive: this.#alive })
    }
    lane.told = false
  }

  #onEnded(
    session: Session,
    error: Error | null,
    unanswered: readonly ScsiTask[],
    lost: SessionLane,
  ): void {
    if (this.#session !== session) return
    this.#session = null
    const wasConnected = this.#connected
    this.#connected = false
    const reason = error ?? new Error('the target asked us to log out')
    this.#waiting.putBack(unanswered)
    if (wasConnected && error !== null) lost.path.lost += 1
    if (error !== null) this.#onFailure(lost.path, error)
    this.#refusal ??= reason
    for (const lane of this.#lanes) if (lane.path === lost.path) lane.goesDown()
    const alive = this.#alive
    for (const lane of this.#lanes) lane.goesDown()
    if (this.#closing || !this.#everConnected) this.#onNeverAgain(reason)
    else if (wasConnected) this.#onLost(reason, lost, alive)
    else this.#onRefused(reason, lost)
  }

  /** It was to end, or has never been; unless another path may still do. */
  #onNeverAgain(reason: Error): void {
    if (!this.#closing && this.#untried.length > 0) {
      this.#dial()
      return
    }
    this.#waiting.failAll(reason)
    this.#onClosed?.()
    this.#onFirst?.(this.#refusal ?? reason)
  }

  #onLost(reason: Error, lane: SessionLane, alive: number): void {
    const moving = this.#moving
    this.#moving = false
    this.#lostMs = performance.now()
    if (!moving) this.#tellDown('lost', lane, reason, alive)
    this.#failOverdue(reason)
    const stable = this.#lostMs - this.#connectedMs > STABLE_MS
    if (stable) this.#pause.reset()
    if (stable || moving) this.#comeBack()
    else this.#comeBackLater()
  }

  #onRefused(reason: Error, lane: SessionLane): void {
    this.#tellDown('refused', lane, reason, 0)
    this.#failOverdue(reason)
    if (this.#untried.length > 0) this.#dial()
    else this.#comeBackLater()
  }

  #comeBackLater(): void {
    this.#timer = setTimeout(() => this.#comeBack(), this.#pause.take())
  }

  #onFailure(path: Path, error: Error): void {
    if (error instanceof PortalGroupError) path.portalGroupTag = error.got
    path.fails(error)
  }

  // The connections that join it.

  #join(lane: SessionLane): void {
    lane.timer = null
    if (!this.#connected || this.#session === null || this.#closing) return
    lane.path = lane.preferred
    this.#open(lane, this.#session, this.#options.pathTimeoutMs)
  }

  #onJoined(lane: SessionLane): void {
    lane.pause.reset()
    this.#onUp(lane)
  }

  /** It could not join, or the target wanted it to be closed; the session goes on. */
  #onLeft(lane: SessionLane, error: Error | null): void {
    lane.goesDown()
    if (error !== null) {
      this.#onFailure(lane.path, error)
      if (!lane.told) this.#tellDown('refused', lane, error, this.#alive)
    }
    if (!this.#closing && this.#reaches(lane.path)) {
      lane.timer = setTimeout(() => this.#join(lane), lane.pause.take())
    }
  }

  // Back to the path that it prefers.

  #onPreferredAnswers(lane: SessionLane): void {
    // This session hears of it as well.
    if (lane.preferred.suspect) lane.preferred.works()
    else this.#moveBack(lane)
  }

  #moveBack(lane: SessionLane): void {
    if (this.#moving || this.#closing) return
    lane.rest()
    this.#moving = true
    this.#session?.retire()
  }

  /** Somebody has found a path working that had failed: whoever waits for it need not any longer. */
  #onPathWorks(path: Path): void {
    if (this.#closing || !this.#everConnected) return
    if (!this.#connected) {
      if (this.#timer === null || !this.#reaches(path)) return
      clearTimeout(this.#timer)
      this.#comeBack()
      return
    }
    for (const lane of this.#lanes) {
      if (lane.preferred !== path) continue
      if (lane.astray && this.#single) this.#moveBack(lane)
      else if (lane.timer !== null && !lane.up) {
        clearTimeout(lane.timer)
        this.#join(lane)
      }
    }
  }

  get #alive(): number {
    return this.#lanes.filter(({ up }) => up).length
  }

  #tellDown(type: 'lost' | 'refused', lane: SessionLane, error: Error, alive: number): void {
    lane.told = true
    this.#options.onEvent?.({ type, path: lane.path.name, alive, error })
  }

  #overdue(sinceMs: number): boolean {
    return performance.now() - sinceMs > this.#options.retryForMs
  }

  /** Fails all that waits when the outage lasts too long; else what has seen too many of them. */
  #failOverdue(cause: Error): void {
    const all = this.#overdue(this.#lostMs)
    this.#waiting.failOverdue((task) => all || this.#overdue(task.executedMs), this.#reason(cause))
  }

  #reason(cause?: Error): Error {
    if (this.#closing) return new Error('the session is closed')
    const why = `no connection for ${this.#options.retryForMs} ms`
    return new ConnectionLostError(cause ? `${why}: ${cause.message}` : why, { cause })
  }
}
