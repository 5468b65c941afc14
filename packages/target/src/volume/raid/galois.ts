/**
 * The field GF(2^8) of RAID 6, as Linux md has it (H. P. Anvin, "The mathematics of RAID-6"): bytes,
 * whose sum is XOR and whose product is that of polynomials modulo x^8 + x^4 + x^3 + x^2 + 1. The
 * powers of 2 are all 255 elements but 0.
 */

/** What doubling an element adds once a bit has left the byte: 0x11d without that bit. */
export const REDUCTION = 0x1d

/** `powers[i]` is 2^i, written twice so that the sum of two logarithms needs no modulus. */
const powers = new Uint8Array(510)
const logarithms = new Uint8Array(256)
for (let exponent = 0, power = 1; exponent < 255; exponent++) {
  powers[exponent] = power
  powers[exponent + 255] = power
  logarithms[power] = exponent
  power = (power << 1) ^ (power & 0x80 ? 0x100 | REDUCTION : 0)
}

/** Product of two elements, each 0 … 255. */
export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0
  return powers[logarithms[a]! + logarithms[b]!]!
}

/** The element that times `b` is `a`. A RangeError if `b` is 0. */
export function divide(a: number, b: number): number {
  return multiply(a, inverse(b))
}

/** The element that times `a` is 1. A RangeError for 0, which has none. */
export function inverse(a: number): number {
  if (a === 0) throw new RangeError('0 has no inverse in GF(2^8)')
  return powers[255 - logarithms[a]!]!
}

/** 2 to an integer power, which may be negative: the factor of data chunk `exponent` in Q. */
export function powerOfTwo(exponent: number): number {
  return powers[((exponent % 255) + 255) % 255]!
}
