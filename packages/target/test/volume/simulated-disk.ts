/**
 * A disk with a volatile cache, for long runs: sparse, and able to lose power, to fail for good, and to
 * change bytes by itself.
 */
import { assertRange } from '../../src/volume/range.ts'
import {
  type HoleMap,
  type IoCompletion,
  type Volume,
  VolumeError,
} from '../../src/volume/volume.ts'

const SECTOR_BYTES = 512
const ZEROS = Buffer.alloc(SECTOR_BYTES)

/** What a sector held on the medium, and since then in the cache, oldest first. */
interface Unflushed {
  versions: Buffer[]
  /** How many versions before these have been forgotten. */
  forgotten: number
}

/** What all disks of a machine have in common. */
export interface Machine {
  readonly random: () => number
  /** How many more writes and flushes of all disks there are before the power goes; Infinity for none. */
  operationsLeft: number
}

/** Sectors are lost, kept, and reordered each by itself when the power goes. */
export class SimulatedDisk implements Volume {
  readonly name: string
  readonly sizeBytes: number
  readonly blockSizeBytes = SECTOR_BYTES
  /** Fails whatever it is asked. */
  isBroken = false
  readonly #machine: Machine
  /** By number of the sector. */
  readonly #cached = new Map<number, Buffer>()
  readonly #unflushed = new Map<number, Unflushed>()

  constructor(name: string, sizeBytes: number, machine: Machine) {
    this.name = name
    this.sizeBytes = sizeBytes
    this.#machine = machine
  }

  /** The power is back: each unflushed sector holds one of what it was to hold since it was flushed. */
  recover(): void {
    for (const [sector, { versions }] of this.#unflushed) {
      const kept = versions[Math.floor(this.#machine.random() * versions.length)]!
      this.#set(sector, kept)
    }
    this.#unflushed.clear()
  }

  /** Changes bytes behind everybody's back, on the medium too. */
  corrupt(offset: number, length: number): void {
    for (let at = offset; at < offset + length; at += SECTOR_BYTES) {
      const sector = at / SECTOR_BYTES
      const changed = Buffer.from(this.#get(sector))
      changed[Math.floor(this.#machine.random() * SECTOR_BYTES)]! ^= 0x41
      this.#set(sector, changed)
    }
  }

  readNow(offset: number, into: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (this.#isDead || this.#machine.random() < 0.3) return false
    this.#copyOut(offset, into, position, length)
    return true
  }

  writeNow(offset: number, from: Buffer, position: number, length: number): boolean {
    assertRange(this, offset, length)
    if (this.#isDead || this.#machine.random() < 0.3 || this.#strikes()) return false
    this.#copyIn(offset, from, position, length)
    return true
  }

  read(offset: number, into: Buffer, at: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    this.#later('read', offset, completion, () => this.#copyOut(offset, into, at, length))
  }

  write(offset: number, from: Buffer, at: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    if (this.#strikes() && !this.isBroken) {
      // The cache has part of it when the power goes.
      const part = Math.floor((this.#machine.random() * length) / SECTOR_BYTES) * SECTOR_BYTES
      this.#copyIn(offset, from, at, part)
    }
    this.#later('write', offset, completion, () => this.#copyIn(offset, from, at, length))
  }

  flush(completion: IoCompletion): void {
    this.#strikes()
    // What comes later is not covered by it.
    const covered = [...this.#unflushed].map(
      ([sector, { versions, forgotten }]) => [sector, forgotten + versions.length] as const,
    )
    this.#later('flush', 0, completion, () => {
      for (const [sector, end] of covered) this.#makeDurable(sector, end)
    })
  }

  discard(offset: number, length: number, completion: IoCompletion): void {
    assertRange(this, offset, length)
    this.#strikes()
    this.#later('discard', offset, completion, () => {
      const end = (offset + length) / SECTOR_BYTES
      for (let sector = offset / SECTOR_BYTES; sector < end; sector++) this.#put(sector, ZEROS)
    })
  }

  locateHoles(offset: number, length: number, map: HoleMap, completion: IoCompletion): void {
    assertRange(this, offset, length)
    this.#later('locate', offset, completion, () => map.add(false, length))
  }

  async close(): Promise<void> {}

  get #isDead(): boolean {
    return this.isBroken || this.#machine.operationsLeft < 0
  }

  /** Counts a write or flush; whether the power goes with it. */
  #strikes(): boolean {
    this.#machine.operationsLeft--
    return this.#machine.operationsLeft === -1
  }

  #later(op: VolumeError['op'], offset: number, completion: IoCompletion, work: () => void): void {
    const run = () => {
      if (!this.#isDead) {
        work()
        completion.ioCompleted(null)
        return
      }
      const reason = this.isBroken ? 'EIO' : 'the power is cut'
      completion.ioCompleted(new VolumeError(op, this.name, offset, new Error(reason)))
    }
    // In another order than they were asked for.
    if (this.#machine.random() < 0.5) setImmediate(run)
    else setImmediate(() => setImmediate(run))
  }

  #copyOut(offset: number, into: Buffer, position: number, length: number): void {
    for (let at = 0; at < length; at += SECTOR_BYTES) {
      this.#get((offset + at) / SECTOR_BYTES).copy(into, position + at)
    }
  }

  #copyIn(offset: number, from: Buffer, position: number, length: number): void {
    for (let at = 0; at < length; at += SECTOR_BYTES) {
      const bytes = from.subarray(position + at, position + at + SECTOR_BYTES)
      const isZero = bytes.equals(ZEROS)
      this.#put((offset + at) / SECTOR_BYTES, isZero ? ZEROS : Buffer.from(bytes))
    }
  }

  #put(sector: number, bytes: Buffer): void {
    const unflushed = this.#unflushed.get(sector)
    if (unflushed !== undefined) unflushed.versions.push(bytes)
    else this.#unflushed.set(sector, { versions: [this.#get(sector), bytes], forgotten: 0 })
    this.#set(sector, bytes)
  }

  /** The versions of a sector before `end`, the last of which is on the medium then. */
  #makeDurable(sector: number, end: number): void {
    const unflushed = this.#unflushed.get(sector)
    if (unflushed === undefined) return
    const surplus = end - unflushed.forgotten - 1
    if (surplus <= 0) return
    unflushed.versions.splice(0, surplus)
    unflushed.forgotten += surplus
    if (unflushed.versions.length === 1) this.#unflushed.delete(sector)
  }

  #get(sector: number): Buffer {
    return this.#cached.get(sector) ?? ZEROS
  }

  #set(sector: number, bytes: Buffer): void {
    if (bytes === ZEROS) this.#cached.delete(sector)
    else this.#cached.set(sector, bytes)
  }
}
