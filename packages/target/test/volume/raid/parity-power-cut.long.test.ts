/** Parity arrays whose power is cut at any moment, with members missing before, or lost with it. */
import t from 'tap'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import {
  dataCountOf,
  memberOf,
  type ParityGeometry,
} from '../../../src/volume/raid/parity-layout.ts'
import { io, readAll, writeAll } from '../io.ts'
import { PowerCut, PowerCutVolume } from '../power-cut.ts'
import { RecordedIntents, TestArray } from './parity-arrays.ts'
import { SECTOR_BYTES, SectorHistory } from './sector-history.ts'

const CHUNK = 4096
const CHUNK_SECTORS = CHUNK / SECTOR_BYTES
const ROWS = 6
const MEMBER_BYTES = ROWS * CHUNK
/** A ring for some records only: it goes round, and often is full. */
const AREA_BYTES = 72 * 1024
const ACTIONS = 14

type Random = () => number

interface Scenario {
  readonly geometry: ParityGeometry
  /** Missing from the start. */
  readonly missing: readonly number[]
  /** Members fail and are replaced under way. */
  readonly hasFailures: boolean
  /** So many more members do not come back after the cut, if the array can do without. */
  readonly lostAtCut: number
}

function randomFrom(seed: number): Random {
  let state = seed * 7919 + 1
  return () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
}

function below(random: Random, limit: number): number {
  return Math.floor(random() * limit)
}

/** The disks of an array with everything written by write 1. */
async function prepare(geometry: ParityGeometry): Promise<Buffer[]> {
  const numbers = Array.from({ length: geometry.memberCount }, (_, number) => number)
  const disks = numbers.map((number) => new MemoryVolume(`disk${number}`, MEMBER_BYTES))
  const areas = numbers.map((number) => new MemoryVolume(`area${number}`, AREA_BYTES))
  const array = new TestArray({
    geometry,
    memberSizeBytes: MEMBER_BYTES,
    disks,
    areas,
    areaSizeBytes: AREA_BYTES,
  })
  await array.journal.recover()
  const history = new SectorHistory(array.volume.sizeBytes / SECTOR_BYTES)
  await writeAll(array.volume, 0, history.initialBytes())
  return Promise.all([...disks, ...areas].map((disk) => readAll(disk, 0, disk.sizeBytes)))
}

/** One life of an array, up to the cut, and what is known of it. */
class Life {
  readonly array: TestArray
  readonly history: SectorHistory
  /**
   * Where all data of a row may have been written without the journal, and not been flushed since: by sector of the
   * members, the last group of these writes.
   */
  readonly bypassed = new Map<number, number>()
  readonly #geometry: ParityGeometry
  readonly #cut: PowerCut
  readonly #random: Random
  readonly #disks = new Map<number, PowerCutVolume>()
  readonly #areas = new Map<number, PowerCutVolume>()
  #replacements = 0
  #group = 0

