/** A discovery session, from its login to its logout (RFC 7143 section 4.3). */
import { type DiscoveredTarget, parseSendTargets } from '../session/discovery.ts'
import type { LoginIdentity } from '../session/login.ts'
import { Session } from '../session/session.ts'
import { RunningClock } from './clock.ts'
import type { Endpoint } from './endpoint.ts'
import { SocketConnection } from './socket-connection.ts'

/**
 * Resolves with the targets that the portal tells of, once the session has ended; `identity` is for a
 * Discovery session. Rejects with a LoginError, a ConnectionLostError, or what is wrong with the answer.
 */
export function discoverTargets(
  endpoint: Endpoint,
  identity: LoginIdentity,
): Promise<DiscoveredTarget[]> {
  return new Promise((resolve, reject) => {
    const clock = new RunningClock()
    let found: DiscoveredTarget[] | undefined
    const session = new Session({
      identity,
      cmdSN: 0,
      nowMs: clock.nowMs,
      loggedIn: () =>
        session.sendText([['SendTargets', 'All']], (error, pairs) => {
          try {
            if (error === null) found = parseSendTargets(pairs)
          } catch (fault) {
            reject(fault)
          }
          session.logout()
        }),
      ended: (error) => {
        if (found !== undefined) resolve(found)
        else reject(error ?? new Error('the target logged us out before it answered'))
      },
    })
    new SocketConnection({
      endpoint,
      connect: (sink) => session.connect(sink),
      onTick: () => session.onTimer(clock.advance()),
      onFault: reject,
    })
  })
}
