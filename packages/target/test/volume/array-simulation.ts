/**
 * Long random lives of an array on simulated disks, held against a plain model. A life is its level and its
 * seed: the same two give the same one again.
 */
import { createArray } from '../../src/volume/array.ts'
import { type ArrayLevel, isUsable } from '../../src/volume/array-description.ts'
import { assembleArrays } from '../../src/volume/assembly.ts'
import type { DiskArray } from '../../src/volume/disk-array.ts'
import type { MemberState } from '../../src/volume/raid/member.ts'
import { memberCounts } from './arrays.ts'
import { io, readAll, writeAll } from './io.ts'
import { FakeClock } from './raid/fake-clock.ts'
import { makeRandom } from './random.ts'
import { BLOCK_SECTORS, type Rot, randomRanges, rottenBlocks, type SectorRange } from './rot.ts'
import { filled, SectorModel } from './sector-model.ts'
import { type Machine, SimulatedDisk } from './simulated-disk.ts'

const SECTOR_BYTES = 512
const MIB = 1024 * 1024
const CHUNK_BYTES = 4096
const DISK_BYTES = 7 * MIB
const PARTITION = 'p'
const PARTITION_MAX_BYTES = MIB

/** What is not done while a member holds something wrong: the others are needed to know what is right. */
const NOT_WHILE_ROTTEN: readonly string[] = ['fail', 'replace', 're-add', 'grow', 'corrupt', 'rot']

export class ArraySimulation {
  readonly trace: string[] = []
  readonly #level: ArrayLevel
  readonly #random: () => number
  readonly #clock = new FakeClock()
  readonly #machine: Machine
  /** Those that the machine has: members, and disks that are to be taken back. */
  #disks: SimulatedDisk[] = []
  #array!: DiskArray
  #volume!: ReturnType<DiskArray['openPartition']>
  readonly #model = new SectorModel()
  #diskCount = 0
  #fill = 0
  /** Nobody has seen since the power went which of what was not flushed is there. */
  #isUndecided = false
  #rot: Rot | null = null

  constructor(level: ArrayLevel, seed: number) {
    this.#level = level
    this.#random = makeRandom(seed)
    this.#machine = { random: this.#random, operationsLeft: Number.POSITIVE_INFINITY }
  }

