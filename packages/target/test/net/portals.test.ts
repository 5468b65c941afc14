import type { NetworkInterfaceInfo } from 'node:os'
import t from 'tap'
import { type PortalAddress, reachablePortals } from '../../src/net/portals.ts'

/** What os.networkInterfaces() says of addresses such as `192.0.2.1/24`. */
function interfaces(...cidrs: string[]): Record<string, NetworkInterfaceInfo[]> {
  const infos = cidrs.map((cidr) => ({
    cidr,
    address: cidr.split('/')[0] as string,
    family: cidr.includes(':') ? 'IPv6' : 'IPv4',
  }))
  return { eth0: infos as NetworkInterfaceInfo[] }
}

const here = interfaces(
  '127.0.0.1/8',
  '::1/128',
  '192.0.2.1/25',
  '192.0.2.129/25',
  '2001:db8::1/64',
)
const portal = (host: string, port = 3260): PortalAddress => ({ host, port })
const reachable = (bound: PortalAddress[], local: PortalAddress) =>
  reachablePortals(bound, local, here)

t.test(
  'a host is told of the portals on the network that it came by, and of no other',
  async (t) => {
    const bound = [
      portal('127.0.0.1'),
      portal('127.0.0.2'),
      portal('192.0.2.1'),
      portal('192.0.2.5', 3261),
      portal('192.0.2.129'),
      portal('2001:db8::1'),
      portal('::1'),
    ]
    t.same(reachable(bound, portal('127.0.0.2')), [portal('127.0.0.2'), portal('127.0.0.1')])
    t.same(reachable(bound, portal('192.0.2.1')), [portal('192.0.2.1'), portal('192.0.2.5', 3261)])
    t.same(reachable(bound, portal('192.0.2.129')), [portal('192.0.2.129')])
    t.same(reachable(bound, portal('::1')), [portal('::1')])
    t.same(reachable(bound, portal('2001:db8::1')), [portal('2001:db8::1')])
  },
)

t.test('a portal on all addresses is told as the address that the host came to', async (t) => {
  for (const wildcard of ['0.0.0.0', '::']) {
    t.same(reachable([portal(wildcard)], portal('192.0.2.1')), [portal('192.0.2.1')])
  }
  t.same(reachable([portal('::')], portal('2001:db8::1')), [portal('2001:db8::1')])
  t.same(reachable([portal('::1'), portal('0.0.0.0', 99)], portal('::1')), [portal('::1')])
  const both = [portal('192.0.2.129'), portal('0.0.0.0', 99)]
  t.same(reachable(both, portal('192.0.2.129')), [portal('192.0.2.129'), portal('192.0.2.129', 99)])
})

t.test('the address that a host came to is told even when no network has it', async (t) => {
  t.same(reachable([portal('0.0.0.0')], portal('198.51.100.1')), [portal('198.51.100.1')])
  const apart = { lo: undefined, ...interfaces('10.0.0.1/32') }
  t.same(reachablePortals([portal('10.0.0.1'), portal('10.0.0.2')], portal('10.0.0.1'), apart), [
    portal('10.0.0.1'),
  ])
})
