/** Sizes as people write and read them: binary units, 1K = 1024 bytes. */

const units = ['', 'K', 'M', 'G', 'T', 'P'] as const

/** Bytes of `1G`, `1.5T`, `64K`, `512`; also with `iB` after the unit. Throws on anything else. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGTP]?)(?:iB|B)?$/i.exec(text.trim())
  if (match === null) {
    throw new Error(
      `size: got ${JSON.stringify(text)}, wanted a number of bytes such as 512, 64K, 1.5G, 2T`,
    )
  }
  const bytes = Number(match[1]) * 1024 ** units.indexOf(match[2]!.toUpperCase() as 'K')
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new Error(`size: got ${text}, wanted whole bytes from 1 to ${Number.MAX_SAFE_INTEGER}`)
  }
  return bytes
}

/** Both forms: `1.5 GiB (1610612736)`. */
export function formatSize(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : `${formatAmount(bytes)} (${bytes})`
}

/** Rounded: `1.5 GiB`. */
export function formatAmount(bytes: number): string {
  let power = 0
  while (power < units.length - 1 && bytes >= 1024 ** (power + 1)) power++
  if (power === 0) return `${bytes} B`
  const amount = (bytes / 1024 ** power).toFixed(2).replace(/\.?0+$/, '')
  return `${amount} ${units[power]}iB`
}
