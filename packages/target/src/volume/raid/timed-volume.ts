/** A disk that has to answer: what takes too long is given up, and the disk with it. */
import { assertRange } from '../range.ts'
import { HoleMap, type IoCompletion, type Volume, VolumeError } from '../volume.ts'
import type { Clock } from './clock.ts'

const TIMEOUT_MS = 30_000
const FLUSH_TIMEOUTS = 4
/** The time is looked at so often within the limit of an operation. */
const TICKS = 10
/** Operations at the disk; those beyond wait. */
const AT_DISK_MAX = 8
/** Reads of up to this share buffers that are kept; longer ones get one of their own. */
const KEPT_BUFFER_BYTES = 256 * 1024
/** A discard may have to write zeros: the limit is for so much of it. */
const DISCARD_PIECE_BYTES = 64 * 1024 * 1024
const NO_BYTES = Buffer.alloc(0)

export interface TimedVolumeOptions {
  readonly clock: Clock
  /** How long a read, or a write, may take; 30 s if not given. */
  readonly timeoutMs?: number | undefined
}

/** One operation, from when it is asked for until the disk has ended it, whether it was given up or not. */
class TimedOperation implements IoCompletion {
  op: Exclude<VolumeError['op'], 'open'> = 'read'
  offset = 0
  length = 0
  buffer: Buffer = NO_BYTES
  position = 0
  map: HoleMap | null = null
  /** Null once it has been given up. */
  completion: IoCompletion | null = null
  /** How many bytes of a discard the disk has been asked for. */
  asked = 0
  /** How often the time has been looked at since the disk was asked. */
  ticks = 0
  /** Its place among those at the disk. */
  place = 0
  /** What the disk fills in place of the caller's buffer, or map. */
  ownBuffer: Buffer = NO_BYTES
  ownMap: HoleMap | null = null
  next: TimedOperation | null = null
  readonly #volume: TimedVolume

  constructor(volume: TimedVolume) {
    this.#volume = volume
  }

  ioCompleted(error: VolumeError | null): void {
    this.#volume.diskEnded(this, error)
  }
}

/**
 * Gives an operation up that the disk has not ended within the limit: it fails, and so does at once all else
 * that is asked of this volume, then and later. The limit is four times as long for a flush, which may have
 * much to write, and for each 64 MiB of a discard. It counts time in which this process runs: a disk is not to
 * blame for one that was stopped.
 *
 * What was given up may still happen, whenever the disk comes back. A read then fills a buffer that is this
 * volume's own, as all waiting reads do before they are copied. A write may take what the caller's buffer holds
 * by then: to a disk that is no member any more, in a region that is recorded as one in which members may
 * differ, and is so until all members have been made to agree. That holds only if the disk is not a member
 * again before it has ended all: see `settled`.
 *
 * The disk gets 8 operations at a time, beside flushes. Each holds a thread of libuv's pool until it ends, and
 * a disk that hangs must leave some to the others.
 */
export class TimedVolume implements Volume {
  readonly #disk: Volume
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #free: TimedOperation[] = []
  readonly #buffers: Buffer[] = []
  readonly #atDisk: TimedOperation[] = []
  #flushesAtDisk = 0
  #firstWaiting: TimedOperation | null = null
  #lastWaiting: TimedOperation | null = null
  #isTicking = false
  /** Why nothing more is taken. */
  #refusal: Error | null = null
  #isDead = false
  #settledWaiters: (() => void)[] = []
  readonly #tick = () => this.#ticked()

