/**
 * One session: its identity, its command window, the commands under way, and its connections, over
 * which a policy places the commands. At ErrorRecoveryLevel 0 a connection that is lost takes the session
 * with it (RFC 7143 section 7.1.5): its owner then logs in anew, and executes what was unanswered again.
 */
import { LogoutReason, type SessionParameters } from '@platter/protocol/iscsi'
import { CommandWindow } from './command-window.ts'
import { Connection, type ConnectionOwner } from './connection.ts'
import type { ConnectionSink } from './connection-sink.ts'
import { ConnectionLostError } from './errors.ts'
import type { LoginIdentity, LoginOutcome } from './login.ts'
import {
  COMMAND_COST_BYTES,
  type ConnectionPlace,
  type PlacementPolicy,
  placementPolicies,
} from './placement.ts'
import type { ScsiTransport } from './scsi-transport.ts'
import { PATH_TIMEOUT_MS } from './silence.ts'
import { type ScsiTask, TaskQueue } from './task.ts'
import type { TextDone } from './text-exchange.ts'

/** Commands under way at once; more wait here. A power of two: it is part of the tag. */
const SLOTS = 256
/** How long a target may take to abort a command, before its connection is given up. */
const ABORT_TIMEOUT_MS = 15_000
/** Tags with this bit are not those of commands; 0xffffffff is reserved. */
const CONTROL_TAG = 0x80000000

export interface SessionOptions {
  readonly identity: LoginIdentity
  /** CmdSN of the login; any will do. */
  readonly cmdSN: number
  readonly nowMs: number
  /** Which connection a command takes; the one with the least to do if not given. */
  readonly place?: PlacementPolicy
  /** See PATH_TIMEOUT_MS, which it is if not given. */
  readonly pathTimeoutMs?: number
  /** The leading connection is in full feature phase: commands may be executed, and others may join. */
  loggedIn(): void
  /** Another connection is, too. */
  joined?(connection: Connection): void
  /** A connection has failed to join, or was closed in an orderly way (null); the session goes on. */
  left?(connection: Connection, error: Error | null): void
  /** A unit has told, unasked, that something of it has changed. */
  scsiEvent?(): void
  /**
   * The session is over: with null after a logout, else with the reason. `unanswered` are the commands
   * that have no outcome, in the order of their CmdSN and then of `execute`: they are the owner's again.
   * `lost` is the connection that took the session with it.
   */
  ended(error: Error | null, unanswered: readonly ScsiTask[], lost: Connection): void
}

