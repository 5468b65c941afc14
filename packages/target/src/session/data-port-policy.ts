/** Which portals are for which host, where each host has ports of its own. By default all are for all. */
import type { LoginIdentity, LoginRefusal } from './login-policy.ts'

/** Where a connection has come to. */
export interface LocalEnd {
  readonly host: string
  readonly port: number
}

export interface DataPortPolicy {
  /**
   * A Discovery session of a host that has authenticated is about to begin, on a connection to `local`: sees
   * to it that there is a portal to tell it of. Calls `done`, at once or later, with what to refuse it with
   * if there cannot be one.
   */
  prepare(initiatorName: string, local: LocalEnd, done: (refusal?: LoginRefusal) => void): void
  /** Why a host that has authenticated may not log in at `local`; undefined when it may. */
  refusalAt(identity: LoginIdentity, local: LocalEnd): LoginRefusal | undefined
  /** The portal to tell a host of that has come to `local`; undefined for all that it can reach. */
  portalOf(initiatorName: string, local: LocalEnd): LocalEnd | undefined
}
