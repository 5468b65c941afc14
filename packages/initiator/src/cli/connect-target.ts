/** From the portals that a command line names to the target that it means, logged in to over all its paths. */
import { type ConnectedTarget, connect, type HostOptions } from '../host.ts'
import { chooseTarget } from './choose-target.ts'
import { type ConnectionFlags, connectOptions } from './path-flags.ts'
import { PathWatcher } from './path-watcher.ts'
import { discoverAtAny, type Paths, pathsTo } from './target-paths.ts'

export interface TargetAccess {
  readonly portals: Paths
  /** The only target there if undefined. */
  readonly targetName: string | undefined
  /** What to do where there are several; see chooseTarget. */
  readonly remedy?: string
  readonly host: HostOptions
  readonly flags: ConnectionFlags
  /** Told what becomes of the paths of the target. */
  say(text: string, targetName: string): void
}

/** Rejects with a CliFailure when the target cannot be told, and as `discover` and `connect` do. */
export async function connectTarget(access: TargetAccess): Promise<ConnectedTarget> {
  const { portals, targetName, remedy, host, flags, say } = access
  const targets = await discoverAtAny(portals, host)
  const found = chooseTarget(targets, portals[0], targetName, remedy)
  const watcher = new PathWatcher((text) => say(text, found.name))
  return connect(pathsTo(found, portals), found.name, {
    ...host,
    ...connectOptions(flags),
    onEvent: (event) => watcher.tell(event),
  })
}
