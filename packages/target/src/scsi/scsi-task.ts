/**
 * The seam between a transport (iSCSI) and the SCSI layer: one command's life (SAM-5 section 5).
 * The transport implements ScsiTask with preallocated records and calls TaskExecutor; the SCSI layer
 * implements TaskExecutor and says, through ScsiTask, what is to be moved and how the command ends.
 * It never touches a PDU; the transport never looks into a CDB.
 */
import type { IoCompletion, VolumeError } from '../volume/volume.ts'

export type { IoCompletion, VolumeError }

/** Where the bytes of a READ come from. Volume satisfies it; see volume.ts for the contract. */
export interface ExtentSource {
  readonly blockSizeBytes: number
  readNow(offset: number, into: Buffer, position: number, length: number): boolean
  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void
}

/** Where the bytes of a WRITE go. Volume satisfies it; see volume.ts for the contract. */
export interface ExtentDestination {
  readonly blockSizeBytes: number
  writeNow(offset: number, from: Buffer, position: number, length: number): boolean
  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void
}

/** One I_T nexus as the SCSI layer knows it: made by `openNexus`, opaque to the transport. */
export interface Nexus {
  /** Initiator port name: for iSCSI `<InitiatorName>,i,0x<ISID>` (SAM-5 annex A). */
  readonly initiatorPort: string
}

/** The transport's end of a nexus: how the SCSI layer stops what one nexus has in progress for another's sake. */
export interface NexusTransport {
  /** Whether the initiator may ask about tasks and events, and reset its nexus (SAM-5 sections 7.6, 7.8 to 7.10). */
  readonly answersQueries: boolean
  /** The SCSI device and its port that the nexus leads to, by the names that the transport gives them. */
  readonly targetDevice: string
  readonly targetPort: string
  /** What the transport conforms to on this nexus, as a version descriptor (SPC-4 section 6.6.2). */
  readonly versionDescriptor: number
  /**
   * Aborts the tasks of the nexus that `chosen` picks, each asked about once, as task management
   * does. `done` is called when the last of their storage operations has ended; at once if none is
   * under way.
   */
  abortTasks(chosen: (task: ScsiTask) => boolean, done: () => void): void
  /**
   * Ends the tasks for which `senseOf` has sense data, each asked about once, with CHECK CONDITION: it
   * takes them back at once, and answers them when the initiator has sent the data that it is to send.
   * `done` is called then.
   */
  failTasks(senseOf: (task: ScsiTask) => Buffer | null, done: () => void): void
  /**
   * Tells the initiator of an event of the unit at `lun` (eight bytes) that it did not cause, before it
   * sends the command that the unit attention would meet. The bytes of both are copied.
   */
  reportEvent(lun: Buffer, sense: Buffer): void
}

/** When a command may begin, beside the others of its unit (SAM-5 section 8.6). */
export const TaskAttribute = {
  Simple: 0,
  Ordered: 1,
  HeadOfQueue: 2,
  /** ACA, or one that no standard knows. */
  Other: 3,
} as const
export type TaskAttribute = (typeof TaskAttribute)[keyof typeof TaskAttribute]

/** Continues a command after something it waited for: a plain function, so that none is made per command. */
export type TaskStep = (task: ScsiTask, error: VolumeError | null) => void

/**
 * A command in the hands of the SCSI layer, from `TaskExecutor.execute` until it calls one of the
 * methods that end it (`finish`, `checkCondition`, `sendData`, or `sendExtent` when that succeeds),
 * or the transport aborts it. After either, the record may be used for another command. Set `next`
 * before starting whatever calls it.
 */
export interface ScsiTask {
  readonly nexus: Nexus
  /** Eight-byte LUN (SAM-5 section 4.7), at `lunBuffer[lunPosition]`; valid during `execute` and `isForUnit`. */
  readonly lunBuffer: Buffer
  readonly lunPosition: number
  /** The CDB, padded with zeros to 16 bytes, at `cdb[cdbPosition]`; it stays valid until the command ends. */
  readonly cdb: Buffer
  readonly cdbPosition: number
  readonly attribute: TaskAttribute
  /** Bytes the initiator says it will send for this command; 0 when it sends none. */
  readonly dataOutLength: number
  /** Run after `receiveExtent`, `receiveData`, a failed `sendExtent`, and each operation begun with `awaitIo`. */
  next: TaskStep
  /** Scratch for the SCSI layer: the logical unit, and one number or object, kept between steps. */
  unit: unknown
  state: unknown
  /** The SCSI layer's as well: whether task-set.ts has let the task begin; false when a command comes. */
  isEnabled: boolean
  /** Where block-access.ts has the task; -1 when a command comes. */
  blockAccessIndex: number
  /**
   * To be set before the command ends: its response overtakes none of the nexus, and none overtakes it. False
   * when a command comes.
   */
  isFenced: boolean

