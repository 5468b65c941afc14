/** What a peer did against RFC 7143, and what to answer it. */
import type { LoginStatus, RejectReason } from './status.ts'

/** The answer that the breach calls for; `drop` is to close the connection without one. */
export type ProtocolAnswer =
  | { readonly kind: 'reject'; readonly reason: RejectReason }
  | {
      readonly kind: 'login'
      readonly status: LoginStatus
      /** Text that goes with it. */
      readonly pairs?: readonly (readonly [key: string, value: string])[]
    }
  | { readonly kind: 'drop' }

/** The peer broke the protocol. `code` names the subject; the message says what, got and wanted. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly code: string
  readonly answer: ProtocolAnswer

  constructor(code: string, message: string, answer: ProtocolAnswer) {
    super(message)
    this.code = code
    this.answer = answer
  }
}
