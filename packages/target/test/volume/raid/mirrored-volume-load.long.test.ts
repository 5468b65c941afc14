import fc from 'fast-check'
import t from 'tap'
import { type FaultOp, FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import type { ScrubFindings } from '../../../src/volume/raid/member.ts'
import type { MirroredVolume } from '../../../src/volume/raid/mirrored-volume.ts'
import { io, readAll, writeAll } from '../io.ts'
import {
  held,
  KIB,
  makeMirror,
  numbered,
  type TestMember,
  type TestMirror,
} from './mirror-parts.ts'
import { Schedule, ShuffledVolume } from './shuffled-volume.ts'

/** Some of everything, with every answer checked. Returns what is on the mirror then. */
async function exercise(mirror: MirroredVolume): Promise<Buffer> {
  const model = Buffer.alloc(mirror.sizeBytes)
  const write = async (offset: number, bytes: Buffer) => {
    await writeAll(mirror, offset, bytes)
    bytes.copy(model, offset)
  }
  const read = async (offset: number, length: number) => {
    const found = await readAll(mirror, offset, length)
    if (!found.equals(model.subarray(offset, offset + length))) throw new Error(`at ${offset}`)
  }
  await write(0, numbered(300 * KIB))
  await read(0, 300 * KIB)
  await Promise.all([write(4096, numbered(8192, 5000)), write(20480, numbered(4096, 6000))])
  await io((done) => mirror.flush(done))
  await read(0, 64 * KIB)
  await read(128 * KIB, 64 * KIB)
  await io((done) => mirror.discard(8192, 65536, done))
  model.fill(0, 8192, 8192 + 65536)
  await mirror.resync(0, mirror.sizeBytes)
  await read(0, 300 * KIB)
  await mirror.scrub(0, mirror.sizeBytes)
  await write(200 * KIB, numbered(4096, 7000))
  await io((done) => mirror.flush(done))
  await read(0, mirror.sizeBytes)
  return model
}

function differingCopies({ members, memories }: TestMirror, model: Buffer): number[] {
  return members
    .filter(({ state, number }) => state === 'in-sync' && !held(memories[number]!).equals(model))
    .map(({ number }) => number)
}

t.test('whichever operation of a member fails, nothing is lost or refused', async (t) => {
  for (const count of [2, 3]) {
    for (const op of ['read', 'write', 'flush', 'discard'] as const) {
      for (const times of [1, Number.POSITIVE_INFINITY]) {
        for (let failing = 0; failing < count; failing++) {
          for (let after = 0; ; after++) {
            const parts = makeMirror({ count, sizeBytes: 512 * KIB })
            parts.faults[failing]!.failNext(op, { after, times, tornAtBytes: 512 })
            const model = await exercise(parts.mirror)
            const what = `${op} ${after} of member ${failing} of ${count}, ${times} times`
            if (differingCopies(parts, model).length > 0) t.fail(`copies differ: ${what}`)
            const struck = parts.faults[failing]!.started[op] > after
            // What cannot be read is written again, and that goes well.
            t.strictSame(parts.failures.failed, struck && op !== 'read' ? [failing] : [], what)
            if (parts.intents.open.length > 0) t.fail(`an intent stays: ${what}`)
            if (!struck) break
          }
        }
      }
    }
  }
})

const BLOCK = 8 * KIB
const BLOCKS = 48

/** What write number `n` puts into its blocks. A discard is like one that is number 0. */
function stamp(n: number, blocks: number): Buffer {
  const word = Buffer.alloc(4)
  word.writeUInt32BE(n)
  return Buffer.alloc(blocks * BLOCK, word)
}

/**
 * What may be read: of each block the writes in the order in which they were asked for, and the latest of
 * them that has been answered. A read gives what that was when the read began, or a later one.
 */
class BlockHistory {
  readonly #writes = Array.from({ length: BLOCKS }, () => [0])
  readonly #answered = new Array<number>(BLOCKS).fill(0)

  /** Returns what `answer` wants to know. */
  begin(block: number, blocks: number, n: number): number[] {
    return this.#writes.slice(block, block + blocks).map((writes) => writes.push(n) - 1)
  }

  answer(block: number, places: readonly number[]): void {
    for (const [index, place] of places.entries()) {
      if (place < this.#answered[block + index]!) throw new Error('a write was overtaken')
      this.#answered[block + index] = place
    }
  }

  answered(block: number, blocks: number): number[] {
    return this.#answered.slice(block, block + blocks)
  }

  check(block: number, oldest: readonly number[], bytes: Buffer): void {
    for (const [index, place] of oldest.entries()) {
      const found = bytes.subarray(index * BLOCK, (index + 1) * BLOCK)
      const n = found.readUInt32BE(0)
      if (this.#writes[block + index]!.indexOf(n, place) < 0 || !found.equals(stamp(n, 1))) {
        throw new Error(`block ${block + index} was read as write ${n} left it, or as none did`)
      }
    }
  }

  /** The last of each block. */
  final(): Buffer {
    return Buffer.concat(this.#writes.map((writes) => stamp(writes.at(-1)!, 1)))
  }
}

/**
 * A mirror whose disks do what they are asked in any order. One of the members fails now and then, and is
 * replaced and rebuilt; all that is asked for must go well all the same.
 */
class Load {
  readonly schedule: Schedule
  readonly history = new BlockHistory()
  readonly parts: TestMirror
  readonly #victim: TestMember
  #victimMemory: MemoryVolume
  #victimFault: FaultVolume
  #writes = 0
  readonly #operations: Promise<unknown>[] = []

  constructor(count: number, victim: number, seed: number) {
    this.schedule = new Schedule(seed)
    this.parts = makeMirror({
      count,
      sizeBytes: BLOCKS * BLOCK,
      wrap: (disk) => new ShuffledVolume(disk, this.schedule),
      later: this.schedule.add,
    })
    this.#victim = this.parts.members[victim]!
    this.#victimMemory = this.parts.memories[victim]!
    this.#victimFault = this.parts.faults[victim]!
  }

  write(block: number, blocks: number): void {
    const { mirror } = this.parts
    const n = ++this.#writes
    const bytes = stamp(n, blocks)
    const places = this.history.begin(block, blocks, n)
    const answer = () => this.history.answer(block, places)
    if (mirror.writeNow(block * BLOCK, bytes, 0, bytes.length)) answer()
    else this.#expect(writeAll(mirror, block * BLOCK, bytes).then(answer))
  }

  discard(block: number, blocks: number): void {
    const { mirror } = this.parts
    const places = this.history.begin(block, blocks, 0)
    const discard = io((done) => mirror.discard(block * BLOCK, blocks * BLOCK, done))
    this.#expect(discard.then(() => this.history.answer(block, places)))
  }

  read(block: number, blocks: number): void {
    const { mirror } = this.parts
    const oldest = this.history.answered(block, blocks)
    const bytes = Buffer.alloc(blocks * BLOCK)
    const check = (found: Buffer) => this.history.check(block, oldest, found)
    if (mirror.readNow(block * BLOCK, bytes, 0, bytes.length)) check(bytes)
    else this.#expect(readAll(mirror, block * BLOCK, bytes.length).then(check))
  }

  flush(): void {
    this.#expect(io((done) => this.parts.mirror.flush(done)))
  }

  scrub(block: number, blocks: number): void {
    const scrub = this.parts.mirror.scrub(block * BLOCK, blocks * BLOCK)
    const check = ({ differingBytes }: ScrubFindings) => {
      if (differingBytes > 0) throw new Error(`${differingBytes} bytes differ`)
    }
    this.#expect(scrub.then(check))
  }

  /** The next operation of this kind that the victim is asked for fails. */
  fail(op: FaultOp): void {
    this.#victimFault.failNext(op)
  }

  /** Puts a new disk in the victim's place, if it is out, and rebuilds it. */
  replace(): void {
    if (this.#victim.state !== 'absent') return
    this.#victimMemory = new MemoryVolume('new', BLOCKS * BLOCK)
    this.#victimFault = new FaultVolume(this.#victimMemory)
    const volume = new ShuffledVolume(this.#victimFault, this.schedule)
    this.#victim.replace(volume)
    const rebuilt = this.parts.mirror.resync(0, BLOCKS * BLOCK).then(() => {
      if (this.#victim.volume === volume) this.#victim.state = 'in-sync'
    })
    this.#expect(rebuilt)
  }

  /** What fails is told by `finish`. */
  #expect(operation: Promise<unknown>): void {
    operation.catch(() => {})
    this.#operations.push(operation)
  }

  /** Lets everything end, and looks at what the members hold. */
  async finish(): Promise<void> {
    await this.schedule.finish(this.#operations)
    const expected = this.history.final()
    for (const { number, state } of this.parts.members) {
      const isVictim = number === this.#victim.number
      const memory = isVictim ? this.#victimMemory : this.parts.memories[number]!
      if (state !== 'absent' && !held(memory).equals(expected)) {
        throw new Error(`member ${number}, ${state}, does not hold what was written last`)
      }
    }
    if (this.parts.intents.open.length > 0) throw new Error('an intent was not ended')
  }
}

t.test('in whatever order disks work, fail and are replaced, copies agree', async (t) => {
  const step = fc.record({
    op: fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom('read', 'write') },
      { weight: 2, arbitrary: fc.constantFrom('fail', 'replace') },
      { weight: 1, arbitrary: fc.constantFrom('discard', 'flush', 'scrub') },
    ),
    fault: fc.constantFrom<FaultOp>('read', 'write', 'write', 'flush'),
    block: fc.nat({ max: BLOCKS - 1 }),
    blocks: fc.integer({ min: 1, max: BLOCKS }),
    picks: fc.nat({ max: 6 }),
  })
  const property = fc.asyncProperty(
    fc.integer({ min: 2, max: 3 }),
    fc.nat({ max: 2 }),
    fc.nat(),
    fc.array(step, { minLength: 10, maxLength: 60 }),
    async (count, victim, seed, steps) => {
      const load = new Load(count, victim % count, seed)
      for (const { op, fault, block, blocks, picks } of steps) {
        const length = Math.min(blocks, BLOCKS - block)
        if (op === 'fail') load.fail(fault)
        else if (op === 'replace') load.replace()
        else if (op === 'flush') load.flush()
        else load[op](block, length)
        await load.schedule.run(picks)
      }
      await load.finish()
    },
  )
  await fc.assert(property, { numRuns: 300 })
  t.pass()
})
