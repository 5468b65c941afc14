/** Where a piece of an image is nothing but zeros. Pure. */

/** The shortest run of zeros, in bytes, that is worth a hole. */
const UNIT_BYTES = 64 * 1024
const zeros = Buffer.alloc(UNIT_BYTES)

export interface Run {
  readonly start: number
  readonly end: number
  readonly zero: boolean
}

/** The whole of `bytes` as runs that are zeros and runs that are not, in their order. */
export function zeroRuns(bytes: Buffer): Run[] {
  const runs: Run[] = []
  let start = 0
  let zero = isZero(bytes, 0)
  for (let at = UNIT_BYTES; at < bytes.length; at += UNIT_BYTES) {
    if (isZero(bytes, at) === zero) continue
    runs.push({ start, end: at, zero })
    start = at
    zero = !zero
  }
  runs.push({ start, end: bytes.length, zero })
  return runs
}

function isZero(bytes: Buffer, at: number): boolean {
  const end = Math.min(at + UNIT_BYTES, bytes.length)
  return bytes.compare(zeros, 0, end - at, at, end) === 0
}
