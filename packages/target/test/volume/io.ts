/** Volume operations as promises, for tests. */
import { HoleMap, type IoCompletion, type Run, type Volume } from '../../src/volume/volume.ts'

/** Runs one operation; rejects with its VolumeError, or if it is reported from within the call. */
export function io(start: (completion: IoCompletion) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let returned = false
    let reported = false
    start({
      ioCompleted(error) {
        if (!returned) reject(new Error('completed from within the call that started it'))
        else if (reported) throw new Error('completed twice')
        else if (error === null) resolve()
        else reject(error)
        reported = true
      },
    })
    returned = true
  })
}

export async function readAll(volume: Volume, offset: number, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length, 0xee)
  await io((completion) => volume.read(offset, into, 0, length, completion))
  return into
}

export function writeAll(volume: Volume, offset: number, from: Buffer): Promise<void> {
  return io((completion) => volume.write(offset, from, 0, from.length, completion))
}

/** What `locateHoles` finds with a map of `runsMax` runs. */
export async function runsOf(
  volume: Volume,
  offset: number,
  length: number,
  runsMax = 1000,
): Promise<readonly Run[]> {
  const map = new HoleMap(runsMax)
  await io((completion) => volume.locateHoles(offset, length, map, completion))
  return map.runs
}
