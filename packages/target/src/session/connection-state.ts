/**
 * The states of a connection as a target sees them, and what moves it from one to another
 * (RFC 7143 section 8.1). Everything about transitions is here, and nothing else.
 */

export type ConnectionState =
  /** No transport connection: not yet, or no more. */
  | 'FREE'
  /** The TCP connection is accepted; waiting for the first Login Request. */
  | 'XPT_UP'
  /** Login is under way. */
  | 'IN_LOGIN'
  /** Full feature phase. */
  | 'LOGGED_IN'
  /** A Logout Request came; its response is on its way out. */
  | 'IN_LOGOUT'
  /** We asked the initiator, by an Async Message, to log out. */
  | 'LOGOUT_REQUESTED'
  /** The transport failed in full feature phase; tasks are being cleaned up. */
  | 'CLEANUP_WAIT'

export type ConnectionEvent =
  | 'transportConnected'
  | 'loginStarted'
  | 'loginFinished'
  | 'loginFailed'
  | 'logoutStarted'
  | 'logoutRequested'
  | 'logoutFinished'
  | 'transportLost'
  | 'cleanedUp'

export const transitions = {
  FREE: { transportConnected: 'XPT_UP' },
  XPT_UP: { loginStarted: 'IN_LOGIN', loginFailed: 'FREE', transportLost: 'FREE' },
  IN_LOGIN: { loginFinished: 'LOGGED_IN', loginFailed: 'FREE', transportLost: 'FREE' },
  LOGGED_IN: {
    logoutStarted: 'IN_LOGOUT',
    logoutRequested: 'LOGOUT_REQUESTED',
    transportLost: 'CLEANUP_WAIT',
  },
  LOGOUT_REQUESTED: { logoutStarted: 'IN_LOGOUT', transportLost: 'CLEANUP_WAIT' },
  IN_LOGOUT: { logoutFinished: 'FREE', transportLost: 'FREE' },
  CLEANUP_WAIT: { cleanedUp: 'FREE' },
} as const satisfies Record<ConnectionState, Partial<Record<ConnectionEvent, ConnectionState>>>

/** The state after `event`; throws when the table has no such transition: a fault of ours. */
export function nextState(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  const after = (transitions[state] as Partial<Record<ConnectionEvent, ConnectionState>>)[event]
  if (after === undefined) throw new Error(`no transition from ${state} on ${event}`)
  return after
}
