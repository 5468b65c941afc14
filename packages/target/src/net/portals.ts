/**
 * Which of a server's portals a host can use: those on the network that it came by. Addresses of other
 * networks would be of no use to it, or lead it where it should not go.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'

/** A listening portal's address, as it is bound. */
export interface PortalAddress {
  readonly host: string
  readonly port: number
}

/** Port numbers, both ends included. */
export interface PortRange {
  readonly low: number
  readonly high: number
}

/**
 * Portals for a host whose connection came to `local`, that one first. `bound` are the numeric
 * addresses that the server listens on; one that stands for all addresses is told as the address of
 * `local`. `interfaces` is what os.networkInterfaces() says.
 */
export function reachablePortals(
  bound: readonly PortalAddress[],
  local: PortalAddress,
  interfaces: Readonly<Record<string, NetworkInterfaceInfo[] | undefined>>,
): PortalAddress[] {
  const isNear = networkOf(local.host, interfaces)
  const portals = new Map([[`${local.port} ${local.host}`, local]])
  for (const { host, port } of bound) {
    const told = isWildcardFor(host, local.host) ? local.host : host
    if (told === local.host || isNear(told)) portals.set(`${port} ${told}`, { host: told, port })
  }
  return [...portals.values()]
}

/** Whether a listener on `host` takes connections to `address` among others. `::` takes both families. */
function isWildcardFor(host: string, address: string): boolean {
  return host === '::' || (host === '0.0.0.0' && isIPv4(address))
}

/** Tells the addresses of the networks that `address` is on from all others. */
function networkOf(
  address: string,
  interfaces: Readonly<Record<string, NetworkInterfaceInfo[] | undefined>>,
): (other: string) => boolean {
  const networks: BlockList[] = []
  for (const { cidr, family } of Object.values(interfaces).flatMap((infos) => infos ?? [])) {
    const [base, prefix] = cidr?.split('/') ?? []
    if (base === undefined) continue
    const network = new BlockList()
    network.addSubnet(base, Number(prefix), family === 'IPv6' ? 'ipv6' : 'ipv4')
    if (contains(network, address)) networks.push(network)
  }
  return (other) => networks.some((network) => contains(network, other))
}

function contains(network: BlockList, address: string): boolean {
  if (isIPv4(address)) return network.check(address, 'ipv4')
  return isIPv6(address) && network.check(address, 'ipv6')
}
