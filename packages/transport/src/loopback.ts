/**
 * Connections that do not leave the machine. There is no network that they could congest, yet a congestion
 * control that paces (bbr) waits for a timer between the segments of large writes: 1 MiB writes took a third
 * longer. So these connections have reno, which every Linux has and allows; all others
 * have what the system is set to.
 */
import { createRequire } from 'node:module'
import { BlockList, isIPv6, type Socket } from 'node:net'

const IPPROTO_TCP = 6
const TCP_CONGESTION = 13
const CONTROL = 'reno'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

type SetSocketOption = (
  fd: number,
  level: number,
  name: number,
  value: string,
  length: number,
) => number

/** Undefined before it was looked for, null where it cannot be had. */
let setSocketOption: SetSocketOption | null | undefined

/** Whether an address, or the name `localhost`, is this machine's own. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || loopback.check(host, isIPv6(host) ? 'ipv6' : 'ipv4')
}

/** To be called once it is connected. It goes on as it is where this cannot be had: it is no more than a gain. */
export function unpaceLoopback(socket: Socket): void {
  if (!isLoopback(socket.remoteAddress ?? '')) return
  // Node tells the descriptor nowhere else.
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: number } }
  if (handle?.fd === undefined || handle.fd < 0) return
  if (setSocketOption === undefined) setSocketOption = load()
  setSocketOption?.(handle.fd, IPPROTO_TCP, TCP_CONGESTION, CONTROL, CONTROL.length)
}

function load(): SetSocketOption | null {
  if (process.platform !== 'linux') return null
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    const signature =
      'int setsockopt(int fd, int level, int name, const char *value, uint32_t length)'
    return koffi.load(null).func(signature) as SetSocketOption
  } catch {
    return null
  }
}
