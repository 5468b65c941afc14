/** Disks of which no one knows which operation comes next: any that is under way may be the next to be done. */
import type { HoleMap, IoCompletion, Volume } from '../../../src/volume/volume.ts'

/** What is under way, of all disks of a test; it goes on when told to. */
export class Schedule {
  readonly #pending: (() => void)[] = []
  #state: number

  constructor(seed: number) {
    this.#state = 1 + (seed % 2147483646)
  }

  /** From 0 to `below`, without it. */
  random(below: number): number {
    this.#state = (this.#state * 48271) % 2147483647
    return this.#state % below
  }

  readonly add = (run: () => void): void => {
    this.#pending.push(run)
  }

  /** Does some of it, in any order. */
  async run(count: number): Promise<void> {
    for (let done = 0; done < count; done++) {
      const [next] = this.#pending.splice(this.random(this.#pending.length || 1), 1)
      next?.()
      await turn()
    }
  }

  /** Goes on until all these have settled. */
  async finish(operations: readonly Promise<unknown>[]): Promise<void> {
    let settled = 0
    for (const operation of operations) {
      operation.then(
        () => settled++,
        () => settled++,
      )
    }
    for (let idleTurns = 0; settled < operations.length; ) {
      idleTurns = this.#pending.length === 0 ? idleTurns + 1 : 0
      if (idleTurns > 100) throw new Error(`${operations.length - settled} operations never end`)
      await this.run(1)
    }
    await Promise.all(operations)
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Every operation takes effect when its turn comes, not when it is asked for. */
export class ShuffledVolume implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes: number
  readonly #inner: Volume
  readonly #schedule: Schedule

  constructor(inner: Volume, schedule: Schedule) {
    this.name = inner.name
    this.sizeBytes = inner.sizeBytes
    this.blockSizeBytes = inner.blockSizeBytes
    this.#inner = inner
    this.#schedule = schedule
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    return this.#schedule.random(2) === 0 && this.#inner.readNow(offset, into, position, length)
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    return this.#schedule.random(2) === 0 && this.#inner.writeNow(offset, from, position, length)
  }

  read(offset: number, into: Buffer, at: number, length: number, completion: IoCompletion): void {
    this.#schedule.add(() => this.#inner.read(offset, into, at, length, completion))
  }

  write(offset: number, from: Buffer, at: number, length: number, completion: IoCompletion): void {
    this.#schedule.add(() => this.#inner.write(offset, from, at, length, completion))
  }

  flush(completion: IoCompletion): void {
    this.#schedule.add(() => this.#inner.flush(completion))
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    this.#schedule.add(() => this.#inner.discard(offset, length, completion))
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    this.#schedule.add(() => this.#inner.locateHoles(offset, length, map, completion))
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
