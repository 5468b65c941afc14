/** Where a file has holes, asked of its file system step by step. */
import { Errno, type SystemCalls } from './system-calls.ts'
import type { HoleMap } from './volume.ts'

/**
 * As `Volume.locateHoles` of the open file `fd`. `done` is called later, from the event loop. A file
 * system that knows no holes, or a device, has data everywhere.
 */
export function locateFileHoles(
  calls: SystemCalls,
  fd: number,
  offset: number,
  length: number,
  map: HoleMap,
  done: () => void,
): void {
  const end = offset + length
  let at = offset
  let to: 'data' | 'hole' = 'data'
  const take = (found: number) => {
    const isHole = to === 'data'
    const until = found >= 0 ? Math.min(found, end) : end
    // What a failing call leaves unknown is data; that there are no data any more is no failure.
    const added = map.add(isHole && (found >= 0 || found === Errno.NothingThere), until - at)
    if (!added || until === end) {
      done()
      return
    }
    at = until
    to = isHole ? 'hole' : 'data'
    calls.seek(fd, at, to, take)
  }
  calls.seek(fd, at, to, take)
}
