/** Why a login, a connection or a command failed, as errors that say so. */
import { LoginStatus, statusName } from '@platter/protocol/iscsi'

/** The target refused the login, or sent us elsewhere. */
export class LoginError extends Error {
  override readonly name = 'LoginError'
  /** Status-Class and Status-Detail as class * 256 + detail: see LoginStatus. */
  readonly status: number
  /** Where the target is now, as `host[:port][,portal-group-tag]`, when the status says it moved. */
  readonly movedTo: string | undefined

  constructor(status: number, movedTo: string | undefined) {
    const where = movedTo === undefined ? '' : `, to ${movedTo}`
    super(`login refused: ${statusName(LoginStatus, status)} (0x${hex4(status)})${where}`)
    this.status = status
    this.movedTo = movedTo
  }

  /** Whether another attempt may succeed: the trouble is the target's, and not with what we asked. */
  get temporary(): boolean {
    return this.status >> 8 === 3 || this.status === LoginStatus.TooManyConnections
  }
}

/** The target has not shown that it is who it must be, or will not have us show who we are. */
export class AuthenticationError extends Error {
  override readonly name = 'AuthenticationError'

  constructor(detail: string) {
    super(`the target is not to be trusted: ${detail}`)
  }
}

/** The connection is gone; commands that were under way on it have no status. */
export class ConnectionLostError extends Error {
  override readonly name: string = 'ConnectionLostError'
}

/**
 * What answers at a portal belongs to another portal group than the session: a login there would not
 * take the place of the old session (RFC 7143 section 6.3.5), and old writes might come after new ones.
 */
export class PortalGroupError extends ConnectionLostError {
  override readonly name = 'PortalGroupError'
  readonly got: number

  constructor(got: number, wanted: number) {
    super(`it is in portal group ${got}, and the session in ${wanted}`)
    this.got = got
  }
}

/** One command got no status: it was rejected, or aborted because it took too long. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0')
}
