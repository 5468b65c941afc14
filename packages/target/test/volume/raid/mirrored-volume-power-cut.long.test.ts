import t from 'tap'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { checksumAreaBytes } from '../../../src/volume/raid/checksum-page.ts'
import { IntegrityVolume } from '../../../src/volume/raid/integrity-volume.ts'
import { MirroredVolume } from '../../../src/volume/raid/mirrored-volume.ts'
import type { Volume } from '../../../src/volume/volume.ts'
import { io, readAll } from '../io.ts'
import { cutEverywhere } from '../power-cut.ts'
import { BLOCK, ONE_PAGE, SECTOR } from './integrity-setup.ts'
import { TestFailures, TestIntents, TestMember } from './mirror-parts.ts'
import { checkSectors, Journal, SIZE, writeRounds } from './unflushed-writes.ts'

/** `disks`: data and checksums of each member in turn. */
function mirrorOn(
  disks: readonly Volume[],
  isDoubtful: (offset: number, length: number) => boolean,
): { readonly mirror: MirroredVolume; readonly checked: readonly IntegrityVolume[] } {
  const checked = Array.from({ length: disks.length / 2 }, (_, number) => {
    const [data, checksums] = disks.slice(2 * number) as [Volume, Volume]
    return new IntegrityVolume({ data, checksums, cacheBytesMax: ONE_PAGE })
  })
  const members = checked.map((volume, number) => new TestMember(number, volume))
  const failures = new TestFailures(members, setImmediate)
  // No label can be written without power.
  failures.refuses = true
  const intents = new TestIntents(setImmediate)
  const common = { name: 'mirror', sizeBytes: SIZE, members, failures, intents }
  return { mirror: new MirroredVolume({ ...common, isDoubtful }), checked }
}

/** Changes bytes of blocks that nothing is written to. */
function rot(disk: MemoryVolume): void {
  for (const block of [5, 100, SIZE / BLOCK - 1]) {
    disk.writeNow(block * BLOCK + SECTOR, Buffer.alloc(SECTOR, 0xbd), 0, SECTOR)
  }
}

for (const memberCount of [1, 2, 3]) {
  t.test(`after a power cut ${memberCount} members come to agree, and to be known`, async (t) => {
    let journal = new Journal()
    const isDoubtful = () => true
    const cuts = await cutEverywhere(
      async () => {
        journal = new Journal()
        return Array.from({ length: memberCount }, (_, number) => [
          new MemoryVolume(`member${number}`, SIZE),
          new MemoryVolume(`member${number}`, checksumAreaBytes(SIZE)),
        ]).flat()
      },
      async (disks) => writeRounds(mirrorOn(disks, () => false).mirror, journal),
      async (disks, _completed, cutAt) => {
        // Where there is a second copy, the first may be wrong: even where all is in doubt.
        if (memberCount > 1) rot(disks[(cutAt % memberCount) * 2]!)
        const { mirror } = mirrorOn(disks, isDoubtful)
        if (cutAt % 2 === 0) await mirror.resync(0, SIZE)
        const bytes = await checkSectors(mirror, journal)
        await io((done) => mirror.flush(done))
        const again = mirrorOn(disks, () => false)
        t.strictSame(await again.mirror.scrub(0, SIZE), { differingBytes: 0, repaired: [] })
        for (const volume of again.checked) t.ok((await readAll(volume, 0, SIZE)).equals(bytes))
      },
    )
    t.ok(cuts >= 15 * memberCount, `${cuts} places to cut`)
  })
}
