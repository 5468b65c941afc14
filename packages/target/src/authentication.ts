/**
 * What each host must show at login: what the server asks of all, what has been set for that host, and what
 * the secrets make of it.
 */
import {
  type AuthenticationFloor,
  authenticationFloors,
  type ChapAlgorithm,
} from '@platter/protocol/iscsi'
import type { Secrets } from './secrets.ts'
import type { AuthenticationRequirement } from './session/authentication.ts'

/** The server's own policy. No host gets below it by what it offers. */
export interface ServerAuthentication {
  readonly floor: AuthenticationFloor
  readonly chapAlgorithms: readonly ChapAlgorithm[]
}

/** What has been set for one host. */
export interface HostAuthentication {
  /** A floor of its own; the server's still holds where that is higher. */
  readonly minAuth?: Exclude<AuthenticationFloor, 'none'>
  /** Said in plain words: this host need not show anything but a secret of its own. */
  readonly allowUnauthenticated?: true
}

/**
 * What the host with this name, in its normal form, must show. Whoever has a secret here must show it; a
 * secret of ours for it, and it must ask for that as well. What names the host counts before what is for
 * all: where `host` allows it to show nothing, neither the server's floor nor a secret of all hosts holds.
 */
export function requirementOf(
  initiatorName: string,
  server: ServerAuthentication,
  host: HostAuthentication,
  secrets: Secrets,
): AuthenticationRequirement {
  const { chapAlgorithms } = server
  const credentials = secrets.credentialsOf(initiatorName)
  const shown = credentials?.target ? 'chap-mutual' : credentials ? 'chap' : 'none'
  if (host.allowUnauthenticated) {
    const floor = secrets.hasOwn(initiatorName) ? shown : 'none'
    return { floor, chapAlgorithms, credentials }
  }
  const floor = higher(higher(server.floor, host.minAuth ?? 'none'), shown)
  return { floor, chapAlgorithms, credentials }
}

function higher(one: AuthenticationFloor, other: AuthenticationFloor): AuthenticationFloor {
  const rank = (floor: AuthenticationFloor) => authenticationFloors.indexOf(floor)
  return rank(one) > rank(other) ? one : other
}
