import t from 'tap'
import type { ArrayLevel } from '../../../src/volume/array-description.ts'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { assembleOne } from '../arrays.ts'
import { type ArrayByHand, openByHand } from './array.ts'
import { regionsInDoubt } from './bitmap.ts'
import { crc32c } from './crc32c.ts'
import {
  CHUNK_BYTES,
  choices,
  DISK_BYTES,
  disksOf,
  flushAll,
  imagesOf,
  type Made,
  makeArray,
  noise,
  settleArray,
  shapes,
  write,
} from './disks.ts'
import { labelOf } from './label.ts'

const KIB = 1024

t.test('partitions of every level are read from the disks in any order', async (t) => {
  for (const [level, memberCount] of shapes) {
    const made = await makeArray(level, memberCount)
    const other = await makeArray('raid1', 2, true, 'pool')
    await flushAll(made.array)
    const images = await imagesOf(made.disks)
    const [foreign] = (await imagesOf(other.disks)) as [Buffer, Buffer]
    const blank = Buffer.alloc(2 * KIB * KIB)
    const array = openByHand([foreign, ...images.reverse(), blank, noise(KIB * KIB, 3)], 'tank')
    t.strictSame(
      array.partitions().map(({ name, size, logicalBlockSize }) => [name, size, logicalBlockSize]),
      [
        ['a', 360 * KIB, 512],
        ['b', 100 * KIB, 4096],
      ],
      level,
    )
    t.equal(array.partitions()[0]!.extents.length, 2)
    t.ok(array.members.every(({ state }) => state === 'in sync'))
    t.strictSame(
      array.members.map(({ disk }) => disk),
      [...images.keys()].map((n) => memberCount - n),
    )
    t.strictSame(wrongPartitions(array, made), [], `${level} is as it was written`)
  }
})

t.test('every set of members that the level can do without may be missing', async (t) => {
  for (const [level, memberCount] of shapes) {
    for (const checksums of [false, true]) {
      const made = await makeArray(level, memberCount, checksums)
      await settleArray(made)
      const images = await imagesOf(made.disks)
      for (let count = 1; count <= 3; count++) {
        for (const missing of choices(memberCount, count)) {
          const rest = images.filter((_, n) => !missing.includes(n))
          const what = `${level} without ${missing}`
          if (!canDoWithout(level, memberCount, missing)) {
            t.throws(() => openByHand(rest, 'tank'), what)
            continue
          }
          const array = openByHand(rest, 'tank')
          t.strictSame(wrongPartitions(array, made), [], what)
          const absent = array.members.filter(({ state }) => state === 'absent')
          t.strictSame(
            absent.map(({ number, reason }) => [number, reason]),
            missing.map((number) => [number, 'missing']),
          )
        }
      }
    }
  }
})

t.test('bytes that have changed on one member are made again', async (t) => {
  for (const [level, memberCount] of shapes.filter(([level]) => level !== 'raid0')) {
    for (const settled of [true, false]) {
      const made = await makeArray(level, memberCount)
      await (settled ? settleArray(made) : flushAll(made.array))
      const images = await imagesOf(made.disks)
      for (const [number, image] of images.entries()) {
        const damaged = [...images]
        damaged[number] = damage(image)
        const array = openByHand(damaged, 'tank')
        const what = `${level}, member ${number}, ${settled ? 'nothing' : 'all'} in doubt`
        t.strictSame(wrongPartitions(array, made), [], what)
      }
    }
  }
})

t.test('RAID 6 makes bytes again with one member missing, or with two damaged', async (t) => {
  const made = await makeArray('raid6', 5)
  await settleArray(made)
  const images = await imagesOf(made.disks)
  for (const [one, other] of choices(5, 2) as [number, number][]) {
    const damaged = images.map((image, n) => (n === one || n === other ? damage(image) : image))
    t.strictSame(wrongPartitions(openByHand(damaged, 'tank'), made), [], `${one} and ${other}`)
    damaged.splice(one, 1)
    t.strictSame(wrongPartitions(openByHand(damaged, 'tank'), made), [], `${other}, not ${one}`)
  }
})

t.test('bytes that have changed are an error where there are no others', async (t) => {
  const made = await makeArray('raid0', 3, true)
  await settleArray(made)
  const images = await imagesOf(made.disks)
  images[1] = damage(images[1]!)
  const array = openByHand(images, 'tank')
  t.throws(() => array.readPartition('a'), /lost/)
  const plain = await makeArray('raid5', 3)
  await settleArray(plain)
  const [first, second] = await imagesOf(plain.disks)
  t.throws(() => openByHand([first!, damage(second!)], 'tank').readPartition('a'), /lost/)
})

t.test('a member that was left out is told by its label, and not used', async (t) => {
  for (const [level, memberCount] of shapes.filter(([level]) => level !== 'raid0')) {
    const made = await makeArray(level, memberCount)
    const { array, disks } = made
    await array.upkeep.fail(disks[1]!)
    for (let n = 0; n < 6; n++) await write(made, 'a', n * 40 * KIB, noise(24 * KIB, 50 + n))
    await array.createPartition({ name: 'c', sizeBytes: 64 * KIB })
    await write(made, 'c', 0, noise(64 * KIB, 70))
    const byHand = openByHand(await imagesOf(disks), 'tank')
    t.equal(byHand.members[1]!.state, 'absent')
    t.match(byHand.members[1]!.reason, /absent since generation \d/)
    t.strictSame(wrongPartitions(byHand, made), [], level)
  }
})