  constructor(disk: Volume, { clock, timeoutMs = TIMEOUT_MS }: TimedVolumeOptions) {
    this.#disk = disk
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  get name(): string {
    return this.#disk.name
  }

  get sizeBytes(): number {
    return this.#disk.sizeBytes
  }

  get blockSizeBytes(): number {
    return this.#disk.blockSizeBytes
  }

  /** Whether an operation was given up. */
  get isDead(): boolean {
    return this.#isDead
  }

  /** Whether it takes nothing more, and the disk has ended all that it was asked. */
  get isOver(): boolean {
    return this.#refusal !== null && this.#atDisk.length === 0
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    return this.#refusal === null && this.#disk.readNow(offset, into, position, length)
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    return this.#refusal === null && this.#disk.writeNow(offset, from, position, length)
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#start('read', offset, length, into, position, null, completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    this.#start('write', offset, length, from, position, null, completion)
  }

  flush(completion: IoCompletion): void {
    this.#start('flush', 0, 0, NO_BYTES, 0, null, completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    this.#start('discard', offset, length, NO_BYTES, 0, null, completion)
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    this.#start('locate', offset, length, NO_BYTES, 0, map, completion)
  }

  /** Takes nothing more; what has been taken goes on. */
  end(reason: string): void {
    this.#refusal ??= new Error(reason)
  }

  /** Resolves when all that was taken has been answered: true if the disk has ended it too. */
  async settled(): Promise<boolean> {
    if (this.#atDisk.length > 0 && !this.#isDead) {
      await new Promise<void>((resolve) => this.#settledWaiters.push(resolve))
    }
    return this.#atDisk.length === 0
  }

  /** Closes the disk, but does not wait for one that does not answer: it is released when it has. */
  async close(): Promise<void> {
    this.end('the disk is closed')
    const hasEnded = await this.settled()
    const closed = this.#disk.close()
    if (hasEnded) await closed
    else closed.catch(() => {})
  }

  #start(
    op: TimedOperation['op'],
    offset: number,
    length: number,
    buffer: Buffer,
    position: number,
    map: HoleMap | null,
    completion: IoCompletion,
  ): void {
    assertRange(this, offset, length)
    if (this.#refusal !== null) {
      process.nextTick(fail, completion, new VolumeError(op, this.name, offset, this.#refusal))
      return
    }
    const operation = this.#free.pop() ?? new TimedOperation(this)
    operation.op = op
    operation.offset = offset
    operation.length = length
    operation.buffer = buffer
    operation.position = position
    operation.map = map
    operation.completion = completion
    operation.asked = 0
    if (op === 'flush' || this.#hasRoom) this.#handOver(operation)
    else this.#enqueue(operation)
  }

  get #hasRoom(): boolean {
    return this.#atDisk.length - this.#flushesAtDisk < AT_DISK_MAX
  }

  #enqueue(operation: TimedOperation): void {
    if (this.#lastWaiting === null) this.#firstWaiting = operation
    else this.#lastWaiting.next = operation
    this.#lastWaiting = operation
  }

  #dequeue(): TimedOperation | null {
    const operation = this.#firstWaiting
    if (operation === null) return null
    this.#firstWaiting = operation.next
    if (this.#firstWaiting === null) this.#lastWaiting = null
    operation.next = null
    return operation
  }

  #handOver(operation: TimedOperation): void {
    operation.place = this.#atDisk.length
    this.#atDisk.push(operation)
    if (operation.op === 'flush') this.#flushesAtDisk++
    if (!this.#isTicking) this.#startTicking()
    this.#ask(operation)
  }

  #ask(operation: TimedOperation): void {
    const { op, offset, length, buffer, position } = operation
    operation.ticks = 0
    if (op === 'read') {
      operation.ownBuffer = this.#takeBuffer(length)
      this.#disk.read(offset, operation.ownBuffer, 0, length, operation)
    } else if (op === 'write') this.#disk.write(offset, buffer, position, length, operation)
    else if (op === 'flush') this.#disk.flush(operation)
    else if (op === 'discard') {
      const start = offset + operation.asked
      const count = Math.min(length - operation.asked, DISCARD_PIECE_BYTES)
      operation.asked += count
      this.#disk.discard(start, count, operation)
    } else {
      operation.ownMap = new HoleMap(operation.map!.runsMax)
      this.#disk.locateHoles(offset, length, operation.ownMap, operation)
    }
  }

  /** Called by TimedOperation only. */
  diskEnded(operation: TimedOperation, error: VolumeError | null): void {
    const { op, completion } = operation
    const isMore = op === 'discard' && operation.asked < operation.length
    if (isMore && error === null && completion !== null) {
      this.#ask(operation)
      return
    }
    if (error === null && completion !== null) handResult(operation)
    this.#leaveDisk(operation)
    this.#release(operation)
    const next = this.#hasRoom ? this.#dequeue() : null
    if (next !== null) this.#handOver(next)
    completion?.ioCompleted(error)
    if (this.#atDisk.length === 0) this.#wakeWaiters()
  }

  #leaveDisk(operation: TimedOperation): void {
    const last = this.#atDisk.pop()!
    if (last !== operation) {
      this.#atDisk[operation.place] = last
      last.place = operation.place
    }
    if (operation.op === 'flush') this.#flushesAtDisk--
  }

  #release(operation: TimedOperation): void {
    const { ownBuffer } = operation
    if (ownBuffer.length === KEPT_BUFFER_BYTES) this.#buffers.push(ownBuffer)
    operation.ownBuffer = NO_BYTES
    operation.ownMap = null
    operation.buffer = NO_BYTES
    operation.map = null
    operation.completion = null
    this.#free.push(operation)
  }

  #takeBuffer(length: number): Buffer {
    if (length > KEPT_BUFFER_BYTES) return Buffer.allocUnsafeSlow(length)
    return this.#buffers.pop() ?? Buffer.allocUnsafeSlow(KEPT_BUFFER_BYTES)
  }

