/** Bounds on what hosts may take of a server; docs/platterd.md tells what each is answered with. */

export interface ServerLimits {
  /** Sessions at once, over all hosts, and of one host for which nothing else has been set. */
  readonly sessions: number
  readonly sessionsPerHost: number
  /** Connections of all sessions of one host. */
  readonly connectionsPerHost: number
  /** TCP connections, logged in or not. */
  readonly tcpConnections: number
  /** Of those, logins that are not done: over all addresses, and of one. */
  readonly logins: number
  readonly loginsPerAddress: number
  readonly loginTimeoutMs: number
  /** Commands of one session in progress. */
  readonly commands: number
}

export const defaultServerLimits: ServerLimits = {
  sessions: 256,
  sessionsPerHost: 64,
  connectionsPerHost: 256,
  tcpConnections: 1024,
  logins: 512,
  loginsPerAddress: 64,
  loginTimeoutMs: 15_000,
  commands: 128,
}
