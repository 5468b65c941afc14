/**
 * The states of a connection as an initiator sees them, and what moves it from one to another
 * (RFC 7143 section 8.1). Everything about transitions is here, and nothing else.
 */

export type ConnectionState =
  /** No transport connection: not yet, or no more. */
  | 'FREE'
  /** Connecting. */
  | 'XPT_WAIT'
  /** The first Login Request has been sent. */
  | 'IN_LOGIN'
  /** Full feature phase. */
  | 'LOGGED_IN'
  /** A Logout Request has been sent; its response is awaited. */
  | 'IN_LOGOUT'
  /** The target asked us, by an Async Message, to log out. */
  | 'LOGOUT_REQUESTED'
  /** The transport failed in full feature phase; tasks are being cleaned up. */
  | 'CLEANUP_WAIT'

export type ConnectionEvent =
  | 'connectStarted'
  | 'loginStarted'
  | 'loginFinished'
  | 'loginFailed'
  | 'logoutStarted'
  | 'logoutRequested'
  | 'logoutFinished'
  | 'transportLost'
  | 'cleanedUp'

export const transitions = {
  FREE: { connectStarted: 'XPT_WAIT' },
  XPT_WAIT: { loginStarted: 'IN_LOGIN', transportLost: 'FREE' },
  IN_LOGIN: { loginFinished: 'LOGGED_IN', loginFailed: 'FREE', transportLost: 'FREE' },
  LOGGED_IN: {
    logoutStarted: 'IN_LOGOUT',
    logoutRequested: 'LOGOUT_REQUESTED',
    transportLost: 'CLEANUP_WAIT',
  },
  LOGOUT_REQUESTED: { logoutStarted: 'IN_LOGOUT', transportLost: 'CLEANUP_WAIT' },
  IN_LOGOUT: { logoutFinished: 'FREE', transportLost: 'CLEANUP_WAIT' },
  CLEANUP_WAIT: { cleanedUp: 'FREE' },
} as const satisfies Record<ConnectionState, Partial<Record<ConnectionEvent, ConnectionState>>>

for (const row of Object.values(transitions)) Object.freeze(row)
Object.freeze(transitions)

/** The state after `event`; throws when the table has no such transition: a fault of ours. */
export function nextState(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  const after = (transitions[state] as Partial<Record<ConnectionEvent, ConnectionState>>)[event]
  if (after === undefined) throw new Error(`no transition from ${state} on ${event}`)
  return after
}
