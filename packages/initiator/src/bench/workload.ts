/** One kind of I/O on a block device, for a time: so many operations under way, each followed by the next. */
import { randomFillSync } from 'node:crypto'
import type { BlockDevice, BlockDone } from '../block/block-device.ts'
import { Latencies } from './latencies.ts'

export const patterns = ['random', 'sequential'] as const

export interface Workload {
  readonly operation: 'read' | 'write'
  readonly pattern: (typeof patterns)[number]
  readonly blockBytes: number
  readonly depth: number
}

export class WorkloadRun {
  readonly latencies = new Latencies()
  /** From the start to the end of the last operation; to now while it runs. */
  get seconds(): number {
    return ((this.#endMs ?? performance.now()) - this.#startMs) / 1000
  }
  readonly #device: BlockDevice
  readonly #workload: Workload
  readonly #blockCount: number
  readonly #signal: AbortSignal
  #next = 0
  #underWay = 0
  #startMs = 0
  #endMs: number | null = null
  #error: Error | null = null
  #ended: () => void = () => {}

  /** It goes on until `signal`. A RangeError is thrown when the device has no room for one operation. */
  constructor(device: BlockDevice, workload: Workload, signal: AbortSignal) {
    this.#device = device
    this.#workload = workload
    this.#signal = signal
    this.#blockCount = Math.floor(device.sizeBytes / workload.blockBytes)
    if (this.#blockCount > 0) return
    const wanted = `${workload.blockBytes} bytes at once`
    throw new RangeError(`${device.name} has ${device.sizeBytes} bytes, too few for ${wanted}`)
  }

  /** Resolves when nothing is under way any more; rejects with the first error. */
  async run(): Promise<void> {
    this.#startMs = performance.now()
    await new Promise<void>((resolve) => {
      this.#ended = resolve
      for (let index = 0; index < this.#workload.depth; index++) this.#addSlot()
    })
    this.#endMs = performance.now()
    if (this.#error !== null) throw this.#error
  }

  /** Its buffer and callback serve all its operations. */
  #addSlot(): void {
    const { operation, blockBytes } = this.#workload
    const buffer = Buffer.allocUnsafeSlow(blockBytes)
    // Zeros would be too easy for some storage.
    if (operation === 'write') randomFillSync(buffer)
    let startedMs = 0
    const begin = () => {
      startedMs = performance.now()
      const offset = this.#nextOffset()
      if (operation === 'read') this.#device.read(offset, buffer, 0, blockBytes, done)
      else this.#device.write(offset, buffer, 0, blockBytes, done)
    }
    const done: BlockDone = (error) => {
      if (error === null) this.latencies.record((performance.now() - startedMs) * 1000)
      else this.#error ??= error
      if (this.#error === null && !this.#signal.aborted) {
        begin()
        return
      }
      this.#underWay -= 1
      if (this.#underWay === 0) this.#ended()
    }
    this.#underWay += 1
    begin()
  }

  #nextOffset(): number {
    const { pattern, blockBytes } = this.#workload
    if (pattern === 'random') return Math.floor(Math.random() * this.#blockCount) * blockBytes
    const index = this.#next
    this.#next = (index + 1) % this.#blockCount
    return index * blockBytes
  }
}
