/** Sizes on command lines and in answers for people: binary units, 1K = 1024 bytes. */
import { InvalidArgumentError } from 'commander'

const units = ['', 'K', 'M', 'G', 'T', 'P'] as const

/** Bytes of `65536`, `256K`, `1.5G`, with or without `iB`; for commander. Positive. */
export function sizeArgument(text: string): number {
  const bytes = offsetArgument(text)
  if (bytes > 0) return bytes
  throw invalid(text)
}

/** As sizeArgument, and 0. */
export function offsetArgument(text: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)([KMGTP]?)(?:iB|B)?$/i.exec(text) ?? []
  const power = units.indexOf(unit.toUpperCase() as (typeof units)[number])
  const bytes = Number(digits) * 1024 ** power
  if (Number.isSafeInteger(bytes)) return bytes
  throw invalid(text)
}

function invalid(text: string): InvalidArgumentError {
  return new InvalidArgumentError(`got ${text}, wanted a size such as 65536, 256K or 1.5G`)
}

/** `1.5 GiB`: three digits or four. */
export function formatSize(bytes: number): string {
  let power = 0
  while (power < units.length - 1 && bytes >= 1024 ** (power + 1)) power++
  if (power === 0) return `${Math.round(bytes)} B`
  const amount = bytes / 1024 ** power
  return `${amount >= 100 ? amount.toFixed(0) : amount.toPrecision(3)} ${units[power]}iB`
}
