/**
 * A small SCSI layer for tests of the session: opcode 28h reads and 2Ah writes blocks of a volume,
 * 12h answers with parameter data, 55h gathers some, 35h waits for a flush; the rest is CHECK CONDITION.
 */
import { encodeFixedSense, SenseKey, senseOf } from '@platter/protocol/scsi'
import type {
  Nexus,
  NexusTransport,
  PendingEvent,
  ScsiTask,
  TaskAttribute,
  TaskExecutor,
  TaskManagementOutcome,
} from '../../src/scsi/scsi-task.ts'
import type { Task } from '../../src/session/task.ts'
import type { Volume } from '../../src/volume/volume.ts'

export const BLOCK_BYTES = 512
/** The operation code that ends with a fenced CHECK CONDITION. */
export const FENCED = 0xf0
export const SENSE = Buffer.from('700005000000000a00000000200000000000', 'hex')

export class BlockExecutor implements TaskExecutor {
  readonly dataOutMaxBytes = 65536
  readonly volume: Volume
  readonly nexuses: Nexus[] = []
  readonly transports: NexusTransport[] = []
  readonly closedNexuses: Nexus[] = []
  readonly executed: number[] = []
  readonly attributes: TaskAttribute[] = []
  readonly gathered: Buffer[] = []
  readonly abortedTasks: ScsiTask[] = []
  /** Of tasks that ended with their connection. */
  readonly lostTags: number[] = []
  readonly endedTasks: ScsiTask[] = []
  readonly resets: string[] = []
  /** By the second byte of their LUN. */
  readonly events = new Map<number, PendingEvent>()
  /** Nexuses whose tasks another has cleared. */
  readonly cleared: Nexus[] = []

  constructor(volume: Volume) {
    this.volume = volume
  }

  openNexus(initiatorPort: string, transport: NexusTransport): Nexus {
    const nexus = { initiatorPort }
    this.nexuses.push(nexus)
    this.transports.push(transport)
    return nexus
  }

  closeNexus(nexus: Nexus): void {
    this.closedNexuses.push(nexus)
  }

  execute(task: ScsiTask): void {
    const opcode = task.cdb[0] as number
    const offset = task.cdb.readUInt32BE(2) * BLOCK_BYTES
    const length = task.cdb.readUInt16BE(7) * BLOCK_BYTES
    this.attributes.push(task.attribute)
    this.executed.push(task.cdb.readUInt32BE(2))
    if ((opcode & 0xfd) === 0x28 && offset + length > this.volume.sizeBytes) {
      task.checkCondition(SENSE)
    } else if (opcode === 0x28) {
      task.next = (failed) => failed.checkCondition(SENSE)
      task.sendExtent(this.volume, offset, length)
    } else if (opcode === 0x2a) {
      task.next = (done, error) => (error ? done.checkCondition(SENSE) : done.finish(0))
      task.receiveExtent(this.volume, offset, length)
    } else if (opcode === 0x12) {
      task.sendData(Buffer.alloc(task.cdb[4] as number, 0x5a))
    } else if (opcode === 0x55) {
      task.next = (done) => {
        this.gathered.push(Buffer.from(done.dataOut))
        done.finish(0)
      }
      task.receiveData(task.cdb.readUInt16BE(7))
    } else if (opcode === 0x35) {
      task.next = (done) => done.finish(0)
      this.volume.flush(task.awaitIo())
    } else {
      task.isFenced = opcode === FENCED
      task.checkCondition(SENSE)
    }
  }

  dataFailed(task: ScsiTask, additionalSense: number): void {
    this.abortedTasks.push(task)
    task.checkCondition(encodeFixedSense(senseOf(SenseKey.AbortedCommand, additionalSense)))
  }

  aborted(task: ScsiTask): void {
    this.abortedTasks.push(task)
  }

  connectionLost(task: ScsiTask): void {
    this.lostTags.push((task as Task).initiatorTaskTag)
  }

  ended(task: ScsiTask): void {
    this.endedTasks.push(task)
  }

  /** LUN FFh is the one that is not there. */
  hasUnit(_nexus: Nexus, lun: Buffer): boolean {
    return lun[1] !== 0xff
  }

  isForUnit(task: ScsiTask, _nexus: Nexus, lun: Buffer): boolean {
    return task.lunBuffer.equals(lun)
  }

  isVisible(): boolean {
    return true
  }

  resetLogicalUnit(_nexus: Nexus, lun: Buffer): TaskManagementOutcome {
    this.resets.push(lun.toString('hex'))
    return 'complete'
  }

  taskSetCleared(nexus: Nexus, _lun: Buffer, cleared: Iterable<Nexus>): void {
    for (const other of cleared) if (other !== nexus) this.cleared.push(other)
  }

  pendingEvent(_nexus: Nexus, lun: Buffer): PendingEvent | undefined {
    return this.events.get(lun[1] as number)
  }

  resetTarget(): TaskManagementOutcome {
    this.resets.push('target')
    return 'complete'
  }
}
