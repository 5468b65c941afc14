/** Where a connection goes, and where it comes from. */
import { isIP, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'

export interface Endpoint {
  readonly host: string
  readonly port: number
  /** The local address to come from, or the network interface that has it; the system's choice if not given. */
  readonly source?: string | undefined
}

/** For node:net. Throws an Error when there is no such interface, or it has no address that fits. */
export function dialOptions({ host, port, source }: Endpoint) {
  return source === undefined
    ? { host, port }
    : { host, port, localAddress: localAddress(source, host) }
}

function localAddress(source: string, host: string): string {
  if (isIP(source) !== 0) return source
  const addresses = networkInterfaces()[source] ?? []
  const family = isIP(host) === 0 ? undefined : isIPv6(host) ? 'IPv6' : 'IPv4'
  const found = addresses.find((it) => family === undefined || it.family === family)
  if (found === undefined) {
    throw new Error(`${source} is no network interface with an address to reach ${host} from`)
  }
  return found.address
}

/** `HOST:PORT`, as iSCSI writes it, and the source if there is one. */
export function formatEndpoint({ host, port, source }: Endpoint): string {
  const portal = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  return source === undefined ? portal : `${portal},source=${source}`
}
