import t from 'tap'
import { FaultVolume } from '../../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { io, readAll, writeAll } from '../io.ts'
import { BadSectorVolume } from './bad-sectors.ts'
import { held, KIB, MIB, makeMirror, numbered, plant, type TestMirror } from './mirror-parts.ts'
import { Schedule, ShuffledVolume } from './shuffled-volume.ts'

const UNIT = 128 * KIB
const ALWAYS = { times: Number.POSITIVE_INFINITY }

interface MirrorOfBadSectors extends TestMirror {
  readonly disks: readonly BadSectorVolume[]
}

/** All members hold the same bytes. */
async function mirrorOfBadSectors(count: number, bytes: Buffer): Promise<MirrorOfBadSectors> {
  const disks: BadSectorVolume[] = []
  const made = makeMirror({
    count,
    wrap: (disk, number) => {
      disks[number] = new BadSectorVolume(disk)
      return disks[number]
    },
  })
  await writeAll(made.mirror, 0, bytes)
  return { ...made, disks }
}

function agree(memories: readonly MemoryVolume[], bytes: Buffer): boolean {
  return memories.every((memory) => held(memory, 0, bytes.length).equals(bytes))
}

t.test('what one member cannot give comes from another, and is written to it', async (t) => {
  for (const bad of [0, 1]) {
    const bytes = numbered(4 * UNIT)
    const { mirror, disks, memories, failures } = await mirrorOfBadSectors(2, bytes)
    for (let unit = bad; unit < 4; unit += 2) {
      plant(memories[bad]!, unit * UNIT + 4096, Buffer.alloc(512, 0xbd))
      disks[bad]!.badSectors.add(unit * UNIT + 4096)
    }
    t.ok((await readAll(mirror, 0, 4 * UNIT)).equals(bytes))
    t.ok(agree(memories, bytes))
    t.equal(disks[bad]!.badSectors.size, 0)
    t.strictSame(failures.failed, [])
  }
})

t.test('the next in turn is asked when two members fail, and both are mended', async (t) => {
  const bytes = numbered(UNIT)
  const { mirror, disks, faults, memories } = await mirrorOfBadSectors(3, bytes)
  disks[0]!.badSectors.add(1024)
  disks[1]!.badSectors.add(2048)
  const into = Buffer.alloc(3 + 4096 + 5)
  await io((done) => mirror.read(0, into, 3, 4096, done))
  t.ok(into.subarray(3, 3 + 4096).equals(bytes.subarray(0, 4096)))
  t.ok(into.subarray(3 + 4096).equals(Buffer.alloc(5)), 'no bytes beside what was asked for')
  t.strictSame([disks[0]!.badSectors.size, disks[1]!.badSectors.size], [0, 0])
  t.strictSame(
    faults.map((fault) => fault.started.write),
    [2, 2, 1],
  )
  t.ok(agree(memories, bytes))
})

t.test('good blocks of bad copies make up a whole', async (t) => {
  const bytes = numbered(UNIT)
  const { mirror, disks, memories, failures } = await mirrorOfBadSectors(2, bytes)
  disks[0]!.badSectors.add(4096 + 512).add(3 * 4096)
  disks[1]!.badSectors.add(2 * 4096).add(7 * 4096)
  const into = Buffer.alloc(3 + UNIT - 512)
  await io((done) => mirror.read(512, into, 3, UNIT - 512, done))
  t.ok(into.subarray(3).equals(bytes.subarray(512)))
  t.ok(into.subarray(0, 3).equals(Buffer.alloc(3)))
  t.equal(disks[0]!.badSectors.size + disks[1]!.badSectors.size, 0)
  t.ok(agree(memories, bytes))
  t.strictSame(failures.failed, [])
})

