/** A Volume that fails when told to, around one that works: for tests and for demos of failure. */
import { type HoleMap, type IoCompletion, type Volume, VolumeError } from './volume.ts'

export type FaultOp = 'read' | 'write' | 'flush' | 'discard'

interface Fault {
  /** How many more operations of this kind go well first. */
  after: number
  /** How many fail then; Infinity for a disk that stays broken. */
  times: number
  /** How many bytes of a failing write, from its start, are written all the same. */
  readonly tornAtBytes: number
}

/** When a fault strikes, and how. */
export interface FaultOptions {
  /** Operations of this kind that go well first; 0 by default. */
  readonly after?: number
  /** How many operations fail then; 1 by default, Infinity for a disk that stays broken. */
  readonly times?: number
  /** Bytes of a failing write, from its start, that reach the volume all the same; 0 by default. */
  readonly tornAtBytes?: number
}

export class FaultVolume implements Volume {
  /** Makes the …Now forms answer false, as if all would have to wait for a disk. */
  refuseNow = false
  /** Operations begun since it was made, those that were done at once included. */
  readonly started: Record<FaultOp, number> = { read: 0, write: 0, flush: 0, discard: 0 }
  readonly #inner: Volume
  readonly #faults = new Map<FaultOp, Fault>()

  constructor(inner: Volume) {
    this.#inner = inner
  }

  get name(): string {
    return this.#inner.name
  }

  get sizeBytes(): number {
    return this.#inner.sizeBytes
  }

  get blockSizeBytes(): number {
    return this.#inner.blockSizeBytes
  }

  /** Plans a failure of operations of one kind, in place of what was planned for it before. */
  failNext(op: FaultOp, { after = 0, times = 1, tornAtBytes = 0 }: FaultOptions = {}): void {
    this.#faults.set(op, { after, times, tornAtBytes })
  }

  /** Forgets all planned failures. */
  heal(): void {
    this.#faults.clear()
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    if (this.refuseNow || this.#faults.has('read')) return false
    this.started.read++
    return this.#inner.readNow(offset, into, position, length)
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    if (this.refuseNow || this.#faults.has('write')) return false
    this.started.write++
    return this.#inner.writeNow(offset, from, position, length)
  }

  read(
    offset: number,
    into: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    if (this.#strikes('read') !== null) this.#fail('read', offset, completion)
    else this.#inner.read(offset, into, position, length, completion)
  }

  write(
    offset: number,
    from: Buffer,
    position: number,
    length: number,
    completion: IoCompletion,
  ): void {
    const fault = this.#strikes('write')
    if (fault === null) {
      this.#inner.write(offset, from, position, length, completion)
      return
    }
    const tornAtBytes = Math.min(fault.tornAtBytes, length)
    const failing = { ioCompleted: () => completion.ioCompleted(this.#error('write', offset)) }
    this.#inner.write(offset, from, position, tornAtBytes, failing)
  }

  flush(completion: IoCompletion): void {
    if (this.#strikes('flush') !== null) this.#fail('flush', 0, completion)
    else this.#inner.flush(completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    if (this.#strikes('discard') !== null) this.#fail('discard', offset, completion)
    else this.#inner.discard(offset, length, completion)
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    this.#inner.locateHoles(offset, length, map, completion)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  #strikes(op: FaultOp): Fault | null {
    this.started[op]++
    const fault = this.#faults.get(op)
    if (fault === undefined) return null
    if (fault.after > 0) {
      fault.after--
      return null
    }
    fault.times--
    if (fault.times === 0) this.#faults.delete(op)
    return fault
  }

  #error(op: FaultOp, offset: number): VolumeError {
    return new VolumeError(op, this.name, offset, injectedFault())
  }

  #fail(op: FaultOp, offset: number, completion: IoCompletion): void {
    setImmediate(() => completion.ioCompleted(this.#error(op, offset)))
  }
}

/** As the system reports it: with a code, which callers go by. */
function injectedFault(): Error {
  return Object.assign(new Error('EIO: injected fault'), { code: 'EIO' })
}
