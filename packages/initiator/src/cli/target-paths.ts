/** Which paths lead to a target: those that a command line names, and what discovery tells there. */
import { discover, type HostOptions } from '../host.ts'
import type { PathOptions } from '../net/path.ts'
import type { DiscoveredTarget } from '../session/discovery.ts'

/** In their order, and one at least. */
export type Paths = readonly [PathOptions, ...PathOptions[]]

/** What the first portal tells that answers; rejects as `discover` does for the first of them. */
export async function discoverAtAny(
  portals: Paths,
  host: HostOptions,
): Promise<DiscoveredTarget[]> {
  const [portal, next, ...others] = portals
  if (next === undefined) return discover(portal, host)
  return discover(portal, host).catch((error: Error) =>
    discoverAtAny([next, ...others], host).catch(() => Promise.reject(error)),
  )
}

/**
 * The portals that were given, if those are several; else all that the target names, that which was
 * given before the others if it is among them.
 */
export function pathsTo(target: DiscoveredTarget, asked: Paths): Paths {
  const named = target.portals.map(({ host, port, targetPortalGroupTag: portalGroupTag }) => ({
    host,
    port,
    portalGroupTag,
  }))
  const [first, ...further] = asked.map((path) => {
    const portalGroupTag = named.find((portal) => isSame(portal, path))?.portalGroupTag
    return { ...path, portalGroupTag }
  }) as [PathOptions, ...PathOptions[]]
  if (further.length > 0) return [first, ...further]
  const [other, ...others] = named.filter((portal) => !isSame(portal, first))
  if (other === undefined) return [first]
  const isNamed = 1 + others.length < named.length
  return isNamed ? [first, other, ...others] : [other, ...others]
}

function isSame(one: PathOptions, other: PathOptions): boolean {
  return one.host === other.host && one.port === other.port
}
