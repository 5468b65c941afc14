/**
 * One session: its identity, parameters, connections, tasks, and the order of its commands, which
 * all its connections share. What a connection does with its PDUs is in full-feature-phase.ts.
 */
import {
  AsyncEvent,
  formatInitiatorPort,
  formatTargetPort,
  RESERVED_TAG,
  type ScsiCommand,
  type SessionParameters,
  serialAdd,
  serialLess,
} from '@platter/protocol/iscsi'
import type { Nexus, TaskExecutor } from '../scsi/scsi-task.ts'
import { abortAll, failAll, tasksOf } from './abort.ts'
import type { CommandWindow } from './command-window.ts'
import type { CloseReason } from './connection-sink.ts'
import type { Responder } from './responder.ts'
import { type FencedConnection, ResponseFence } from './response-fence.ts'
import { Task, type TaskOwner, TaskStage } from './task.ts'

/** Who a session belongs to. `isid` is twelve hexadecimal digits. */
export interface SessionIdentity {
  readonly type: 'Normal' | 'Discovery'
  readonly initiatorName: string
  /** As in LoginIdentity. */
  readonly targetPort: string
  /** What its first login has shown, for people. */
  readonly authentication: string
  readonly initiatorAlias: string | undefined
  /** As the initiator declared it, for people only. */
  readonly nodeArchitecture: string | undefined
  readonly isid: string
  readonly tsih: number
}

/** A command that is not SCSI and came before its turn: its bytes, and how to act on them. */
export interface EarlyPdu {
  /** The connection that brought it; none for a place that is kept. */
  readonly sender?: object
  deliver(): void
}

/** A connection, as its session sees it. */
export interface SessionConnection extends TaskOwner, FencedConnection {
  readonly cid: number
  /** Its two ends as `host:port`, for people. */
  readonly remote: string
  readonly local: string
  readonly responder: Responder
  /** Asks the initiator to log out, and ends the connection if it has not after `seconds`. */
  requestLogout(nowMs: number, seconds: number, detail: string): void
  /** Ends the connection from the session's side; `closed` follows. */
  end(reason: CloseReason, detail: string): void
}

/** Immediate commands that may be in progress beside the window's (RFC 7143 section 4.2.2.1). */
export const IMMEDIATE_TASKS = 8

/** The iSCSIProtocolLevel from which on the functions of RFC 7144 may be used. */
export const RFC_7144_LEVEL = 2

/** The version descriptor of iSCSI at level 0 (RFC 7144 section 4.2). */
const ISCSI_VERSION = 0x0960

/** How long an aborted task waits for what its R2Ts asked for, in ms: open-iscsi may send no more. */
const ABORTED_DATA_MS = 2000

export class Session {
  readonly identity: SessionIdentity
  readonly parameters: SessionParameters
  readonly window: CommandWindow
  readonly connections = new Map<number, SessionConnection>()
  readonly fence = new ResponseFence(this.connections)
  readonly executor: TaskExecutor
  readonly nexus: Nexus
  /** Active tasks by Initiator Task Tag. */
  readonly tasks = new Map<number, Task>()
  /** Initiator Task Tags of task management requests that are not answered yet; at most IMMEDIATE_TASKS. */
  readonly managing = new Set<number>()
  readonly #records: Task[] = []
  readonly #free: Task[] = []
  #immediateTasks = 0
  /** Commands that wait for an earlier CmdSN; bounded by the window. */
  readonly #early = new Map<number, Task | EarlyPdu>()
  /** Who waits until all commands before a CmdSN have come: some of `managing`. */
  #awaiting: { readonly cmdSN: number; readonly proceed: () => void }[] = []
  #onEmpty: (() => void) | null = null
  #nexusOpen = true

