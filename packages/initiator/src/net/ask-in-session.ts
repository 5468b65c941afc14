/** A session for questions in text alone, from its login to its logout. */
import type { TextPair } from '@platter/protocol/iscsi'
import type { LoginIdentity } from '../session/login.ts'
import { Session } from '../session/session.ts'
import { RunningClock } from './clock.ts'
import type { Endpoint } from './endpoint.ts'
import { SocketConnection } from './socket-connection.ts'

/** Resolves with what the target answers, key by key; one question at a time. */
export type Ask = (pairs: readonly TextPair[]) => Promise<readonly TextPair[]>

/**
 * Resolves with what came of `questions`, once the session has ended. Rejects with a LoginError, a
 * ConnectionLostError, or as `questions` did.
 */
export function askInSession<T>(
  endpoint: Endpoint,
  identity: LoginIdentity,
  questions: (ask: Ask) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const clock = new RunningClock()
    let found: { readonly value: T } | undefined
    const session = new Session({
      identity,
      cmdSN: 0,
      nowMs: clock.nowMs,
      loggedIn: () => {
        void questions(ask)
          .then((value) => {
            found = { value }
          }, reject)
          .finally(() => session.logout())
      },
      ended: (error) => {
        if (found !== undefined) resolve(found.value)
        else reject(error ?? new Error('the target logged us out before it answered'))
      },
    })
    const ask: Ask = (pairs) =>
      new Promise((answered, failed) => {
        session.sendText(pairs, (error, answers) => {
          if (error === null) answered(answers)
          else failed(error)
        })
      })
    new SocketConnection({
      endpoint,
      connect: (sink) => session.connect(sink),
      onTick: () => session.onTimer(clock.advance()),
      onFault: reject,
    })
  })
}
