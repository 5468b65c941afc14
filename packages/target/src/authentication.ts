/** What each host must show at login: what the server asks of all, and what its secrets make of that. */
import {
  type AuthenticationFloor,
  authenticationFloors,
  type ChapAlgorithm,
} from '@platter/protocol/iscsi'
import type { Secrets } from './secrets.ts'
import type { AuthenticationRequirement } from './session/authentication.ts'

/** The server's own policy, which no host can get below. */
export interface ServerAuthentication {
  readonly floor: AuthenticationFloor
  readonly chapAlgorithms: readonly ChapAlgorithm[]
}

/**
 * What the host with this name, in its normal form, must show. Whoever has a secret here must show it; a
 * secret of ours for it, and it must ask for that as well.
 */
export function requirementOf(
  initiatorName: string,
  server: ServerAuthentication,
  secrets: Secrets,
): AuthenticationRequirement {
  const { chapAlgorithms } = server
  const credentials = secrets.credentialsOf(initiatorName)
  if (credentials === undefined) return { floor: server.floor, chapAlgorithms, credentials }
  const own = credentials.target === undefined ? 'chap' : 'chap-mutual'
  return { floor: higher(server.floor, own), chapAlgorithms, credentials }
}

function higher(one: AuthenticationFloor, other: AuthenticationFloor): AuthenticationFloor {
  const rank = (floor: AuthenticationFloor) => authenticationFloors.indexOf(floor)
  return rank(one) > rank(other) ? one : other
}
