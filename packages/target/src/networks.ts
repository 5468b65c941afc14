/** IP networks that hosts may come from, as ADDRESS/PREFIX. */
import { BlockList, isIP } from 'node:net'

/** An IPv4 address that came in through a socket for both families (RFC 4291 section 2.5.5.2). */
const MAPPED = /^::ffff:(?=\d+\.)/i

/** The network in lower case, with a prefix even where it is one address; undefined if `text` is none. */
export function parseNetwork(text: string): string | undefined {
  const [address = '', prefix, ...rest] = text.toLowerCase().split('/')
  const family = isIP(address)
  const most = family === 4 ? 32 : 128
  const length = prefix ?? `${most}`
  const sound = family !== 0 && rest.length === 0 && /^\d{1,3}$/.test(length)
  return sound && Number(length) <= most ? `${address}/${Number(length)}` : undefined
}

/** Whether `address` belongs to one of these networks, which `parseNetwork` has made. */
export function isWithin(networks: readonly string[], address: string): boolean {
  const plain = address.replace(MAPPED, '')
  const family = isIP(plain)
  if (family === 0) return false
  const list = new BlockList()
  for (const network of networks) {
    const [base = '', prefix] = network.split('/')
    if (isIP(base) === family) list.addSubnet(base, Number(prefix), familyName(family))
  }
  return list.check(plain, familyName(family))
}

function familyName(family: number): 'ipv4' | 'ipv6' {
  return family === 4 ? 'ipv4' : 'ipv6'
}
