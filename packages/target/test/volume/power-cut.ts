/** Disks whose power can be cut: what was not flushed may be lost, in part or whole. */
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import {
  type HoleMap,
  type IoCompletion,
  type Volume,
  VolumeError,
} from '../../src/volume/volume.ts'

const SECTOR_BYTES = 512

interface Unflushed {
  readonly offset: number
  readonly bytes: Buffer
}

/**
 * The mains of some disks: after `operations` writes and flushes of all of them it is cut, in the
 * midst of the next one. Everything after that fails.
 */
export class PowerCut {
  #operations: number
  /** What decides which unflushed sectors have reached the medium: 0 to 1. */
  readonly #random: () => number

  constructor(operations: number, random: () => number) {
    this.#operations = operations
    this.#random = random
  }

  get isCut(): boolean {
    return this.#operations < 0
  }

  /** Whether the operation that begins now is ended by it. */
  strikes(): boolean {
    this.#operations--
    return this.isCut
  }

  reaches(): boolean {
    return this.#random() < 0.5
  }
}

/** A disk with a volatile cache. `afterCut` is the disk as found when power is back. */
export class PowerCutVolume implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes = 512
  readonly #medium: MemoryVolume
  readonly #cached: MemoryVolume
  readonly #cut: PowerCut
  #unflushed: Unflushed[] = []

  constructor(medium: MemoryVolume, cut: PowerCut) {
    this.name = medium.name
    this.sizeBytes = medium.sizeBytes
    this.#medium = medium
    this.#cached = new MemoryVolume(medium.name, medium.sizeBytes)
    this.#cut = cut
    const all = Buffer.alloc(medium.sizeBytes)
    medium.readNow(0, all, 0, all.length)
    this.#cached.writeNow(0, all, 0, all.length)
  }

  /** Sectors not flushed reach the medium or not, each by itself. */
  afterCut(): MemoryVolume {
    for (const { offset, bytes } of this.#unflushed.splice(0)) {
      for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
        if (this.#cut.reaches()) this.#medium.writeNow(offset + at, bytes, at, SECTOR_BYTES)
      }
    }
    return this.#medium
  }

  readNow(): boolean {
    return false
  }

  writeNow(): boolean {
    return false
  }

  read(offset: number, into: Buffer, at: number, length: number, completion: IoCompletion): void {
    if (this.#cut.isCut) this.#fail('read', completion)
    else this.#cached.read(offset, into, at, length, completion)
  }

  write(offset: number, from: Buffer, at: number, length: number, completion: IoCompletion): void {
    if (!this.#cut.isCut) {
      this.#unflushed.push({ offset, bytes: Buffer.from(from.subarray(at, at + length)) })
    }
    if (this.#cut.strikes()) this.#fail('write', completion)
    else this.#cached.write(offset, from, at, length, completion)
  }

  flush(completion: IoCompletion): void {
    if (this.#cut.strikes()) {
      this.#fail('flush', completion)
      return
    }
    for (const { offset, bytes } of this.#unflushed.splice(0)) {
      this.#medium.writeNow(offset, bytes, 0, bytes.length)
    }
    this.#cached.flush(completion)
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    this.write(offset, Buffer.alloc(length), 0, length, completion)
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    this.#cached.locateHoles(offset, length, map, completion)
  }

  async close(): Promise<void> {}

  #fail(op: 'read' | 'write' | 'flush', completion: IoCompletion): void {
    const error = new VolumeError(op, this.name, 0, new Error('the power is cut'))
    setImmediate(() => completion.ioCompleted(error))
  }
}

/**
 * Runs `change` on disks like these with the power cut after every number of operations in turn, until it
 * needs no more; how many it took.
 */
export async function cutEverywhere(
  before: () => Promise<MemoryVolume[]>,
  change: (disks: readonly Volume[]) => Promise<unknown>,
  check: (disks: MemoryVolume[], completed: boolean, cutAt: number) => Promise<void>,
): Promise<number> {
  for (let cutAt = 0; ; cutAt++) {
    let seed = cutAt * 7919 + 1
    const random = () => {
      seed = (seed * 48271) % 2147483647
      return seed / 2147483647
    }
    const cut = new PowerCut(cutAt, random)
    const disks = (await before()).map((disk) => new PowerCutVolume(disk, cut))
    const completed = await change(disks).then(
      () => true,
      () => false,
    )
    await check(
      disks.map((disk) => disk.afterCut()),
      completed,
      cutAt,
    )
    if (!cut.isCut) return cutAt
  }
}
