/** A server as `platter mount` is told of it: `[NAME=]PORTAL[+PORTAL…]`. */
import { InvalidArgumentError } from 'commander'
import type { PathOptions } from '../net/path.ts'
import { formatPortal, pathArgument } from './portal.ts'
import type { Paths } from './target-paths.ts'

export interface ServerArgument {
  /** What it was given; else its host, or its portal where several have that host. */
  readonly name: string
  readonly portals: Paths
}

/** What a directory may be called. */
const NAME = /^\w[\w.-]{0,254}$/

/** Throws an InvalidArgumentError when they are not understood, or have the same name. */
export function parseServers(texts: readonly string[]): ServerArgument[] {
  const parsed = texts.map(parseServer)
  const hosts = parsed.map(({ name, portals: [{ host }] }) => name ?? host)
  const servers = parsed.map(({ name, portals }) => {
    const [first] = portals
    const single = hosts.indexOf(first.host) === hosts.lastIndexOf(first.host)
    return { name: name ?? (single ? first.host : formatPortal(first)), portals }
  })
  const names = servers.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice === undefined) return servers
  throw new InvalidArgumentError(`got two servers that are called ${twice}, wanted NAME=PORTAL`)
}

function parseServer(text: string): { name: string | undefined; portals: Paths } {
  // A setting of a path has a = as well, but after a comma.
  const [, name, list = text] = /^([^,+=]*)=(.*)$/.exec(text) ?? []
  if (name !== undefined && !NAME.test(name)) {
    throw new InvalidArgumentError(`got ${name} as a server's name, wanted letters, digits, _ . -`)
  }
  const portals = list.split('+').map((portal): PathOptions => pathArgument(portal))
  return { name, portals: portals as [PathOptions, ...PathOptions[]] }
}
