/**
 * Values of text keys, from and to their written form (RFC 7143 section 6.1). A value that is not of
 * the form asked for is undefined: what to answer then depends on the key.
 */

/** A numerical-value: an unsigned decimal or hex constant below 2^64; above 2^53 it is rounded. */
export function parseNumber(text: string): number | undefined {
  if (!/^(0|[1-9][0-9]*|0[xX][0-9a-fA-F]+)$/.test(text)) return undefined
  const value = BigInt(text)
  return value < 1n << 64n ? Number(value) : undefined
}

/** A numerical-range, `low~high`. */
export function parseRange(text: string): readonly [low: number, high: number] | undefined {
  const ends = text.split('~')
  if (ends.length !== 2) return undefined
  const low = parseNumber(ends[0] as string)
  const high = parseNumber(ends[1] as string)
  return low === undefined || high === undefined || high < low ? undefined : [low, high]
}

export function parseBoolean(text: string): boolean | undefined {
  return text === 'Yes' ? true : text === 'No' ? false : undefined
}

export function formatBoolean(value: boolean): 'Yes' | 'No' {
  return value ? 'Yes' : 'No'
}

/** A list-of-values. An empty value is a list of nothing; an empty element makes it invalid. */
export function parseList(text: string): readonly string[] | undefined {
  if (text === '') return []
  const values = text.split(',')
  return values.includes('') ? undefined : values
}

/**
 * A binary-value, in a new buffer: hex (an odd number of digits counts as led by a zero), base64, or
 * decimal, which must be below 2^64 and takes as few bytes as it can.
 */
export function parseBinary(text: string): Buffer | undefined {
  const digits = text.slice(2)
  if (/^0[xX]/.test(text)) return parseHex(digits)
  if (/^0[bB]/.test(text)) return parseBase64(digits)
  if (!/^(0|[1-9][0-9]*)$/.test(text) || BigInt(text) >= 1n << 64n) return undefined
  return parseHex(BigInt(text).toString(16))
}

function parseHex(digits: string): Buffer | undefined {
  if (!/^[0-9a-fA-F]+$/.test(digits)) return undefined
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
}

function parseBase64(digits: string): Buffer | undefined {
  if (digits === '' || digits.length % 4 !== 0) return undefined
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(digits)) return undefined
  const bytes = Buffer.from(digits, 'base64')
  return bytes.toString('base64') === digits ? bytes : undefined
}

/** `bytes` as a hex constant. */
export function formatHex(bytes: Buffer): string {
  return `0x${bytes.toString('hex')}`
}

/** `bytes` as a base64 constant. */
export function formatBase64(bytes: Buffer): string {
  return `0b${bytes.toString('base64')}`
}
