/** A ScsiTask without a transport: a command goes in, its outcome can be waited for. */
import { encodeLun, LUN_LENGTH, Status } from '@platter/protocol/scsi'
import {
  type ExtentDestination,
  type ExtentSource,
  type Nexus,
  type ScsiTask,
  TaskAttribute,
  type TaskStep,
} from '../../src/scsi/scsi-task.ts'
import type { IoCompletion, VolumeError } from '../../src/volume/volume.ts'

export interface Outcome {
  readonly status: number
  readonly sense?: Buffer
  readonly data?: Buffer
}

export interface FakeTaskOptions {
  readonly nexus: Nexus
  readonly lun?: number | Buffer
  /** The CDB, shorter than 16 bytes as it may be. */
  readonly cdb: ArrayLike<number>
  readonly attribute?: TaskAttribute
  readonly dataOut?: Buffer
  /** Bytes of `dataOut` handed over at a time. */
  readonly segmentBytes?: number
}

export class FakeTask implements ScsiTask {
  readonly nexus: Nexus
  // Neither starts at 0, so that code which forgets the position is found out.
  readonly lunBuffer = Buffer.alloc(16, 0xff)
  readonly lunPosition = 5
  readonly cdb = Buffer.alloc(32, 0xff)
  readonly cdbPosition = 11
  next: TaskStep = () => {
    throw new Error('no next step')
  }
  unit: unknown = null
  state: unknown = null
  isEnabled = false
  blockAccessIndex = -1
  isFenced = false
  readonly attribute: TaskAttribute
  /** Told when the task has ended, as a transport tells its executor. */
  onEnded: (task: FakeTask) => void = () => {}
  dataOut: Buffer = Buffer.alloc(0)
  readonly outcome: Promise<Outcome>
  ended: Outcome | null = null
  /** Volume operations begun through `awaitIo` and not over. */
  pendingIo = 0
  #resolve!: (outcome: Outcome) => void
  #aborted = false
  readonly #sent: Buffer
  readonly #segmentBytes: number

  constructor(options: FakeTaskOptions) {
    this.nexus = options.nexus
    this.attribute = options.attribute ?? TaskAttribute.Simple
    const { lun = 0 } = options
    if (typeof lun === 'number') encodeLun(this.lunBuffer, this.lunPosition, lun)
    else lun.copy(this.lunBuffer, this.lunPosition, 0, LUN_LENGTH)
    this.cdb.fill(0, this.cdbPosition, this.cdbPosition + 16)
    this.cdb.set(options.cdb, this.cdbPosition)
    this.#sent = options.dataOut ?? Buffer.alloc(0)
    this.#segmentBytes = options.segmentBytes ?? 65536
    this.outcome = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  get dataOutLength(): number {
    return this.#sent.length
  }

  abort(): void {
    this.#aborted = true
  }

  finish(status: number): void {
    this.#end({ status })
  }

  checkCondition(sense: Buffer): void {
    this.#end({ status: Status.CheckCondition, sense: Buffer.from(sense) })
  }

  sendData(data: Buffer): void {
    this.#end({ status: Status.Good, data: Buffer.from(data) })
  }

  sendExtent(source: ExtentSource, offset: number, length: number): void {
    const data = Buffer.alloc(length)
    if (source.readNow(offset, data, 0, length)) {
      this.#end({ status: Status.Good, data })
      return
    }
    const step = (error: VolumeError | null): void => {
      if (error) this.next(this, error)
      else this.#end({ status: Status.Good, data })
    }
    source.read(offset, data, 0, length, { ioCompleted: (error) => this.#aborted || step(error) })
  }

  receiveExtent(destination: ExtentDestination, offset: number, length: number): void {
    const wanted = Math.min(length, this.#sent.length)
    let pending = 1
    let failure: VolumeError | null = null
    const ended = (error: VolumeError | null): void => {
      failure ??= error
      pending -= 1
      if (pending === 0 && !this.#aborted) this.next(this, failure)
    }
    for (let at = 0; at < wanted; at += this.#segmentBytes) {
      const count = Math.min(this.#segmentBytes, wanted - at)
      if (destination.writeNow(offset + at, this.#sent, at, count)) continue
      pending += 1
      destination.write(offset + at, this.#sent, at, count, { ioCompleted: ended })
    }
    setImmediate(ended, null)
  }

  receiveData(length: number): void {
    this.dataOut = this.#sent.subarray(0, length)
    setImmediate(() => this.#aborted || this.next(this, null))
  }

  awaitIo(): IoCompletion {
    this.pendingIo += 1
    let called = false
    return {
      ioCompleted: (error) => {
        if (called) throw new Error('a completion was called twice')
        called = true
        this.pendingIo -= 1
        if (!this.#aborted) this.next(this, error)
      },
    }
  }

  #end(outcome: Outcome): void {
    if (this.ended) throw new Error('a task was ended twice')
    if (this.#aborted) throw new Error('an aborted task was ended')
    this.ended = outcome
    this.onEnded(this)
    this.#resolve(outcome)
  }
}
