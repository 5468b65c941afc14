/** Public names of the sans-I/O session layer, for tests of both ends: `@platter/initiator/session`. */
export type { AuthenticationPolicy } from './authentication.ts'
export { Login, type LoginIdentity, type LoginOutcome, type LoginStep } from './login.ts'
