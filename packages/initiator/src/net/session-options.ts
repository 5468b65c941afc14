/** What a persistent session is told, and what it tells. */
import type { LoginIdentity } from '../session/login.ts'
import type { PlacementPolicy } from '../session/placement.ts'
import type { Path } from './path.ts'

/**
 * What becomes of a path's connection: `lost` comes with the reason, `refused` with why an attempt to
 * come back failed. `alive` connections of the session are left; with none, I/O waits.
 */
export type SessionEvent = { readonly path: string; readonly alive: number } & (
  | { readonly type: 'restored' }
  | { readonly type: 'lost' | 'refused'; readonly error: Error }
)

export interface PersistentSessionOptions {
  /** The ways to the target; those in front are preferred. Connections are dealt out to them in turn. */
  readonly paths: readonly Path[]
  /** How many connections to have, if the target allows so many. */
  readonly connections: number
  readonly identity: LoginIdentity
  /** After so long without a connection, commands fail, until there is one again. */
  readonly retryForMs: number
  /** A path is dead when nothing has come over it for so long while something was due. */
  readonly pathTimeoutMs: number
  /** Which connection a command takes. */
  readonly place: PlacementPolicy
  readonly onEvent?: (event: SessionEvent) => void
  /** A unit has told, unasked, that something of it has changed. */
  readonly onScsiEvent?: () => void
  /** Gets a fault of ours; the connection has been given up. */
  readonly onFault: (error: unknown) => void
}
