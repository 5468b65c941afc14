/** The partition that a command line names, found and logged in to. */
import { parseName } from '@platter/protocol/iscsi'
import { InvalidArgumentError } from 'commander'
import type { BlockDevice } from '../block/block-device.ts'
import type { ConnectedTarget, HostOptions } from '../host.ts'
import type { PathOptions } from '../net/path.ts'
import { connectTarget } from './connect-target.ts'
import { CliFailure, ExitCode } from './io.ts'
import type { ConnectionFlags } from './path-flags.ts'
import { formatPortal, pathArgument } from './portal.ts'

/** How help calls it, and what it is. */
export const PARTITION = 'HOST[:PORT]/[IQN/]NAME, or iscsi://HOST[:PORT]/IQN/LUN'

export interface PartitionPlace {
  readonly portal: PathOptions
  /** The only target there if undefined. */
  readonly targetName: string | undefined
  /** Its name, or its LUN. */
  readonly unit: string | number
}

export interface PartitionAccess {
  readonly place: PartitionPlace
  /** Further portals of its target. */
  readonly portals: readonly PathOptions[]
  readonly host: HostOptions
  readonly flags: ConnectionFlags
  /** Told what becomes of paths. */
  say(text: string): void
}

const form = /^(iscsi:\/\/)?([^/]+)\/(?:([^/]+)\/)?([^/]+)$/

/** For commander: `192.0.2.7/scratch`, or the URL by which libiscsi and qemu know a unit. */
export function partitionArgument(text: string): PartitionPlace {
  const [, scheme, portal = '', target, unit = ''] = form.exec(text) ?? []
  if (portal.includes('@')) {
    const why = 'a user and a secret are not taken from the command line'
    throw new InvalidArgumentError(`${why}: use --chap-user and --secret-file`)
  }
  const targetName = target === undefined ? undefined : parseName(target)?.name
  const isUrl = scheme !== undefined
  const isComplete = isUrl ? targetName !== undefined && /^\d+$/.test(unit) : unit !== ''
  if (!isComplete || (target !== undefined && targetName === undefined)) {
    throw new InvalidArgumentError(`got ${text}, wanted ${PARTITION}`)
  }
  return { portal: pathArgument(portal), targetName, unit: isUrl ? Number(unit) : unit }
}

/**
 * Logs in to its target, over the portals given or those that the target tells of, and logs out when `use`
 * has ended; then all is durable that was written.
 */
export async function withPartition<T>(
  { place, portals, host, flags, say }: PartitionAccess,
  use: (device: BlockDevice, targetName: string) => Promise<T>,
): Promise<T> {
  const target = await connectTarget({
    portals: [place.portal, ...portals],
    targetName: place.targetName,
    remedy: `choose one, as ${formatPortal(place.portal)}/IQN/NAME`,
    host,
    flags,
    say: (text, name) => say(`${name}: ${text}`),
  })
  let outcome: T
  try {
    outcome = await use(find(target, place.unit), target.targetName)
  } catch (error) {
    // What went wrong first is what is told.
    await target.close().catch(() => {})
    throw error
  }
  await target.close()
  return outcome
}

function find(target: ConnectedTarget, unit: string | number): BlockDevice {
  const { targetName, devices } = target
  const device =
    typeof unit === 'number' ? target.deviceAt(unit) : devices.find(({ name }) => name === unit)
  if (device !== undefined) return device
  const what = typeof unit === 'number' ? `LUN ${unit}` : `partition ${unit}`
  const names = devices.map(({ name }) => `\n  ${name}`).join('')
  const message = `${targetName} has no ${what} for us; it has:${names || ' none'}`
  throw new CliFailure(ExitCode.Failed, 'no-partition', message)
}
