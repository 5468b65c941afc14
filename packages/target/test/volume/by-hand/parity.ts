// The arithmetic of RAID 5 and 6: where the chunks of a row are, and how lost ones are found again.

/** On which members of row `row` P, Q and the data chunks are. */
export interface RowLayout {
  readonly p: number
  readonly q?: number
  readonly data: readonly number[]
}

export function rowLayout(memberCount: number, parities: number, row: number): RowLayout {
  const p = memberCount - 1 - (row % memberCount)
  const data = Array.from(
    { length: memberCount - parities },
    (_, k) => (p + parities + k) % memberCount,
  )
  return parities === 2 ? { p, q: (p + 1) % memberCount, data } : { p, data }
}

/**
 * All members' bytes of a row, from those that are there.
 * @throws Error when more are lost than there are parities.
 */
export function restoreRow(
  layout: RowLayout,
  there: readonly (Buffer | undefined)[],
  length: number,
): Buffer[] {
  const p = there[layout.p]
  const q = layout.q === undefined ? undefined : there[layout.q]
  const data = layout.data.map((member) => there[member])
  const lost = data.flatMap((bytes, k) => (bytes === undefined ? [k] : []))
  const [i, j] = lost
  const parities = [p, q].filter((each) => each !== undefined)
  if (lost.length > parities.length) throw new Error(`${lost.length} data chunks are lost`)

  // P' and Q': what the parities say of the lost chunks alone.
  const restP = p && sum([p, ...data])
  const restQ = q && sum([q, ...data.map((bytes, k) => bytes && times(bytes, power(k)))])
  if (i !== undefined && j !== undefined && restP && restQ) {
    const numerator = sum([restQ, times(restP, power(j))])
    data[i] = times(numerator, inverse(power(i) ^ power(j)))
    data[j] = sum([restP, data[i]])
  } else if (i !== undefined && restP) data[i] = restP
  else if (i !== undefined && restQ) data[i] = times(restQ, inverse(power(i)))

  const zeros = Buffer.alloc(length)
  const whole: Buffer[] = []
  layout.data.forEach((member, k) => {
    whole[member] = data[k] as Buffer
  })
  whole[layout.p] = sum([zeros, ...data])
  if (layout.q !== undefined) {
    whole[layout.q] = sum([zeros, ...data.map((bytes, k) => bytes && times(bytes, power(k)))])
  }
  return whole
}

function sum(terms: readonly (Buffer | undefined)[]): Buffer {
  const [first, ...others] = terms.filter((each) => each !== undefined)
  const total = Buffer.from(first as Buffer)
  for (const term of others) {
    for (let at = 0; at < total.length; at++)
      total[at] = (total[at] as number) ^ (term[at] as number)
  }
  return total
}

function times(bytes: Buffer, factor: number): Buffer {
  const products = Uint8Array.from({ length: 256 }, (_, byte) => product(byte, factor))
  return Buffer.from(bytes.map((byte) => products[byte] as number))
}

/** In GF(2^8) with the polynomial 0x11d. */
function product(a: number, b: number): number {
  let total = 0
  let shifted = a
  for (let bit = 0; bit < 8; bit++) {
    if (b & (1 << bit)) total ^= shifted
    shifted = shifted & 0x80 ? (shifted << 1) ^ 0x11d : shifted << 1
  }
  return total
}

function power(exponent: number): number {
  let value = 1
  for (let n = 0; n < exponent; n++) value = product(value, 2)
  return value
}

function inverse(value: number): number {
  for (let candidate = 1; candidate < 256; candidate++) {
    if (product(value, candidate) === 1) return candidate
  }
  throw new Error(`${value} has no inverse`)
}
