/** Bounds on what hosts may take of a server; docs/platterd.md tells what each is answered with. */
import { defaultLimits } from './session/target-node.ts'

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
  /** Dynamic data ports that are open at once, and how long one is that no session uses. */
  readonly dataPorts: number
  readonly dataPortUnusedMs: number
  /** Commands of one session in progress. */
  readonly commands: number
}

export const defaultServerLimits: ServerLimits = {
  sessions: defaultLimits.sessionsMax,
  sessionsPerHost: defaultLimits.hostSessionsMax,
  connectionsPerHost: defaultLimits.hostConnectionsMax,
  tcpConnections: 1024,
  logins: 512,
  loginsPerAddress: 64,
  loginTimeoutMs: defaultLimits.loginTimeoutMs,
  dataPorts: 256,
  dataPortUnusedMs: 120_000,
  commands: defaultLimits.commandWindow,
}