export class Session implements ScsiTransport, ConnectionOwner {
  readonly window: CommandWindow
  readonly #options: SessionOptions
  readonly #place: PlacementPolicy
  readonly #connections: Connection[] = []
  readonly #pending = new TaskQueue()
  readonly #slots: (ScsiTask | null)[] = new Array(SLOTS).fill(null)
  readonly #freeSlots: number[] = Array.from({ length: SLOTS }, (_, index) => SLOTS - 1 - index)
  #generation = 0
  #parameters: SessionParameters | null = null
  #bytesInFlight = 0
  #nextCid = 0
  /** The connection that a logout of the session was sent on. */
  #closing: Connection | null = null
  #controlTag = 0
  #tsih = 0
  #portalGroupTag: number | undefined
  #nowMs: number
  #ended = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.#place = options.place ?? placementPolicies['least-bytes']()
    this.window = new CommandWindow(options.cmdSN)
    this.#nowMs = options.nowMs
  }

  /** Given by the target at login; 0 before. */
  get tsih(): number {
    return this.#tsih
  }

  /** Of the portals that the session is at; undefined where the target does not tell. */
  get portalGroupTag(): number | undefined {
    return this.#portalGroupTag
  }

  get ended(): boolean {
    return this.#ended
  }

  /** What was agreed on at login; null before. */
  get parameters(): SessionParameters | null {
    return this.#parameters
  }

  /** Of all commands that have been executed and have not ended, those that wait here included. */
  get bytesInFlight(): number {
    return this.#bytesInFlight
  }

  get connections(): readonly Connection[] {
    return this.#connections
  }

  /**
   * Makes the leading connection or, after `loggedIn`, one that joins; call its `start` when the transport
   * is connected.
   */
  connect(sink: ConnectionSink, place: ConnectionPlace = onlyPlace()): Connection {
    const connection = new Connection({
      sink,
      place,
      identity: this.#options.identity,
      tsih: this.#tsih,
      cid: this.#nextCid,
      session: this,
      pathTimeoutMs: this.#options.pathTimeoutMs ?? PATH_TIMEOUT_MS,
      nowMs: this.#nowMs,
    })
    this.#nextCid = (this.#nextCid + 1) & 0xffff
    this.#connections.push(connection)
    return connection
  }

  /** As ScsiTransport. Throws an Error when the session has ended. */
  execute(task: ScsiTask): void {
    if (this.#ended) throw new Error('the session has ended')
    task.reset()
    this.#bytesInFlight += task.length + COMMAND_COST_BYTES
    this.#pending.push(task)
    this.resume()
  }

  /** Sends what the window, the tags and the network have room for. */
  resume(): void {
    if (this.#ended) return
    for (let task = this.#pending.head; task !== null; task = this.#pending.head) {
      if (!this.window.open || this.#freeSlots.length === 0) return
      const connection = this.#place(this.#connections, task.length)
      if (connection === undefined) return
      this.#pending.shift()
      const slot = this.#freeSlots.pop() as number
      this.#slots[slot] = task
      this.#generation = (this.#generation + 1) & 0x3fffff
      task.initiatorTaskTag = this.#generation * SLOTS + slot
      task.cmdSN = this.window.take()
      task.connection = connection
      task.deadlineMs = this.#nowMs + task.timeoutMs
      connection.sendCommand(task)
    }
  }

  /** Asks a question in text, such as SendTargets. */
  sendText(pairs: Parameters<Connection['sendText']>[0], done: TextDone): void {
    const connection = this.#connections[0]
    if (connection === undefined) throw new Error('the session has no connection')
    connection.sendText(pairs, done)
  }

  /** Ends it in an orderly way; commands under way have no outcome then. */
  logout(): void {
    const connection = this.#connections.find((it) => it.alive) ?? this.#connections[0]
    if (connection === undefined) return
    this.#closing = connection
    connection.logout(LogoutReason.CloseSession)
  }

  /** Executes no more, and logs out when what is under way has ended, or takes too long. */
  retire(): void {
    for (const connection of [...this.#connections]) {
      if (connection.entered) connection.retire()
    }
  }

  /** Called a few times in `pathTimeoutMs`, with a clock that never goes back. */
  onTimer(nowMs: number): void {
    this.#nowMs = nowMs
    for (const task of this.#slots) {
      if (task !== null && nowMs > task.deadlineMs) this.#overdue(task)
    }
    for (const connection of [...this.#connections]) connection.onTimer(nowMs)
  }

  #overdue(task: ScsiTask): void {
    const { connection } = task
    if (connection === null || connection.state !== 'LOGGED_IN' || task.answered) return
    if (task.aborting) {
      const waited = `ABORT TASK was not answered within ${ABORT_TIMEOUT_MS} ms`
      connection.fail(new ConnectionLostError(waited))
    } else {
      task.deadlineMs = this.#nowMs + ABORT_TIMEOUT_MS
      connection.abortTask(task)
    }
  }

  // What its connections need.

  takeControlTag(): number {
    this.#controlTag = (this.#controlTag + 1) & 0xffffff
    return CONTROL_TAG + this.#controlTag
  }

  taskOf(initiatorTaskTag: number, connection: Connection): ScsiTask | undefined {
    const task = this.#slots[initiatorTaskTag & (SLOTS - 1)]
    const isIt = task?.initiatorTaskTag === initiatorTaskTag && task.connection === connection
    return isIt && !task.answered ? task : undefined
  }

  taskEnded(task: ScsiTask): void {
    const slot = task.initiatorTaskTag & (SLOTS - 1)
    this.#slots[slot] = null
    this.#freeSlots.push(slot)
    this.#bytesInFlight -= task.length + COMMAND_COST_BYTES
    const { connection } = task
    task.connection = null
    connection?.commandEnded(task)
    task.done(task)
  }

  scsiEvent(): void {
    this.#options.scsiEvent?.()
  }

  parametersFor(connection: Connection, { parameters: own }: LoginOutcome): SessionParameters {
    this.#parameters ??= own
    if (connection.leading) return own
    const { headerDigest, dataDigest } = own
    const { maxRecvDataSegmentLength, peerMaxRecvDataSegmentLength } = own
    return {
      ...this.#parameters,
      headerDigest,
      dataDigest,
      maxRecvDataSegmentLength,
      peerMaxRecvDataSegmentLength,
    }
  }

  loggedIn(connection: Connection, outcome: LoginOutcome): void {
    if (connection.leading) {
      this.#tsih = outcome.tsih
      this.#portalGroupTag = outcome.portalGroupTag
      this.#options.loggedIn()
    } else this.#options.joined?.(connection)
  }

  /** The last one to be closed closes the session; so does one whose commands have not ended. */
  retired(connection: Connection): void {
    const others = this.#connections.some((it) => it !== connection && it.carries)
    if (others && connection.commandsInFlight === 0) connection.logout(LogoutReason.CloseConnection)
    else {
      this.#closing = connection
      connection.logout(LogoutReason.CloseSession)
    }
  }

  connectionEnded(connection: Connection, error: Error | null): void {
    this.#connections.splice(this.#connections.indexOf(connection), 1)
    if (this.#ended) return
    if (this.#goesOnWithout(connection, error)) this.#options.left?.(connection, error)
    else this.#end(error, connection)
  }

  #goesOnWithout(connection: Connection, error: Error | null): boolean {
    if (connection === this.#closing || !this.#connections.some((it) => it.entered)) return false
    // The target may close all of them at a logout that it has still to answer.
    return error === null || !connection.entered || this.#closing !== null
  }

  #end(error: Error | null, lost: Connection): void {
    this.#ended = true
    // Nothing may be written to the buffers of tasks that are handed back.
    for (const other of [...this.#connections]) {
      other.fail(new ConnectionLostError('given up with its session'))
    }
    const unanswered = this.#slots.filter((task) => task !== null)
    this.#slots.fill(null)
    unanswered.sort((a, b) => (a.cmdSN - b.cmdSN) | 0)
    for (let task = this.#pending.shift(); task !== null; task = this.#pending.shift()) {
      unanswered.push(task)
    }
    this.#options.ended(error, unanswered, lost)
  }
}

function onlyPlace(): ConnectionPlace {
  return { weight: 1, rank: 0, commandEnded: () => {} }
}
