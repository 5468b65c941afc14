/** Volumes with checksums, over disks in memory that can be got at, for tests. */
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { checksumAreaBytes } from '../../../src/volume/raid/checksum-page.ts'
import { IntegrityVolume } from '../../../src/volume/raid/integrity-volume.ts'
import type { HoleMap, IoCompletion, Volume } from '../../../src/volume/volume.ts'

export const BLOCK = 4096
export const SECTOR = 512
export const MIB = 1024 * 1024
/** What one page of checksums is for. */
export const PAGE_COVERS = 4 * MIB
/** Three pages of checksums, the last of them not full, and some bytes that are no whole block. */
export const SIZE = 10 * MIB + 3 * BLOCK + SECTOR

/** Room for one page, so that every other one takes its place. */
export const ONE_PAGE = 4096

export class Disk {
  readonly data: MemoryVolume
  readonly checksums: MemoryVolume

  constructor(sizeBytes = SIZE) {
    this.data = new MemoryVolume('member', sizeBytes)
    this.checksums = new MemoryVolume('member', checksumAreaBytes(sizeBytes))
  }

  /** As after a start: nothing of the checksums is in memory. */
  open(cacheBytesMax?: number): FaultyIntegrity {
    const data = new FaultVolume(this.data)
    const checksums = new FaultVolume(this.checksums)
    const options = cacheBytesMax === undefined ? {} : { cacheBytesMax }
    const volume = new IntegrityVolume({ data, checksums, ...options })
    return { volume, data, checksums }
  }

  /** Flips bits of a byte of the data. */
  damage(offset: number): void {
    flip(this.data, offset)
  }

  /** Flips bits of a byte of the checksum of a block. */
  damageChecksum(block: number): void {
    flip(this.checksums, block * 4 + 1)
  }
}

export interface FaultyIntegrity {
  readonly volume: IntegrityVolume
  readonly data: FaultVolume
  readonly checksums: FaultVolume
}

function flip(volume: MemoryVolume, offset: number): void {
  const sector = Buffer.alloc(SECTOR)
  const start = offset - (offset % SECTOR)
  volume.readNow(start, sector, 0, SECTOR)
  sector[offset - start]! ^= 0x24
  volume.writeNow(start, sector, 0, SECTOR)
}

/** Numbers from 0 to 1, the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = (seed % 2147483646) + 1
  return () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
}

/**
 * A disk whose operations take effect in any order, and writes in two parts, between which anything may
 * happen.
 */
export class JitterVolume implements Volume {
  readonly name = 'member'
  readonly sizeBytes: number
  readonly blockSizeBytes = SECTOR
  readonly #inner: MemoryVolume
  readonly #random: () => number

  constructor(inner: MemoryVolume, random: () => number) {
    this.#inner = inner
    this.sizeBytes = inner.sizeBytes
    this.#random = random
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    return this.#random() < 0.3 && this.#inner.readNow(offset, into, position, length)
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    return this.#random() < 0.3 && this.#inner.writeNow(offset, from, position, length)
  }

  read(offset: number, into: Buffer, position: number, length: number, done: IoCompletion): void {
    this.#later(() => {
      const half = this.#half(length)
      this.#inner.readNow(offset, into, position, half)
      this.#later(() => {
        this.#inner.readNow(offset + half, into, position + half, length - half)
        done.ioCompleted(null)
      })
    })
  }

  write(offset: number, from: Buffer, position: number, length: number, done: IoCompletion): void {
    this.#later(() => {
      const half = this.#half(length)
      this.#inner.writeNow(offset, from, position, half)
      this.#later(() => {
        this.#inner.writeNow(offset + half, from, position + half, length - half)
        done.ioCompleted(null)
      })
    })
  }

  flush(done: IoCompletion): void {
    this.#later(() => done.ioCompleted(null))
  }

  discard(offset: number, length: number, done: IoCompletion): void {
    this.#later(() => this.#inner.discard(offset, length, done))
  }

  locateHoles(offset: number, length: number, map: HoleMap, done: IoCompletion): void {
    this.#inner.locateHoles(offset, length, map, done)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  #half(length: number): number {
    return Math.floor((this.#random() * length) / SECTOR) * SECTOR
  }

  #later(action: () => void): void {
    if (this.#random() < 0.4) setImmediate(action)
    else setImmediate(() => this.#later(action))
  }
}