  /** Ends the command without data: GOOD, RESERVATION CONFLICT, BUSY, … */
  finish(status: number): void
  /** Ends the command with CHECK CONDITION and these sense bytes, which the transport copies. */
  checkCondition(sense: Buffer): void
  /**
   * Ends the command with GOOD and these parameter data, already cut to the allocation length. The
   * transport sends no more than the initiator expects, reports the residual, and copies the bytes.
   */
  sendData(data: Buffer): void
  /**
   * Moves `length` bytes at `offset` of the medium to the initiator, and ends with GOOD. If reading
   * fails, nothing has ended: `next` is called with the error.
   */
  sendExtent(source: ExtentSource, offset: number, length: number): void
  /**
   * Moves `length` bytes from the initiator to `offset` of the medium, in whole blocks as they
   * arrive, then calls `next`. If the initiator sends fewer, only whole blocks of what came are
   * written. The first write error is what `next` is told, after all data has been taken in.
   */
  receiveExtent(destination: ExtentDestination, offset: number, length: number): void
  /**
   * Gathers `length` bytes of parameter data from the initiator, then calls `next`; `dataOut` holds
   * what came, until the command ends. A length beyond `TaskExecutor.dataOutMaxBytes` must not be asked.
   */
  receiveData(length: number): void
  /** What `receiveData` gathered; its length is what really came, which may be less than was asked. */
  readonly dataOut: Buffer
  /**
   * The completion to hand to one Volume operation: `volume.flush(task.awaitIo())`. `next` runs with
   * its outcome, unless the command has been aborted meanwhile. The record is not used for another
   * command before every operation announced in this way has ended.
   */
  awaitIo(): IoCompletion
}

/** What LOGICAL UNIT RESET and its like can answer; RFC 7143 section 11.6.1 has the numbers. */
export type TaskManagementOutcome = 'complete' | 'lun-does-not-exist' | 'not-supported'

/** An event that an initiator would be told of with its next command (SAM-5 section 7.8). */
export interface PendingEvent {
  /** Whether there are more of that unit. */
  readonly more: boolean
  readonly senseKey: number
  readonly additionalSenseCode: number
  readonly additionalSenseCodeQualifier: number
}

/** The SCSI target device, as a transport drives it. */
export interface TaskExecutor {
  /** The most that one command may gather with `receiveData`, in bytes. */
  readonly dataOutMaxBytes: number
  /** A session came to full feature phase. The nexus lives until `closeNexus`. */
  openNexus(initiatorPort: string, transport: NexusTransport): Nexus
  /** I_T nexus loss (SAM-5 section 6.3.4): its session ended. No task of it is in the executor's hands any more. */
  closeNexus(nexus: Nexus): void
  /** A command whose turn has come. Everything else happens through `task`. */
  execute(task: ScsiTask): void
  /** The transport has aborted the task: forget it. Nothing may be called on it afterwards. */
  aborted(task: ScsiTask): void
  /** Called before `aborted` when the task ends with its connection: its nexus, if that goes on, is to be told. */
  connectionLost(task: ScsiTask): void
  /**
   * The data of the task are lost or too few: nothing more is done with them, and the task is ended with
   * ABORTED COMMAND. `additionalSense` is ASC and ASCQ, as in 0x4705.
   */
  dataFailed(task: ScsiTask, additionalSense: number): void
  /**
   * A task is over, however it ended, and no operation of it is under way: its record may be used
   * again once this returns. Called once, also for a task that never came to `execute`; from within
   * whatever the transport is doing, so nothing may be done to any task here.
   */
  ended(task: ScsiTask): void
  /** Whether `nexus` sees a logical unit at `lun`, eight bytes. */
  hasUnit(nexus: Nexus, lun: Buffer): boolean
  /** Whether `task` is for the logical unit that `nexus` sees at `lun`: it may be at another LUN there. */
  isForUnit(task: ScsiTask, nexus: Nexus, lun: Buffer): boolean
  /** Whether `task` is for some logical unit that `nexus` sees as well. */
  isVisible(task: ScsiTask, nexus: Nexus): boolean
  /**
   * LOGICAL UNIT RESET (SAM-5 section 7.7): the transport has aborted every task of every nexus for
   * that unit already. `lun` holds the eight bytes.
   */
  resetLogicalUnit(nexus: Nexus, lun: Buffer): TaskManagementOutcome
  /**
   * CLEAR TASK SET by `nexus`: the transport has aborted tasks of `cleared`, which `nexus` may be among,
   * for the unit that `nexus` sees at `lun`.
   */
  taskSetCleared(nexus: Nexus, lun: Buffer, cleared: Iterable<Nexus>): void
  /** The oldest event that `nexus` has not been told of, of the unit that it sees at `lun`, if any. */
  pendingEvent(nexus: Nexus, lun: Buffer): PendingEvent | undefined
  /** TARGET WARM or COLD RESET: as `resetLogicalUnit` for every logical unit that `nexus` sees. */
  resetTarget(nexus: Nexus): TaskManagementOutcome
}