  #startTicking(): void {
    this.#isTicking = true
    this.#clock.after(this.#timeoutMs / TICKS, this.#tick)
  }

  #ticked(): void {
    this.#isTicking = false
    if (this.#isDead || this.#atDisk.length === 0) return
    let late: TimedOperation | null = null
    for (const operation of this.#atDisk) {
      operation.ticks++
      // The first of them may have come as soon as the disk had been asked.
      if (operation.ticks > TICKS * timeoutsOf(operation)) late = operation
    }
    if (late === null) this.#startTicking()
    else this.#giveUp((this.#timeoutMs * timeoutsOf(late)) / 1000)
  }

  #giveUp(seconds: number): void {
    const reason = new Error(`no answer within ${seconds} s`)
    this.#isDead = true
    this.#refusal = reason
    const givenUp = this.#atDisk.map((operation) => {
      const { op, offset, completion } = operation
      operation.completion = null
      return { op, offset, completion: completion! }
    })
    for (let one = this.#dequeue(); one !== null; one = this.#dequeue()) {
      givenUp.push({ op: one.op, offset: one.offset, completion: one.completion! })
      this.#release(one)
    }
    for (const { op, offset, completion } of givenUp) {
      completion.ioCompleted(new VolumeError(op, this.name, offset, reason))
    }
    this.#wakeWaiters()
  }

  #wakeWaiters(): void {
    for (const wake of this.#settledWaiters.splice(0)) wake()
  }
}

/** How many times the limit of a read it may take. */
function timeoutsOf({ op }: TimedOperation): number {
  return op === 'flush' || op === 'discard' ? FLUSH_TIMEOUTS : 1
}

/** Copies what the disk has brought to where the caller wants it. */
function handResult({
  op,
  ownBuffer,
  ownMap,
  buffer,
  position,
  length,
  map,
}: TimedOperation): void {
  if (op === 'read') ownBuffer.copy(buffer, position, 0, length)
  if (op !== 'locate') return
  for (const { isHole, length: runLength } of ownMap!.runs) map!.add(isHole, runLength)
}

function fail(completion: IoCompletion, error: VolumeError): void {
  completion.ioCompleted(error)
}