t.test('a block that no copy has is an error of the mirror, at its place', async (t) => {
  const bytes = numbered(UNIT)
  const { mirror, disks } = await mirrorOfBadSectors(2, bytes)
  for (const disk of disks) disk.badSectors.add(5 * 4096 + 1024)
  disks[0]!.badSectors.add(4096)
  const expected = { name: 'VolumeError', op: 'read', volume: 'mirror', offset: 5 * 4096 }
  const error = await readAll(mirror, 0, UNIT).catch((error) => error)
  t.match(error, expected)
  t.match(error.cause, { name: 'VolumeError', volume: 'disk0' })
  t.notOk(disks[0]!.badSectors.has(4096), 'what can be mended is')
  t.strictSame([...disks[1]!.badSectors], [5 * 4096 + 1024])
  await t.rejects(readAll(mirror, 5 * 4096, 4096), expected)
  t.ok((await readAll(mirror, 0, 5 * 4096)).equals(bytes.subarray(0, 5 * 4096)))
  await writeAll(mirror, 5 * 4096, bytes.subarray(5 * 4096, 6 * 4096))
  t.ok((await readAll(mirror, 0, UNIT)).equals(bytes))
})

t.test('the last copy is not asked again for what it has not given', async (t) => {
  const { mirror, members, faults } = makeMirror()
  members[1]!.state = 'rebuilding'
  faults[0]!.failNext('read', ALWAYS)
  const failed = { name: 'VolumeError', op: 'read', volume: 'mirror', offset: 4096 }
  await t.rejects(readAll(mirror, 4096, UNIT), failed)
  t.strictSame(
    faults.map((fault) => fault.started.read),
    [1, 0],
  )
})

t.test('a member that cannot be mended is taken out, and the read is good', async (t) => {
  for (const refuses of [false, true]) {
    const { mirror, faults, failures, intents } = makeMirror()
    await writeAll(mirror, 0, numbered(4096))
    failures.refuses = refuses
    faults[0]!.failNext('read')
    faults[0]!.failNext('write')
    t.ok((await readAll(mirror, 0, 4096)).equals(numbered(4096)))
    t.strictSame(failures.failed, refuses ? [] : [0])
    t.equal(intents.areHeld, refuses)
  }
})

t.test('nothing is written to a disk that has left meanwhile', async (t) => {
  const schedule = new Schedule(1)
  const { mirror, members, memories, faults } = makeMirror({
    count: 3,
    wrap: (disk, number) => (number === 1 ? new ShuffledVolume(disk, schedule) : disk),
  })
  faults[0]!.failNext('read')
  const read = readAll(mirror, 0, 4096)
  await new Promise((resolve) => setTimeout(resolve, 5))
  members[0]!.leave()
  await schedule.finish([read])
  t.equal(faults[1]!.started.read, 1)
  plant(memories[2]!, 0, numbered(4096))
  const resync = mirror.resync(0, 4096)
  await new Promise((resolve) => setTimeout(resolve, 5))
  members[2]!.leave()
  await schedule.finish([resync])
  t.strictSame(
    faults.map((fault) => fault.started.write),
    [0, 0, 0],
  )
})

t.test('mending waits for a write of the same bytes, and does not undo it', async (t) => {
  for (let seed = 0; seed < 30; seed++) {
    const schedule = new Schedule(seed)
    const { mirror, faults, memories } = makeMirror({
      wrap: (disk) => new ShuffledVolume(disk, schedule),
      later: schedule.add,
    })
    await schedule.finish([writeAll(mirror, 0, numbered(4096))])
    faults[0]!.failNext('read')
    const read = readAll(mirror, 0, 4096)
    const bytes = numbered(4096, 100)
    await schedule.finish([read, writeAll(mirror, 0, bytes)])
    if (!agree(memories, bytes)) t.fail(`copies differ after the order of seed ${seed}`)
    const found = await read
    if (!found.equals(bytes) && !found.equals(numbered(4096))) {
      t.fail(`neither old nor new was read after the order of seed ${seed}`)
    }
  }
})

