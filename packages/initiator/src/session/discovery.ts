/** What SendTargets answers: targets, and where they are (RFC 7143 appendix C). */
import {
  parseName,
  parseTargetAddress,
  type TargetAddress,
  type TextPair,
} from '@platter/protocol/iscsi'

export interface DiscoveredTarget {
  readonly name: string
  /** Empty when the target can be reached where it was asked for. */
  readonly portals: readonly TargetAddress[]
}

/**
 * Targets in the order in which they came. Throws an Error for an answer that is not of the form;
 * portals with an address that cannot be read are left out, since others may do.
 */
export function parseSendTargets(pairs: readonly TextPair[]): DiscoveredTarget[] {
  const targets = new Map<string, TargetAddress[]>()
  let portals: TargetAddress[] | undefined
  for (const [key, value] of pairs) {
    if (key === 'TargetName') {
      const name = parseName(value)?.name
      if (name === undefined) throw new Error(`SendTargets: ${value} is not an iSCSI name`)
      portals = targets.get(name) ?? []
      targets.set(name, portals)
    } else if (key === 'TargetAddress') {
      if (portals === undefined) throw new Error('SendTargets: an address before any target name')
      const address = parseTargetAddress(value)
      if (address !== undefined) portals.push(address)
    }
  }
  return [...targets].map(([name, found]) => ({ name, portals: found }))
}
