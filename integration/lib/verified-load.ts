/** Reads and writes at random places, each checked against what was written there last. */
import type { BlockDevice } from '@platter/initiator'

const blockBytes = 64 * 1024
/** Lengths of the operations, in bytes: small ones, and such as are divided into parts. */
const lengths = [512, 4096, blockBytes, 8 * blockBytes]

export class VerifiedLoad {
  readonly #device: BlockDevice
  #stopped = false
  readonly #workers: Promise<void>[]
  operations = 0
  slowestMs = 0
  readonly complaints: string[] = []

  /** Begins at once, with so many operations under way; each worker has a region of its own. */
  constructor(device: BlockDevice, workers: number) {
    this.#device = device
    const regionBytes = Math.floor(device.sizeBytes / workers / blockBytes) * blockBytes
    this.#workers = Array.from({ length: workers }, (_, index) =>
      this.#work(index * regionBytes, Buffer.alloc(regionBytes), index + 1),
    )
  }

  /** Resolves when so many more operations have been done. */
  async progress(operations: number): Promise<void> {
    const wanted = this.operations + operations
    while (this.operations < wanted && this.complaints.length === 0) await pause(5)
  }

  /** Ends it, and reads all of it once more. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#workers)
  }

  async #work(start: number, model: Buffer, seed: number): Promise<void> {
    let state = seed
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    try {
      await this.#write(start, model)
      for (let round = 0; !this.#stopped; round++) {
        const length = lengths[random(lengths.length)] ?? blockBytes
        const at = random((model.length - length) / 512) * 512
        if (random(2) === 0) {
          model.fill(`worker ${seed}, round ${round};`, at, at + length)
          await this.#write(start + at, model.subarray(at, at + length))
        } else await this.#compare(start + at, model.subarray(at, at + length))
      }
      await this.#compare(start, model)
    } catch (error) {
      this.complaints.push((error as Error).message)
    }
  }

  async #write(offset: number, data: Buffer): Promise<void> {
    await this.#timed((done) => this.#device.write(offset, data, 0, data.length, done))
  }

  async #compare(offset: number, wanted: Buffer): Promise<void> {
    const got = Buffer.alloc(wanted.length)
    await this.#timed((done) => this.#device.read(offset, got, 0, got.length, done))
    if (!got.equals(wanted)) this.complaints.push(`other bytes in ${got.length} at ${offset}`)
  }

  async #timed(start: (done: (error: Error | null) => void) => void): Promise<void> {
    const startedMs = performance.now()
    await new Promise<void>((resolve, reject) => {
      start((error) => (error === null ? resolve() : reject(error)))
    })
    this.operations += 1
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