  constructor({ geometry, missing }: Scenario, contents: Buffer[], cut: PowerCut, random: Random) {
    this.#geometry = geometry
    this.#cut = cut
    this.#random = random
    for (let number = 0; number < geometry.memberCount; number++) {
      if (missing.includes(number)) continue
      const [disk, area] = [contents[number]!, contents[geometry.memberCount + number]!]
      this.#disks.set(number, this.#plug(`disk${number}`, disk))
      this.#areas.set(number, this.#plug(`area${number}`, area))
    }
    this.array = openArray(geometry, this.#disks, this.#areas, new RecordedIntents(), cut)
    this.history = new SectorHistory(this.array.volume.sizeBytes / SECTOR_BYTES)
  }

  #plug(name: string, content: Buffer): PowerCutVolume {
    const medium = new MemoryVolume(name, content.length)
    medium.writeNow(0, content, 0, content.length)
    return new PowerCutVolume(medium, this.#cut)
  }

  async live(hasFailures: boolean): Promise<void> {
    await this.array.journal.recover()
    for (let count = 0; count < ACTIONS; count++) {
      this.#group = this.history.beginGroup()
      const choice = this.#random()
      if (choice < 0.55) await this.#writeSome(1 + below(this.#random, 4))
      else if (choice < 0.75) await this.#flush()
      else if (choice < 0.82) await this.#discard()
      else if (hasFailures) await this.#changeMembers()
    }
  }

  /** What is found of the disks of members that are not absent. */
  afterCut(): { disks: Map<number, MemoryVolume>; areas: Map<number, MemoryVolume> } {
    const found = (volumes: Map<number, PowerCutVolume>) => {
      const present = [...volumes].filter(([number]) => this.#state(number) !== 'absent')
      return new Map(present.map(([number, volume]) => [number, volume.afterCut()] as const))
    }
    return { disks: found(this.#disks), areas: found(this.#areas) }
  }

  #state(number: number): string {
    return this.array.members[number]!.state
  }

  async #writeSome(count: number): Promise<void> {
    const { volume } = this.array
    const writes = Array.from({ length: count }, () => {
      const [sector, sectors] = this.#range()
      return { sector, bytes: this.history.write(sector, sectors) }
    })
    const started = writes.map(({ sector, bytes }) =>
      writeAll(volume, sector * SECTOR_BYTES, bytes),
    )
    const ends = await Promise.allSettled(started)
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  async #flush(): Promise<void> {
    const flushed = this.#beginFlush()
    const flush = io((done) => this.array.volume.flush(done)).then(flushed)
    const besides = this.#random() < 0.5 ? this.#writeSome(2) : null
    const ends = await Promise.allSettled([flush, besides])
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  /** To be called when the flush has ended well. */
  #beginFlush(): () => void {
    const flushed = this.history.beginFlush()
    const before = this.#group
    this.#group++
    return () => {
      flushed()
      for (const [at, group] of this.bypassed) if (group <= before) this.bypassed.delete(at)
    }
  }

  async #discard(): Promise<void> {
    const [sector, count] = this.#range()
    this.history.clear(sector, count)
    const [offset, length] = [sector * SECTOR_BYTES, count * SECTOR_BYTES]
    await io((done) => this.array.volume.discard(offset, length, done))
  }

  /** Fails a member, replaces it, or rebuilds it, in part or whole. */
  async #changeMembers(): Promise<void> {
    const { array } = this
    const absent = array.members.filter(({ state }) => state === 'absent')
    const rebuilding = array.members.filter(({ state }) => state === 'rebuilding')
    const choice = this.#random()
    if (rebuilding.length > 0 && choice < 0.3) {
      await array.volume.resync(0, CHUNK * below(this.#random, ROWS))
    } else if (rebuilding.length > 0 && choice < 0.7) {
      const flushed = this.#beginFlush()
      await array.rebuild()
      flushed()
    } else if (absent.length > 0 && choice < 0.8) {
      this.#replace(absent[below(this.#random, absent.length)]!.number)
    } else if (absent.length + rebuilding.length < this.#geometry.parityCount) {
      // In the midst of writes.
      const writes = this.#writeSome(3)
      writes.catch(() => {})
      const inSync = array.members.filter(({ state }) => state === 'in-sync')
      const turns = below(this.#random, 12)
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
      if (!this.#cut.isCut) array.remove(inSync[below(this.#random, inSync.length)]!.number)
      await writes
    }
  }

  #replace(number: number): void {
    this.#replacements++
    const name = `disk${number}-${this.#replacements}`
    const content = Buffer.alloc(MEMBER_BYTES, 0xe7)
    const disk = this.#plug(name, content)
    const area = this.#plug(`${name}-area`, Buffer.alloc(AREA_BYTES, 0xe7))
    this.#disks.set(number, disk)
    this.#areas.set(number, area)
    this.array.insert(number, disk, area)
  }

  /** Some sectors, or whole rows. */
  #range(): [sector: number, count: number] {
    const rowSectors = (dataCountOf(this.#geometry) * CHUNK) / SECTOR_BYTES
    let sector = below(this.#random, ROWS * rowSectors)
    let count = 1 + below(this.#random, this.#random() < 0.5 ? 8 : 2 * rowSectors)
    if (this.#random() < 0.3) {
      sector -= sector % rowSectors
      count = rowSectors * (1 + below(this.#random, 2))
    }
    count = Math.min(count, ROWS * rowSectors - sector)
    this.#noteBypassed(sector, count)
    return [sector, count]
  }

  #noteBypassed(sector: number, count: number): void {
    if (this.array.members.some(({ state }) => state !== 'in-sync')) return
    const dataCount = dataCountOf(this.#geometry)
    for (let at = 0; at < ROWS * CHUNK_SECTORS; at++) {
      const column = at % CHUNK_SECTORS
      const first = (at - column) * dataCount + column
      const last = first + (dataCount - 1) * CHUNK_SECTORS
      if (first >= sector && last < sector + count) this.bypassed.set(at, this.#group)
    }
  }
}

function openArray(
  geometry: ParityGeometry,
  disks: ReadonlyMap<number, PowerCutVolume | MemoryVolume>,
  areas: ReadonlyMap<number, PowerCutVolume | MemoryVolume>,
  intents: RecordedIntents,
  cut: PowerCut | null,
): TestArray {
  const numbers = Array.from({ length: geometry.memberCount }, (_, number) => number)
  return new TestArray({
    geometry,
    memberSizeBytes: MEMBER_BYTES,
    disks: numbers.map((number) => disks.get(number) ?? null),
    areas: numbers.map((number) => areas.get(number) ?? null),
    areaSizeBytes: AREA_BYTES,
    intents,
    canFail: () => cut === null || !cut.isCut,
  })
}

/** Opens what the cut has left, after a second cut in the midst of that. */
async function revive(life: Life, { geometry, lostAtCut }: Scenario, random: Random) {
  let { disks, areas } = life.afterCut()
  const states = life.array.members.map(({ state }) => state)
  const open = (
    cut: PowerCut | null,
    plug: (medium: MemoryVolume) => MemoryVolume | PowerCutVolume,
  ) => {
    const plugged = (media: Map<number, MemoryVolume>) =>
      new Map([...media].map(([number, medium]) => [number, plug(medium)] as const))
    const [openDisks, openAreas] = [plugged(disks), plugged(areas)]
    const intents = new RecordedIntents(life.array.intents.regions)
    const array = openArray(geometry, openDisks, openAreas, intents, cut)
    for (const [number, state] of states.entries()) {
      if (state !== 'rebuilding') continue
      array.members[number]!.state = state
      array.areas[number]!.state = state
    }
    return { array, openDisks, openAreas }
  }
  for (let lost = 0; lost < lostAtCut; lost++) {
    const inSync = states.flatMap((state, number) => (state === 'in-sync' ? [number] : []))
    if (states.length - inSync.length === geometry.parityCount) break
    const number = inSync[below(random, inSync.length)]!
    states[number] = 'absent'
    disks.delete(number)
    areas.delete(number)
  }
  const again = new PowerCut(below(random, 30), random)
  const unlucky = open(again, (medium) => new PowerCutVolume(medium, again))
  await unlucky.array.journal.recover().catch(() => {})
  const found = (volumes: Map<number, MemoryVolume | PowerCutVolume>) =>
    new Map(
      [...volumes].map(
        ([number, volume]) => [number, (volume as PowerCutVolume).afterCut()] as const,
      ),
    )
  disks = found(unlucky.openDisks)
  areas = found(unlucky.openAreas)
  const { array } = open(null, (medium) => medium)
  await array.journal.recover()
  await array.resyncRegions()
  return array
}

/** Faults of what the array holds, for the history that it has. */
async function findFaults(array: TestArray, life: Life): Promise<string[]> {
  const { geometry, volume } = array
  const dataCount = dataCountOf(geometry)
  const missing = array.members
    .filter(({ state }) => state !== 'in-sync')
    .map(({ number }) => number)
  const bytes = await readAll(volume, 0, volume.sizeBytes)
  const faults: string[] = []
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
    const chunk = Math.floor(at / CHUNK)
    const row = Math.floor(chunk / dataCount)
    const column = (at % CHUNK) / SECTOR_BYTES
    const isLost = missing.includes(memberOf(geometry, row, chunk % dataCount))
    // All that the row has of this sector was being written.
    if (isLost && life.bypassed.has(row * CHUNK_SECTORS + column)) continue
    const fault = life.history.findFault(at / SECTOR_BYTES, bytes.subarray(at, at + SECTOR_BYTES))
    if (fault !== null) faults.push(`${fault}${isLost ? ', recovered' : ''}`)
  }
  await array.rebuild()
  const { differingBytes, repaired } = await volume.scrub(0, MEMBER_BYTES)
  if (differingBytes > 0 || repaired.length > 0) faults.push(`${differingBytes} bytes differ`)
  // What is said of the data is true of the parity as well.
  for (
    let first = 0;
    missing.length < geometry.parityCount && first < missing.length + 2;
    first++
  ) {
    const lost = array.members.find(({ state, number }) => state === 'in-sync' && number >= first)!
    array.remove(lost.number)
    missing.push(lost.number)
    const again = await readAll(volume, 0, volume.sizeBytes)
    if (!again.equals(bytes)) faults.push(`it differs without ${missing.join(' and ')}`)
  }
  return faults
}

/** Cuts at every `stride`th operation of a life. How many cuts there were. */
async function cutThrough(
  scenario: Scenario,
  contents: Buffer[],
  seed: number,
  stride: number,
): Promise<{ cuts: number; faults: string[] }> {
  const faults: string[] = []
  for (let cuts = 0; ; cuts++) {
    const cutAt = (seed % stride) + cuts * stride
    const chances = randomFrom(seed * 1000 + cutAt)
    const cut = new PowerCut(cutAt, chances)
    const life = new Life(scenario, contents, cut, randomFrom(seed))
    const end = await life.live(scenario.hasFailures).catch((error: Error) => error)
    const isLast = !cut.isCut
    if (end !== undefined && isLast) throw end
    // Or the journal, which makes room by itself, would go on where the next life begins.
    while (!cut.isCut) cut.strikes()
    const array = await revive(life, scenario, chances)
    const found = await findFaults(array, life)
    if (found.length > 0) faults.push(`seed ${seed} cut at ${cutAt}: ${found.join('; ')}`)
    if (isLast) return { cuts, faults }
  }
}

const raid5: ParityGeometry = { memberCount: 4, parityCount: 1, chunkSizeBytes: CHUNK }
const raid6: ParityGeometry = { memberCount: 5, parityCount: 2, chunkSizeBytes: CHUNK }
const none = { missing: [], hasFailures: false, lostAtCut: 0 }
const scenarios: readonly (readonly [string, Scenario])[] = [
  ['RAID 5', { ...none, geometry: raid5 }],
  ['RAID 5 without a member', { ...none, geometry: raid5, missing: [1] }],
  ['RAID 5 that loses a member with it', { ...none, geometry: raid5, lostAtCut: 1 }],
  ['RAID 5 with members failing', { ...none, geometry: raid5, hasFailures: true }],
  ['RAID 6', { ...none, geometry: raid6 }],
  ['RAID 6 without two members', { ...none, geometry: raid6, missing: [0, 3] }],
  ['RAID 6 that loses two members with it', { ...none, geometry: raid6, lostAtCut: 2 }],
  [
    'RAID 6 without one that loses another',
    { ...none, geometry: raid6, missing: [2], lostAtCut: 1 },
  ],
  [
    'RAID 6 with members failing, and one lost with it',
    { ...none, geometry: raid6, hasFailures: true, lostAtCut: 1 },
  ],
]

const SEEDS = Number(process.env.PLATTER_CUT_SEEDS ?? 1)
const STRIDE = 19

for (const [name, scenario] of scenarios) {
  t.test(`${name}: no power cut takes what was flushed, or was not being written`, async (t) => {
    const contents = await prepare(scenario.geometry)
    let cutCount = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { cuts, faults } = await cutThrough(scenario, contents, seed, STRIDE)
      cutCount += cuts
      t.strictSame(faults, [])
    }
    t.ok(cutCount > 8 * SEEDS, `cut ${cutCount} times`)
  })
}