t.test('a member that is being rebuilt is used for what it holds already', async (t) => {
  for (const [level, memberCount] of shapes.filter(([level]) => level !== 'raid0')) {
    const made = await makeArray(level, memberCount)
    const { array, disks } = made
    // So that more regions than one are to be filled.
    await array.createPartition({ name: 'd', sizeBytes: array.freeBytes })
    await write(made, 'd', 0, noise(array.partition('d').sizeBytes, 90))
    await settleArray(made)
    const spare = new MemoryVolume('spare', DISK_BYTES)
    await array.upkeep.fail(disks[2]!)
    await write(made, 'a', 4096, noise(50 * KIB, 80))
    await array.upkeep.replace(spare)
    const members = disks.map((disk, n) => (n === 2 ? spare : disk))
    // It is stopped again and again on the way, each time a little later.
    // How many regions were left when some had been filled.
    const regionsLeft = new Set<number>()
    let running = array
    for (let stops = 0; running.members[2]?.state === 'rebuilding' && stops < 50; stops++) {
      for (let turn = 0; turn < 12 + 16 * stops; turn++) await new Promise(setImmediate)
      await running.close()
      const images = await imagesOf(members)
      const byHand = openByHand([...images, ...(await imagesOf([disks[2]!]))], 'tank')
      if (byHand.members[2]?.state === 'being rebuilt') {
        const left = regionsInDoubt(byHand.label, images)
        if (left.includes(false)) regionsLeft.add(left.filter(Boolean).length)
      }
      t.strictSame(wrongPartitions(byHand, made), [], `${level} after ${stops} stops`)
      for (const [n, disk] of disksOf(images).entries()) members[n] = disk
      running = await assembleOne(members)
    }
    await running.close()
    t.ok(regionsLeft.size > 0, `${level} was read with ${[...regionsLeft]} regions left`)
  }
})

t.test('an array that cannot be used says why', async (t) => {
  const made = await makeArray('raid1', 2)
  const before = await imagesOf(made.disks)
  const [first, second] = before as [Buffer, Buffer]
  t.throws(() => openByHand([...before, first], 'tank'), /Member 0 is there twice/)
  t.throws(() => openByHand(before, 'pool'), /No disk is one of an array pool/)
  t.throws(() => openByHand([first, relabelled(second, 51, 0x6c)], 'tank'), /differently/)
  t.throws(() => openByHand([first, relabelled(second, 11, 4)], 'tank'), /version 4 is not known/)
  const making = before.map((image) => relabelled(image, 151, 1))
  t.throws(() => openByHand(making, 'tank'), /is being made/)

  await made.array.upkeep.fail(made.disks[0]!)
  const [, alone] = (await imagesOf(made.disks)) as [Buffer, Buffer]
  t.equal(openByHand([first, alone], 'tank').members[0]?.state, 'absent')
  // The disk that was left out is used by itself as well, so that neither holds all.
  const otherDisks = disksOf(before)
  const other = await assembleOne(otherDisks)
  await other.upkeep.fail(otherDisks[1]!)
  const [sameGeneration] = (await imagesOf(otherDisks)) as [Buffer, Buffer]
  t.throws(() => openByHand([sameGeneration, alone], 'tank'), /differently/)
  await other.createPartition({ name: 'c', sizeBytes: 4096 })
  const [later] = (await imagesOf(otherDisks)) as [Buffer, Buffer]
  t.throws(() => openByHand([later, alone], 'tank'), /Member 1 was used without the others/)
  t.equal(openByHand([later], 'tank').members[0]?.state, 'in sync')

  for (const { name } of made.array.partitions) await made.array.deletePartition(name)
  await made.array.destroy()
  const destroyed = await imagesOf(made.disks)
  t.throws(() => openByHand(destroyed.slice(1), 'tank'), /No disk is one/)
})

t.test('of the two labels of a disk the newest that holds counts', async (t) => {
  const made = await makeArray('raid5', 3)
  await settleArray(made)
  const images = await imagesOf(made.disks)
  const { generation } = labelOf(images[0]!)!
  const at = generation % 2 === 0 ? 0 : 512 * KIB
  images[0]![at + 200]! ^= 1
  t.equal(labelOf(images[0]!)!.generation, generation - 1)
  const array = openByHand(images, 'tank')
  t.ok(
    array.members.every(({ state }) => state === 'in sync'),
    'one change behind is used',
  )
  t.strictSame(wrongPartitions(array, made), [])
})

/** Which partitions are not as they were written. */
function wrongPartitions(array: ArrayByHand, { contents }: Made): string[] {
  return [...contents].flatMap(([name, bytes]) =>
    array.readPartition(name).equals(bytes) ? [] : [name],
  )
}

function canDoWithout(level: ArrayLevel, memberCount: number, missing: readonly number[]): boolean {
  if (level === 'raid0') return false
  if (level === 'raid1') return missing.length < memberCount
  if (level === 'raid10') return !missing.some((n) => missing.includes(n ^ 1))
  return missing.length <= (level === 'raid5' ? 1 : 2)
}

/** The disk with a bit changed in every block of the rows that are used. */
function damage(image: Buffer): Buffer {
  const damaged = Buffer.from(image)
  const { dataOffset } = labelOf(image)!
  for (let at = 0; at < 40 * CHUNK_BYTES; at += 4096) {
    damaged[dataOffset + at + ((at * 7) % 4093)]! ^= 0x10
  }
  return damaged
}

/** The disk with another byte in its newest label, with which the checksum agrees. */
function relabelled(image: Buffer, at: number, byte: number): Buffer {
  const changed = Buffer.from(image)
  const slot = labelOf(image)!.generation % 2 === 0 ? 0 : 512 * KIB
  changed[slot + at] = byte
  const label = changed.subarray(slot, slot + changed.readUInt32BE(slot + 12))
  label.writeUInt32BE(0, 16)
  label.writeUInt32BE(crc32c(label), 16)
  return changed
}
