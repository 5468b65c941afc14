/** Public names of the sans-I/O session layer, for tests of both ends: `@platter/target/session`. */
export type { AuthenticationRequirement, HostCredentials } from './authentication.ts'
export { type LoginAnswer, TargetLogin } from './login.ts'
export type { LoginPolicy } from './login-policy.ts'