t.test('a resync makes all that are there hold what the first in sync does', async (t) => {
  const { mirror, members, memories, faults } = makeMirror({ count: 4, sizeBytes: 3 * MIB })
  const bytes = numbered(3 * MIB)
  await writeAll(mirror, 0, bytes)
  members[0]!.leave()
  plant(memories[2]!, MIB + 512, Buffer.alloc(1024, 0xaa))
  const blank = new FaultVolume(new MemoryVolume('new', 3 * MIB))
  members[3]!.replace(blank)
  await mirror.resync(512, 3 * MIB - 512)
  t.ok(held(memories[2]!).equals(bytes))
  t.ok((await readAll(blank, 512, 3 * MIB - 512)).equals(bytes.subarray(512)))
  t.ok((await readAll(blank, 0, 512)).equals(Buffer.alloc(512)), 'nothing beside the range')
  t.equal(faults[2]!.started.write, 2, 'equal bytes are not written')
  t.equal(faults[1]!.started.write, 1)
  const writes = blank.started.write
  await mirror.resync(512, 3 * MIB - 512)
  t.equal(blank.started.write, writes)
})

t.test('a resync takes what it can from wherever it can be read', async (t) => {
  const bytes = numbered(MIB)
  const { mirror, members, disks, memories } = await mirrorOfBadSectors(3, bytes)
  disks[0]!.badSectors.add(4096)
  disks[1]!.badSectors.add(8192).add(16384)
  members[2]!.state = 'rebuilding'
  disks[2]!.badSectors.add(0)
  plant(memories[2]!, 0, Buffer.alloc(MIB, 0xaa))
  await mirror.resync(0, MIB)
  t.ok(agree(memories, bytes))
  t.equal(
    disks.reduce((sum, disk) => sum + disk.badSectors.size, 0),
    0,
  )
  for (const disk of disks.slice(0, 2)) disk.badSectors.add(12288)
  plant(memories[2]!, 0, Buffer.alloc(MIB, 0xaa))
  const failed = { name: 'VolumeError', op: 'read', volume: 'mirror', offset: 12288 }
  await t.rejects(mirror.resync(0, MIB), failed)
  const rest = Buffer.concat([held(memories[2]!, 0, 12288), held(memories[2]!, 16384, MIB - 16384)])
  t.ok(rest.equals(Buffer.concat([bytes.subarray(0, 12288), bytes.subarray(16384)])))
  t.ok(held(memories[2]!, 12288, 4096).equals(Buffer.alloc(4096, 0xaa)))
  for (const disk of disks.slice(0, 2)) t.strictSame([...disk.badSectors], [12288])
})

t.test('a member that fails its resync is taken out', async (t) => {
  const { mirror, members, memories, faults, failures } = makeMirror({ count: 3 })
  const bytes = numbered(MIB)
  await writeAll(mirror, 0, bytes)
  members[1]!.state = 'rebuilding'
  for (const memory of memories.slice(1)) plant(memory, 0, Buffer.alloc(4096))
  faults[1]!.failNext('write')
  await mirror.resync(0, MIB)
  t.strictSame(failures.failed, [1])
  t.ok(held(memories[2]!).equals(bytes))
  plant(memories[2]!, 0, Buffer.alloc(4096))
  faults[2]!.failNext('write')
  failures.refuses = true
  await t.rejects(mirror.resync(0, MIB), { name: 'VolumeError', message: /member 2 stays/ })
})

t.test('writes wait for a resync of their bytes, and for no other', async (t) => {
  const schedule = new Schedule(3)
  const { mirror, memories } = makeMirror({
    sizeBytes: 2 * MIB,
    wrap: (disk, number) => (number === 1 ? new ShuffledVolume(disk, schedule) : disk),
  })
  plant(memories[0]!, 0, numbered(MIB))
  const resync = mirror.resync(0, MIB)
  const write = writeAll(mirror, 4096, Buffer.alloc(4096, 0xaa))
  t.notOk(mirror.writeNow(4096, Buffer.alloc(512), 0, 512))
  await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(held(memories[0]!, 4096, 4096).equals(numbered(MIB).subarray(4096, 8192)))
  await schedule.finish([writeAll(mirror, MIB, Buffer.alloc(4096, 0xbb)), resync, write])
  t.ok(held(memories[0]!).equals(held(memories[1]!)))
  t.ok(held(memories[1]!, 4096, 4096).equals(Buffer.alloc(4096, 0xaa)))
})

