/**
 * One session: its identity, its command window, the commands under way, and its connections. One
 * connection for now; commands are placed by a policy, and everything that connections do not share
 * is in them already.
 */

import { CommandWindow } from './command-window.ts'
import { Connection, type ConnectionOwner } from './connection.ts'
import type { ConnectionSink } from './connection-sink.ts'
import { ConnectionLostError } from './errors.ts'
import type { LoginIdentity, LoginOutcome } from './login.ts'
import type { ScsiTransport } from './scsi-transport.ts'
import { type ScsiTask, TaskQueue } from './task.ts'
import type { TextDone } from './text-exchange.ts'

/** Commands under way at once; more wait here. A power of two: it is part of the tag. */
const SLOTS = 256
/** How long a target may take to abort a command, before its connection is given up. */
const ABORT_TIMEOUT_MS = 15_000
/** Tags with this bit are not those of commands; 0xffffffff is reserved. */
const CONTROL_TAG = 0x80000000

/** Picks the connection for a command, or undefined if none can take it now. */
export type PlacementPolicy = (
  connections: readonly Connection[],
  task: ScsiTask,
) => Connection | undefined

/** The first that can take it. */
export const placeOnFirst: PlacementPolicy = (connections) =>
  connections.find((connection) => connection.ready)

export interface SessionOptions {
  readonly identity: LoginIdentity
  /** CmdSN of the login; any will do. */
  readonly cmdSN: number
  readonly nowMs: number
  readonly place?: PlacementPolicy
  /** The leading connection is in full feature phase: commands may be executed. */
  loggedIn(): void
  /**
   * The session is over: with null after a logout, else with the reason. `unanswered` are the commands
   * that have no outcome, in the order of their CmdSN and then of `execute`: they are the owner's again.
   */
  ended(error: Error | null, unanswered: readonly ScsiTask[]): void
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
  #controlTag = 0
  #tsih = 0
  #nowMs: number
  #ended = false

  constructor(options: SessionOptions) {
    this.#options = options
    this.#place = options.place ?? placeOnFirst
    this.window = new CommandWindow(options.cmdSN)
    this.#nowMs = options.nowMs
  }

  /** Given by the target at login; 0 before. */
  get tsih(): number {
    return this.#tsih
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Makes the leading connection; call its `start` when the transport is connected. */
  connect(sink: ConnectionSink): Connection {
    const connection = new Connection({
      sink,
      identity: this.#options.identity,
      tsih: this.#tsih,
      cid: this.#connections.length,
      session: this,
      nowMs: this.#nowMs,
    })
    this.#connections.push(connection)
    return connection
  }

  /** As ScsiTransport. Throws an Error when the session has ended. */
  execute(task: ScsiTask): void {
    if (this.#ended) throw new Error('the session has ended')
    task.reset()
    this.#pending.push(task)
    this.resume()
  }

  /** Sends what the window, the tags and the network have room for. */
  resume(): void {
    if (this.#ended) return
    for (let task = this.#pending.head; task !== null; task = this.#pending.head) {
      if (!this.window.open || this.#freeSlots.length === 0) return
      const connection = this.#place(this.#connections, task)
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
    for (const connection of this.#connections) connection.logout()
  }

  /** Called about once a second, with a clock that never goes back. */
  onTimer(nowMs: number): void {
    this.#nowMs = nowMs
    for (const task of this.#slots) {
      if (task !== null && nowMs > task.deadlineMs) this.#overdue(task)
    }
    for (const connection of [...this.#connections]) connection.onTimer(nowMs)
  }

  #overdue(task: ScsiTask): void {
    const { connection } = task
    if (connection === null || connection.state !== 'LOGGED_IN') return
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

  taskOf(initiatorTaskTag: number): ScsiTask | undefined {
    const task = this.#slots[initiatorTaskTag & (SLOTS - 1)]
    return task?.initiatorTaskTag === initiatorTaskTag ? task : undefined
  }

  taskEnded(task: ScsiTask): void {
    const slot = task.initiatorTaskTag & (SLOTS - 1)
    this.#slots[slot] = null
    this.#freeSlots.push(slot)
    task.connection = null
    task.done(task)
  }

  loggedIn(_connection: Connection, outcome: LoginOutcome): void {
    this.#tsih = outcome.tsih
    this.#options.loggedIn()
  }

  connectionEnded(connection: Connection, error: Error | null): void {
    this.#connections.splice(this.#connections.indexOf(connection), 1)
    if (this.#ended || this.#connections.length > 0) return
    this.#ended = true
    const unanswered = this.#slots.filter((task) => task !== null)
    this.#slots.fill(null)
    unanswered.sort((a, b) => (a.cmdSN - b.cmdSN) | 0)
    for (let task = this.#pending.shift(); task !== null; task = this.#pending.shift()) {
      unanswered.push(task)
    }
    this.#options.ended(error, unanswered)
  }
}