  constructor(options: {
    identity: SessionIdentity
    targetName: string
    targetPortalGroupTag: number
    parameters: SessionParameters
    window: CommandWindow
    executor: TaskExecutor
  }) {
    this.identity = options.identity
    this.parameters = options.parameters
    this.window = options.window
    this.executor = options.executor
    const { identity, targetName, targetPortalGroupTag } = options
    const { initiatorName, isid } = identity
    const { iSCSIProtocolLevel } = options.parameters
    this.nexus = this.executor.openNexus(formatInitiatorPort(initiatorName, isid), {
      answersQueries: iSCSIProtocolLevel >= RFC_7144_LEVEL,
      targetDevice: targetName,
      targetPort: formatTargetPort(targetName, targetPortalGroupTag),
      versionDescriptor: ISCSI_VERSION + iSCSIProtocolLevel,
      abortTasks: (chosen, done) => abortAll(tasksOf([this], chosen), done),
      failTasks: (senseOf, done) => failAll(this, senseOf, done),
      reportEvent: (lun, sense) => this.#reportEvent(lun, sense),
    })
  }

  /** A record for a command, or undefined when too many immediate ones are in progress. */
  beginTask(command: ScsiCommand, owner: TaskOwner): Task | undefined {
    if (command.immediate && this.#immediateTasks >= IMMEDIATE_TASKS) return undefined
    let task = this.#free.pop()
    if (task === undefined) {
      task = new Task(this.#records.length)
      this.#records.push(task)
    }
    if (command.immediate) this.#immediateTasks++
    task.begin(command, owner)
    this.tasks.set(task.initiatorTaskTag, task)
    return task
  }

  /**
   * A task's outcome is settled: its tag and its place in the window are free, and the record can
   * be used again, though what it says of the outcome stays readable until then.
   */
  endTask(task: Task): void {
    this.tasks.delete(task.initiatorTaskTag)
    if (task.immediate) this.#immediateTasks--
    else if (this.#early.size > 0 && this.#early.get(task.cmdSN) === task) this.#endEarly(task)
    else this.window.release()
    this.executor.ended(task)
    task.end()
    this.#free.push(task)
    if (this.#onEmpty !== null && this.tasks.size === 0) this.#settle()
  }

  /** Aborted before its turn: it has its place all the same, unless its connection took it along (section 11.14). */
  #endEarly({ cmdSN, owner }: Task): void {
    if (owner.isLeaving) this.#early.delete(cmdSN)
    else this.keepPlace(cmdSN)
  }

  /**
   * As `endTask`, for a task that gets no response. Where no other PDU is due that would tell of its place in the
   * window, one is sent for that (RFC 7143 section 11.4.11).
   */
  endAborted(task: Task): void {
    const { window } = this
    const { maxCmdSN } = window
    const wasClosed = serialLess(maxCmdSN, window.expCmdSN)
    this.endTask(task)
    const opened = window.maxCmdSN !== maxCmdSN && (wasClosed || this.tasks.size === 0)
    if (opened && this.managing.size === 0) this.#eventResponder()?.ping(RESERVED_TAG)
  }

  /** Keeps a command until those before it have come. A CmdSN that is kept already is ignored. */
  keepEarly(cmdSN: number, command: Task | EarlyPdu): void {
    this.#early.set(cmdSN, command)
  }

  /** Keeps the place of a command that is not to be executed; it is given back when its turn has come. */
  keepPlace(cmdSN: number): void {
    this.#early.set(cmdSN, { deliver: () => this.window.release() })
  }

  isKept(cmdSN: number): boolean {
    return this.#early.has(cmdSN)
  }

  /**
   * Calls `proceed` when every command before `cmdSN` has come: at once, if that is so already or
   * `cmdSN` is beyond what may be sent.
   */
  whenReceived(cmdSN: number, proceed: () => void): void {
    const { expCmdSN, maxCmdSN } = this.window
    const mayCome = serialLess(expCmdSN, cmdSN) && !serialLess(serialAdd(maxCmdSN, 1), cmdSN)
    if (mayCome) this.#awaiting.push({ cmdSN, proceed })
    else proceed()
  }

  /** Takes every command before `cmdSN` that has not come as come and aborted. */
  plug(cmdSN: number): void {
    const { expCmdSN, maxCmdSN } = this.window
    if (serialLess(serialAdd(maxCmdSN, 1), cmdSN)) return
    for (let sn = expCmdSN; serialLess(sn, cmdSN); sn = serialAdd(sn, 1)) {
      if (!this.isKept(sn)) this.keepPlace(sn)
    }
    this.runEarly()
  }

  /** Runs the commands whose turn has come since the last call. */
  runEarly(): void {
    while (this.#early.size > 0) {
      const { expCmdSN } = this.window
      const command = this.#early.get(expCmdSN)
      if (command === undefined) break
      this.#early.delete(expCmdSN)
      this.window.advance()
      if (command instanceof Task) this.execute(command)
      else command.deliver()
    }
    if (this.#awaiting.length > 0) this.#proceed()
  }

  #proceed(): void {
    const { expCmdSN } = this.window
    const due = this.#awaiting.filter(({ cmdSN }) => !serialLess(expCmdSN, cmdSN))
    if (due.length === 0) return
    this.#awaiting = this.#awaiting.filter(({ cmdSN }) => serialLess(expCmdSN, cmdSN))
    for (const { proceed } of due) proceed()
  }

  /** Asks the initiator to log out of every connection (RFC 7143 section 11.9.1). */
  requestLogout(nowMs: number, seconds: number, detail: string): void {
    for (const connection of [...this.connections.values()]) {
      connection.requestLogout(nowMs, seconds, detail)
    }
  }

  /** Tells the initiator that all connections are about to be dropped. */
  announceEnd(): void {
    const { defaultTime2Wait, defaultTime2Retain } = this.parameters
    const parameters = [0, defaultTime2Wait, defaultTime2Retain] as const
    this.#eventResponder()?.asyncMessage(AsyncEvent.SessionDropped, parameters)
  }

  #reportEvent(lun: Buffer, sense: Buffer): void {
    if (this.identity.type === 'Normal') this.#eventResponder()?.scsiEvent(lun, sense)
  }

  #eventResponder(): Responder | undefined {
    for (const { isLeaving, responder } of this.connections.values()) {
      if (!isLeaving) return responder
    }
    return undefined
  }

  /** Called about once a second for each connection, with a clock that never goes back. */
  onTimer(connection: SessionConnection, nowMs: number): void {
    for (const task of this.tasks.values()) {
      if (!task.dataAwaited || task.owner !== connection) continue
      if (task.dataAwaitedUntilMs === 0) task.dataAwaitedUntilMs = nowMs + ABORTED_DATA_MS
      else if (nowMs >= task.dataAwaitedUntilMs) task.awaitNoData()
    }
  }

  execute(task: Task): void {
    task.stage = TaskStage.Executing
    this.executor.execute(task)
  }

  /**
   * Takes a task back from the SCSI layer. When storage operations are still under way the record
   * stays taken until they have ended: its owner's `abortEnded` is called then, or at once.
   */
  abort(task: Task): void {
    const { stage } = task
    if (stage === TaskStage.Aborted || stage === TaskStage.Free) return
    task.stage = TaskStage.Aborted
    if (!task.failing) task.unsolicitedOpen = false
    if (stage !== TaskStage.Waiting && task.owner.isLeaving) this.executor.connectionLost(task)
    if (stage === TaskStage.Executing) this.executor.aborted(task)
    if (task.pendingIo === 0) task.owner.abortEnded(task)
  }

  /** Aborts what a connection that is gone had in progress, and forgets what it sent early. */
  removeConnection(connection: SessionConnection): void {
    if (this.connections.get(connection.cid) === connection) {
      this.connections.delete(connection.cid)
    }
    for (const [cmdSN, early] of this.#early) {
      if ('sender' in early && early.sender === connection) this.#early.delete(cmdSN)
    }
    for (const task of [...this.tasks.values()]) {
      if (task.owner !== connection) continue
      task.awaitNoData()
      this.abort(task)
    }
  }

  /** Ends every connection, and so the session. */
  endConnections(detail: string): void {
    for (const connection of [...this.connections.values()]) {
      connection.end('session-ended', detail)
    }
  }

  /** Ends every connection; then, when no task is left, the nexus. `ended` is called once that is so. */
  close(reason: CloseReason, detail: string, ended: () => void): void {
    for (const connection of [...this.connections.values()]) connection.end(reason, detail)
    this.#early.clear()
    this.#awaiting = []
    for (const task of [...this.tasks.values()]) this.abort(task)
    this.#onEmpty = ended
    if (this.tasks.size === 0) this.#settle()
  }

  #settle(): void {
    const ended = this.#onEmpty
    this.#onEmpty = null
    if (this.#nexusOpen) this.executor.closeNexus(this.nexus)
    this.#nexusOpen = false
    ended?.()
  }
}
