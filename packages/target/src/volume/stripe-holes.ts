/** What the holes of its members are to an array that is striped over them. */
import { arrayOffset, memberRange, type StripeGeometry } from './stripe.ts'
import type { HoleMap } from './volume.ts'

/** Goes along what one member has of a range of the array, run by run; all offsets are the member's. */
class MemberRuns {
  readonly #map: HoleMap
  readonly #rangeEnd: number
  #index = 0
  #position: number
  /** The end of the run at hand. */
  end: number

  constructor(map: HoleMap, range: { readonly memberOffset: number; readonly length: number }) {
    this.#map = map
    this.#rangeEnd = range.memberOffset + range.length
    this.#position = range.memberOffset
    this.end = range.memberOffset + (map.runs[0]?.length ?? 0)
  }

  /** Goes on to the run with the byte at `position`, if the map tells so much. */
  seek(position: number): void {
    this.#position = position
    while (this.end <= position && this.#index < this.#map.runs.length) {
      this.#index++
      this.end += this.#map.runs[this.#index]?.length ?? 0
    }
  }

  /** Undefined where the map does not tell. */
  get isHole(): boolean | undefined {
    return this.#map.runs[this.#index]?.isHole
  }

  /** It may all be of this kind, as far as it goes in the range. */
  agrees(isHole: boolean): boolean {
    return this.#position >= this.#rangeEnd || this.isHole === isHole
  }
}

/**
 * Fills `into` with the runs of `[offset, offset + length)` of the array, as far as `maps` tell: what
 * `locateHoles` found of each member's part of that range. Takes time by the number of runs and of
 * members, not of bytes.
 */
export function joinHoles(
  geometry: StripeGeometry,
  offset: number,
  length: number,
  maps: readonly HoleMap[],
  into: HoleMap,
): void {
  const { memberCount, chunkSizeBytes } = geometry
  const members = maps.map(
    (map, member) => new MemberRuns(map, memberRange(geometry, member, offset, length)),
  )
  const endOfRun = (member: MemberRuns, index: number) => arrayOffset(geometry, index, member.end)
  const end = offset + length
  for (let at = offset; at < end; ) {
    for (const [index, member] of members.entries()) {
      member.seek(memberRange(geometry, index, at, 0).memberOffset)
    }
    const chunk = Math.floor(at / chunkSizeBytes)
    const here = members[chunk % memberCount] as MemberRuns
    const { isHole } = here
    if (isHole === undefined) return
    // Beyond the chunk all members have a say.
    const until = members.every((member) => member.agrees(isHole))
      ? Math.min(end, ...members.map(endOfRun))
      : Math.min(end, (chunk + 1) * chunkSizeBytes, endOfRun(here, chunk % memberCount))
    if (!into.add(isHole, until - at)) return
    at = until
  }
}
