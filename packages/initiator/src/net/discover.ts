/** A discovery session, from its login to its logout (RFC 7143 section 4.3). */
import { type DiscoveredTarget, parseSendTargets } from '../session/discovery.ts'
import type { LoginIdentity } from '../session/login.ts'
import { askInSession } from './ask-in-session.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * Resolves with the targets that the portal tells of, once the session has ended; `identity` is for a
 * Discovery session. Rejects with a LoginError, a ConnectionLostError, or what is wrong with the answer.
 */
export function discoverTargets(
  endpoint: Endpoint,
  identity: LoginIdentity,
): Promise<DiscoveredTarget[]> {
  return askInSession(endpoint, identity, async (ask) =>
    parseSendTargets(await ask([['SendTargets', 'All']])),
  )
}
