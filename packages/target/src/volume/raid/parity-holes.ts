/** What the holes of the members are to a parity array. */
import { HoleMap, type IoCompletion, type VolumeError } from '../volume.ts'
import type { ParityArray } from './parity-array.ts'
import { arrayOffsetOf, dataCountOf, memberOf } from './parity-layout.ts'

/** Goes along what one member has of some rows, run by run; all offsets are the member's. */
class MemberRuns {
  readonly #map: HoleMap
  #index = 0
  /** The end of the run at hand. */
  end: number

  constructor(map: HoleMap, start: number) {
    this.#map = map
    this.end = start + (map.runs[0]?.length ?? 0)
  }

  /** Goes on to the run with the byte at `offset`, if the map tells so much. */
  seek(offset: number): void {
    while (this.end <= offset && this.#index < this.#map.runs.length) {
      this.#index++
      this.end += this.#map.runs[this.#index]?.length ?? 0
    }
  }

  /** Undefined where the map does not tell. */
  get isHole(): boolean | undefined {
    return this.#map.runs[this.#index]?.isHole
  }
}

/**
 * `Volume.locateHoles` of a range that is not empty. A range is a hole if the member that has it says so and is
 * in-sync; what is on others, or cannot be located, counts as data.
 */
export function locateParityHoles(
  array: ParityArray,
  offset: number,
  length: number,
  map: HoleMap,
  completion: IoCompletion,
): void {
  const { geometry, members } = array
  const rowSizeBytes = dataCountOf(geometry) * geometry.chunkSizeBytes
  const start = Math.floor(offset / rowSizeBytes) * geometry.chunkSizeBytes
  const end = Math.ceil((offset + length) / rowSizeBytes) * geometry.chunkSizeBytes
  const found = members.map(() => new HoleMap(map.runsMax))
  let pending = members.length
  const finish = () => {
    pending--
    if (pending > 0) return
    const runs = found.map((memberMap) => new MemberRuns(memberMap, start))
    joinParityHoles(array, offset, length, runs, map)
    completion.ioCompleted(null)
  }
  for (const [number, { state, volume }] of members.entries()) {
    const memberMap = found[number]!
    const ioCompleted = (error: VolumeError | null) => {
      if (error !== null || memberMap.length === 0) {
        memberMap.runs.length = 0
        memberMap.length = 0
        memberMap.add(false, end - start)
      }
      finish()
    }
    if (state === 'in-sync') volume!.locateHoles(start, end - start, memberMap, { ioCompleted })
    else process.nextTick(ioCompleted, null)
  }
}

/** Takes time by the number of runs and of members, not of bytes, but where members differ. */
function joinParityHoles(
  { geometry }: ParityArray,
  offset: number,
  length: number,
  members: readonly MemberRuns[],
  into: HoleMap,
): void {
  const { chunkSizeBytes } = geometry
  const dataCount = dataCountOf(geometry)
  const end = offset + length
  for (let at = offset; at < end; ) {
    const chunk = Math.floor(at / chunkSizeBytes)
    const row = Math.floor(chunk / dataCount)
    const index = chunk - row * dataCount
    const memberOffset = row * chunkSizeBytes + (at - chunk * chunkSizeBytes)
    const here = members[memberOf(geometry, row, index)]!
    here.seek(memberOffset)
    const { isHole } = here
    if (isHole === undefined) return
    let until = Math.min((chunk + 1) * chunkSizeBytes, at + here.end - memberOffset)
    if (index === 0 && at === chunk * chunkSizeBytes) {
      // Rows in which all members, parity too, are of this kind are one piece.
      const rows = Math.floor(
        (endOfKind(members, memberOffset, isHole) - memberOffset) / chunkSizeBytes,
      )
      if (rows > 0) until = arrayOffsetOf(geometry, row + rows, 0, 0)
    }
    until = Math.min(until, end)
    if (!into.add(isHole, until - at)) return
    at = until
  }
}

/** Until where all members are of this kind from `offset` on; `offset` if they are not. */
function endOfKind(members: readonly MemberRuns[], offset: number, isHole: boolean): number {
  let end = Number.POSITIVE_INFINITY
  for (const member of members) {
    member.seek(offset)
    if (member.isHole !== isHole) return offset
    end = Math.min(end, member.end)
  }
  return end
}