  /** Lives through so many steps. Rejects with Error when something is not as it should be. */
  async run(steps: number): Promise<void> {
    await this.#begin()
    for (let step = 0; step < steps; step++) {
      const [name, run] = this.#choose()
      if (this.#rot !== null && NOT_WHILE_ROTTEN.includes(name)) continue
      this.trace.push(name)
      await run()
    }
    this.trace.push('end')
    await this.#settle()
    await this.#checkAll()
    await this.#array.close()
  }

  async #begin(): Promise<void> {
    const counts = memberCounts[this.#level]
    const count = counts[this.#below(counts.length)]!
    this.#disks = Array.from({ length: count }, () => this.#makeDisk())
    this.#array = await createArray({
      name: 'tank',
      level: this.#level,
      chunkSizeBytes: CHUNK_BYTES,
      checksums: this.#level !== 'raid0' ? this.#random() < 0.8 : true,
      disks: this.#disks,
      hooks: { clock: this.#clock },
    })
    const sizeBytes = SECTOR_BYTES * 8 * (8 + this.#below(56))
    await this.#array.createPartition({ name: PARTITION, sizeBytes, blockFormat: '512' })
    this.#model.grow(sizeBytes / SECTOR_BYTES)
    this.#volume = this.#array.openPartition(PARTITION)
  }

  #choose(): readonly [string, () => Promise<void>] {
    const choices: readonly (readonly [number, string, () => Promise<void>])[] = [
      [12, 'write', () => this.#write()],
      [8, 'read', () => this.#read()],
      [5, 'flush', () => this.#flush()],
      [2, 'discard', () => this.#discard()],
      [2, 'wait', () => this.#wait()],
      [2, 'fail', () => this.#fail()],
      [2, 'replace', () => this.#replace()],
      [2, 're-add', () => this.#reAdd()],
      [2, 'settle', () => this.#settle()],
      [1, 'scrub', () => this.#scrub()],
      [1, 'corrupt', () => this.#corrupt()],
      [1, 'rot', () => this.#damage()],
      [1, 'grow', () => this.#grow()],
      [2, 'restart', () => this.#restart()],
      [3, 'crash', () => this.#crash()],
    ]
    let left = this.#random() * choices.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, name, run] of choices) {
      left -= weight
      if (left < 0) return [name, run]
    }
    throw new Error('unreachable')
  }

  /** A few writes at once, apart from each other. */
  async #write(): Promise<void> {
    await Promise.all(
      randomRanges(this.#random, this.#model.sectorCount).map((range) => this.#writeRange(range)),
    )
  }

  async #writeRange({ first, count }: SectorRange): Promise<void> {
    this.#fill++
    const fill = this.#fill
    this.trace.push(`  ${first}+${count} = ${fill}`)
    this.#model.writing(first, count, fill)
    const from = Buffer.concat(Array.from({ length: count }, () => filled(fill)))
    const offset = first * SECTOR_BYTES
    const isNow = this.#random() < 0.5 && this.#volume.writeNow(offset, from, 0, from.length)
    if (!isNow) await writeAll(this.#volume, offset, from)
    this.#model.written(first, count)
  }

  async #discard(): Promise<void> {
    const [{ first, count }] = randomRanges(this.#random, this.#model.sectorCount) as [SectorRange]
    this.trace.push(`  ${first}+${count} = 0`)
    this.#model.writing(first, count, 0)
    const length = count * SECTOR_BYTES
    await io((completion) => this.#volume.discard(first * SECTOR_BYTES, length, completion))
    this.#model.written(first, count)
  }

  async #read(): Promise<void> {
    await Promise.all(
      randomRanges(this.#random, this.#model.sectorCount).map((range) => this.#readRange(range)),
    )
  }

  async #readRange({ first, count }: SectorRange): Promise<void> {
    const offset = first * SECTOR_BYTES
    const length = count * SECTOR_BYTES
    const now = Buffer.alloc(length)
    const isNow = this.#random() < 0.5 && this.#volume.readNow(offset, now, 0, length)
    this.#verify(first, isNow ? now : await readAll(this.#volume, offset, length))
  }

  #verify(first: number, bytes: Buffer): void {
    const problem = this.#model.check(first, bytes)
    if (problem !== null) throw new Error(problem)
  }

  async #checkAll(): Promise<void> {
    await this.#readRange({ first: 0, count: this.#model.sectorCount })
  }

  async #flush(): Promise<void> {
    const mark = this.#model.mark()
    await io((completion) => this.#volume.flush(completion))
    this.#model.flushed(mark)
  }

  /** Time goes by, in which regions may be cleared. */
  async #wait(): Promise<void> {
    await this.#clock.advance(6000)
  }

  /** A member that the array can do without breaks, or is taken out. */
  async #fail(): Promise<void> {
    const disk = this.#expendable()
    if (disk === undefined) return
    this.#loosen()
    this.trace.push(`  ${disk.name}`)
    if (this.#random() < 0.5) {
      await this.#array.upkeep.fail(disk)
      return
    }
    disk.isBroken = true
    // So that nothing that is not known to be lost is counted on.
    await this.#write()
    await this.#flush()
    if (this.#array.disks.includes(disk)) await this.#array.upkeep.fail(disk)
  }

  /** A member is lost while parity may not belong to what is not flushed: see SectorModel. */
  #loosen(): void {
    const hasParity = this.#level === 'raid5' || this.#level === 'raid6'
    if (this.#isUndecided && hasParity) this.#model.loosen()
  }

  /**
   * The power has gone, perhaps in the midst of a write of all of a block that one member had wrong. Then
   * neither what it had, nor what the others have got of the write, is known to be right, and the wrong bytes
   * may be taken for those of the write; but not for those of sectors that were not being written.
   */
  #loosenRotten(): void {
    if (this.#rot === null) return
    if (this.#level !== 'raid1' && this.#level !== 'raid10') {
      this.#model.loosen()
      return
    }
    for (const first of rottenBlocks(this.#rot, this.#level, this.#array.members.length)) {
      this.#model.loosenWritten(first, BLOCK_SECTORS)
    }
  }

  async #replace(): Promise<void> {
    if (!this.#array.members.some(({ state }) => state === 'absent')) return
    const disk = this.#makeDisk()
    this.#disks.push(disk)
    await this.#array.upkeep.replace(disk)
  }

  async #reAdd(): Promise<void> {
    const disk = this.#array.upkeep.outside[0] as SimulatedDisk | undefined
    if (disk === undefined) return
    disk.isBroken = false
    this.trace.push(`  ${disk.name}`)
    await this.#array.upkeep.reAdd(disk).catch((error) => {
      // Another disk has its place.
      if (error.code !== 'invalid-request') throw error
      this.#array.upkeep.forget(disk)
    })
  }

  /** All members agree, and what has been read so is what there is. */
  async #settle(): Promise<void> {
    await this.#idle()
    const { problem } = this.#array
    if (problem !== null) throw new Error(problem)
    if (this.#isUndecided) await this.#decide()
    if (this.#array.members.some(({ state }) => state === 'rebuilding')) {
      throw new Error('a member is being rebuilt for ever')
    }
  }

  /** Until nothing is done in the background any more. */
  async #idle({ upkeep } = this.#array): Promise<void> {
    let isIdle = false
    const ended = upkeep.idle().then(() => {
      isIdle = true
    })
    while (!isIdle) await this.#clock.advance(50)
    await ended
  }

  /** Reads everything, and takes it for what there is. */
  async #decide(): Promise<void> {
    const { sectorCount } = this.#model
    const bytes = await readAll(this.#volume, 0, sectorCount * SECTOR_BYTES)
    this.#verify(0, bytes)
    this.#model.decide(bytes)
    this.#isUndecided = false
    await io((completion) => this.#volume.flush(completion))
  }

  async #scrub(): Promise<void> {
    await this.#settle()
    this.#array.upkeep.startScrub()
    await this.#idle()
    const { differingBytes, repairedCount, error } = this.#array.upkeep.lastScrub!
    const mayRepair = this.#rot !== null
    this.#rot = null
    if (differingBytes > 0 || (repairedCount > 0 && !mayRepair) || error !== null) {
      throw new Error(`scrub: ${differingBytes} differ, ${repairedCount} repaired, ${error}`)
    }
  }

  /** Nobody gets bytes that a member has changed by itself, and they are mended. */
  async #corrupt(): Promise<void> {
    await this.#damage()
    if (this.#rot === null) return
    await this.#checkAll()
    await this.#scrub()
    await this.#scrub()
  }

  /** One member changes bytes by itself, when all was well and durable. */
  async #damage(): Promise<void> {
    const { members, hasChecksums } = this.#array
    if (!hasChecksums || this.#level === 'raid0') return
    await this.#settle()
    if (members.some(({ state }) => state !== 'in-sync')) return
    await this.#flush()
    const memberNumber = this.#below(members.length)
    const disk = members[memberNumber]!.disk as SimulatedDisk
    const { offset, length } = this.#memberRange()
    const count = 1 + this.#below(Math.min(length / SECTOR_BYTES, 24))
    const first = this.#below(length / SECTOR_BYTES - count + 1)
    this.trace.push(`  ${disk.name}: ${first}+${count}`)
    disk.corrupt(offset + first * SECTOR_BYTES, count * SECTOR_BYTES)
    this.#rot = { memberNumber, sectors: { first, count } }
  }

  async #grow(): Promise<void> {
    const sizeBytes = this.#volume.sizeBytes + SECTOR_BYTES * 8 * (1 + this.#below(16))
    if (sizeBytes > PARTITION_MAX_BYTES) return
    await this.#array.growPartition(PARTITION, sizeBytes)
    this.#model.grow(sizeBytes / SECTOR_BYTES)
  }

  async #restart(): Promise<void> {
    const mark = this.#model.mark()
    await this.#array.close()
    this.#model.flushed(mark)
    await this.#assemble()
  }

  /** The power goes in the midst of writes; perhaps a disk goes with it. */
  async #crash(): Promise<void> {
    const isOneLost = this.#random() < 0.4 && this.#rot === null
    const lost = isOneLost ? this.#expendable() : undefined
    this.#machine.operationsLeft = this.#below(60)
    const work = async () => {
      for (let round = 0; round < 6; round++) {
        await this.#write()
        if (this.#random() < 0.3) await this.#flush()
      }
    }
    await work().catch(() => {})
    this.#machine.operationsLeft = -2
    await this.#array.close().catch(() => {})
    this.#machine.operationsLeft = Number.POSITIVE_INFINITY
    for (const disk of this.#disks) disk.recover()
    this.#model.cut()
    this.#isUndecided = true
    this.#loosenRotten()
    if (lost !== undefined) {
      this.trace.push(`  without ${lost.name}`)
      this.#disks = this.#disks.filter((disk) => disk !== lost)
      this.#loosen()
    }
    if (this.#random() < 0.3) await this.#crashAgain()
    await this.#assemble()
  }

  /** The power goes once more, while what it has left is put right. */
  async #crashAgain(): Promise<void> {
    this.trace.push('  and again')
    this.#machine.operationsLeft = this.#below(40)
    const { arrays } = await assembleArrays(this.#disks, { clock: this.#clock })
    for (const array of arrays) {
      await this.#idle(array)
      await array.close().catch(() => {})
    }
    this.#machine.operationsLeft = Number.POSITIVE_INFINITY
    for (const disk of this.#disks) disk.recover()
  }

  async #assemble(): Promise<void> {
    const inOtherOrder = [...this.#disks].sort(() => this.#random() - 0.5)
    const { arrays, failed } = await assembleArrays(inOtherOrder, { clock: this.#clock })
    if (arrays.length !== 1) {
      throw new Error(`the array is not there again: ${failed.map(({ reason }) => reason)}`)
    }
    this.#array = arrays[0]!
    this.#volume = this.#array.openPartition(PARTITION)
    const sectors = this.#volume.sizeBytes / SECTOR_BYTES
    if (sectors !== this.#model.sectorCount) throw new Error(`it has ${sectors} sectors`)
    await this.#readRange({ first: 0, count: this.#model.sectorCount })
  }

  /** A member that can be lost without the loss of data. */
  #expendable(): SimulatedDisk | undefined {
    const { members } = this.#array
    const states = members.map(({ state, disk }): MemberState => {
      return (disk as SimulatedDisk | null)?.isBroken ? 'absent' : state
    })
    const candidates = members.flatMap(({ disk }, number) => {
      if (disk === null || (disk as SimulatedDisk).isBroken) return []
      const without = states.map((state, other) => (other === number ? 'absent' : state))
      return isUsable(this.#level, without) ? [disk as SimulatedDisk] : []
    })
    return candidates[this.#below(candidates.length)]
  }

  /** Where the partition lies on each member's disk. */
  #memberRange(): { readonly offset: number; readonly length: number } {
    const { memberSizeBytes, memberDataBytes, rowSizeBytes, chunkSizeBytes } = this.#array
    const rows = Math.ceil(this.#volume.sizeBytes / rowSizeBytes)
    return { offset: memberSizeBytes - memberDataBytes, length: rows * chunkSizeBytes }
  }

  #makeDisk(): SimulatedDisk {
    const disk = new SimulatedDisk(`disk${this.#diskCount}`, DISK_BYTES, this.#machine)
    this.#diskCount++
    return disk
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }
}
