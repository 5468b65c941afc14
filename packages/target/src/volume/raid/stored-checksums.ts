/** What is asked of checksums, and done to them, apart from reads and writes: not for the data path. */
import { settled } from '../settled.ts'
import { VolumeError } from '../volume.ts'
import { blockChecksum, CHECKED_BLOCK_BYTES, type ChecksumPage } from './checksum-page.ts'
import type { CheckedData } from './integrity-transfer.ts'
import { whileLocked } from './range-locks.ts'

/** So much is locked, and in memory, at once. */
const SLICE_BYTES = 64 * 1024

/** As `BlockChecks.adopt`. */
export async function adoptBlocks(
  checked: CheckedData,
  offset: number,
  length: number,
): Promise<void> {
  const bytes = Buffer.allocUnsafeSlow(Math.min(length, SLICE_BYTES))
  const end = offset + length
  for (let at = offset; at < end; at += SLICE_BYTES) {
    const count = Math.min(SLICE_BYTES, end - at)
    await whileLocked(checked.locks, at, count, async () => {
      await settled((completion) => checked.data.read(at, bytes, 0, count, completion))
      for (let done = 0; done < count; done += CHECKED_BLOCK_BYTES) {
        await withPage(checked, at + done, (page, block) => {
          checked.cache.set(page, block, blockChecksum(bytes, done))
        })
      }
    })
  }
}

/** As `BlockChecks.fits`. */
export async function blocksFit(
  checked: CheckedData,
  offset: number,
  from: Buffer,
  position: number,
  length: number,
): Promise<boolean> {
  return whileLocked(checked.locks, offset, length, async () => {
    let fit = true
    for (let done = 0; fit && done < length; done += CHECKED_BLOCK_BYTES) {
      await withPage(checked, offset + done, (page, block) => {
        fit = page.checksumOf(block) === blockChecksum(from, position + done)
      })
    }
    return fit
  })
}

/** Uses the page with the checksum of the block at `offset` as soon as it is there: later it may be gone. */
function withPage(
  { name, cache }: CheckedData,
  offset: number,
  use: (page: ChecksumPage, block: number) => void,
): Promise<void> {
  const block = offset / CHECKED_BLOCK_BYTES
  return new Promise((resolve, reject) => {
    const completion = {
      ioCompleted(error: VolumeError | null): void {
        if (error === null) attempt()
        else reject(new VolumeError('read', name, offset, error.cause))
      },
    }
    const attempt = () => {
      const page = cache.find(block)
      if (page === null) cache.load(block, completion)
      else {
        use(page, block)
        resolve()
      }
    }
    attempt()
  })
}
