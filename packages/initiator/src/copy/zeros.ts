/** Zeros in images: where they are, and pieces of them. */

/** The shortest run of zeros, in bytes, that is worth a hole. */
const UNIT_BYTES = 64 * 1024
/** What is written at once where there is no command for zeros. */
const pieces = Buffer.alloc(1024 * 1024)
const zeros = pieces.subarray(0, UNIT_BYTES)

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

/** Puts `length` bytes of zeros, a piece at a time, each at its place from `offset` on. */
export async function putZeros(
  offset: number,
  length: number,
  put: (offset: number, zeros: Buffer) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < length; at += pieces.length) {
    await put(offset + at, pieces.subarray(0, Math.min(length - at, pieces.length)))
  }
}