t.test('a scrub finds what differs, and makes it as the first readable copy has it', async (t) => {
  const bytes = numbered(MIB)
  const { mirror, members, memories, disks, failures } = await mirrorOfBadSectors(4, bytes)
  members[3]!.state = 'rebuilding'
  plant(memories[3]!, 0, Buffer.alloc(MIB))
  t.strictSame(await mirror.scrub(0, MIB), { differingBytes: 0, repaired: [] })
  plant(memories[1]!, 512, Buffer.alloc(1024, 0xaa))
  plant(memories[2]!, 1024, Buffer.alloc(1024, 0xbb))
  disks[0]!.badSectors.add(64 * KIB + 512)
  disks[0]!.badSectors.add(68 * KIB)
  disks[2]!.badSectors.add(MIB - 512)
  const findings = await mirror.scrub(0, MIB)
  t.equal(findings.differingBytes, 3 * 512)
  t.strictSame(findings.repaired, [
    { memberNumber: 0, offset: 64 * KIB, length: 8192 },
    { memberNumber: 2, offset: MIB - 4096, length: 4096 },
  ])
  t.ok(agree(memories.slice(0, 3), bytes))
  t.ok(held(memories[3]!).equals(Buffer.alloc(MIB)), 'a rebuilding member is no concern of it')
  t.strictSame(await mirror.scrub(0, MIB), { differingBytes: 0, repaired: [] })
  t.strictSame(failures.failed, [])
})

t.test('a scrub of some blocks looks at these only', async (t) => {
  const { mirror, memories } = makeMirror()
  plant(memories[0]!, 0, numbered(MIB))
  const findings = await mirror.scrub(512, 8192)
  t.strictSame(findings, { differingBytes: 8192, repaired: [] })
  const expected = Buffer.alloc(MIB)
  numbered(MIB).copy(expected, 512, 512, 512 + 8192)
  t.ok(held(memories[1]!).equals(expected))
})

t.test('where the first copy cannot be read, the next one counts', async (t) => {
  const bytes = numbered(8192)
  const { mirror, memories, disks } = await mirrorOfBadSectors(3, bytes)
  disks[0]!.badSectors.add(0)
  plant(memories[0]!, 0, Buffer.alloc(8192, 0xaa))
  plant(memories[2]!, 512, Buffer.alloc(512, 0xbb))
  t.strictSame(await mirror.scrub(0, 4096), {
    differingBytes: 512,
    repaired: [{ memberNumber: 0, offset: 0, length: 4096 }],
  })
  t.ok(agree(memories, bytes.subarray(0, 4096)))
})

t.test('a dead member is taken out by a scrub, once', async (t) => {
  const { mirror, memories, faults, failures } = makeMirror({ count: 3, sizeBytes: 2 * MIB })
  const bytes = numbered(2 * MIB)
  await writeAll(mirror, 0, bytes)
  faults[1]!.failNext('read', ALWAYS)
  faults[1]!.failNext('write', ALWAYS)
  t.strictSame(await mirror.scrub(0, 2 * MIB), { differingBytes: 0, repaired: [] })
  t.strictSame(failures.failed, [1])
  for (const number of [0, 2]) t.ok(held(memories[number]!).equals(bytes))
  faults[0]!.failNext('read', ALWAYS)
  faults[2]!.failNext('read', ALWAYS)
  const failed = { name: 'VolumeError', op: 'read', volume: 'mirror', offset: MIB }
  await t.rejects(mirror.scrub(MIB, MIB), failed)
})
