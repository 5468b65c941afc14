import t from 'tap'
import { MemoryVolume } from '../../../src/volume/memory-volume.ts'
import { checksumAreaBytes } from '../../../src/volume/raid/checksum-page.ts'
import { IntegrityVolume } from '../../../src/volume/raid/integrity-volume.ts'
import type { Volume } from '../../../src/volume/volume.ts'
import { io, readAll } from '../io.ts'
import { cutEverywhere } from '../power-cut.ts'
import { BLOCK, ONE_PAGE } from './integrity-setup.ts'
import { checkSectors, Journal, SIZE, writeRounds } from './unflushed-writes.ts'

function openOn([data, checksums]: readonly Volume[]): IntegrityVolume {
  return new IntegrityVolume({ data: data!, checksums: checksums!, cacheBytesMax: ONE_PAGE })
}

/** Adopts what cannot be read, which may only be where something was being written. How much that is. */
async function adoptInDoubt(volume: IntegrityVolume, journal: Journal): Promise<number> {
  let count = 0
  for (let at = 0; at < SIZE; at += BLOCK) {
    const isRight = await readAll(volume, at, BLOCK).then(
      () => true,
      () => false,
    )
    if (isRight) continue
    if (!journal.isInDoubt(at, BLOCK)) throw new Error(`the block at ${at} is lost`)
    await volume.adopt(at, BLOCK)
    count++
  }
  return count
}

t.test('after a power cut what was flushed is right, and the rest can be adopted', async (t) => {
  let journal = new Journal()
  let adopted = 0
  const cuts = await cutEverywhere(
    async () => {
      journal = new Journal()
      return [new MemoryVolume('member', SIZE), new MemoryVolume('member', checksumAreaBytes(SIZE))]
    },
    async (disks) => {
      const volume = openOn(disks)
      await writeRounds(volume, journal)
    },
    async (disks, completed) => {
      const volume = openOn(disks)
      adopted += await adoptInDoubt(volume, journal)
      const bytes = await checkSectors(volume, journal)
      t.equal(completed, journal.unflushed.length === 0 && journal.flushed.includes(7))
      await io((done) => volume.flush(done))
      const again = openOn(disks)
      t.ok((await readAll(again, 0, SIZE)).equals(bytes), 'for good')
      t.equal(again.mismatchCount, 0)
    },
  )
  t.ok(cuts >= 15, `${cuts} places to cut`)
  t.ok(adopted > 0)
})
