/** What an error is to whoever started the command: its exit code, and a code and a message for it. */
import { ProtocolError } from '@platter/protocol/iscsi'
import { BlockError } from '../block/block-error.ts'
import { DifferenceError } from '../copy/comparison.ts'
import { MountpointError } from '../fuse/mountpoint.ts'
import { AuthenticationError, ConnectionLostError, LoginError } from '../session/errors.ts'
import { CliFailure, ExitCode } from './io.ts'

export function failureOf(error: Error): CliFailure {
  if (error instanceof CliFailure) return error
  const { exitCode, code } = kindOf(error)
  const { message } = error
  const said =
    error instanceof ProtocolError
      ? `what answers there does not keep to iSCSI: ${message}`
      : message
  return new CliFailure(exitCode, code, said)
}

function kindOf(error: Error): { readonly exitCode: number; readonly code: string } {
  const failed = (code: string) => ({ exitCode: ExitCode.Failed, code })
  if (error instanceof MountpointError) return failed(error.reason)
  if (error instanceof ConnectionLostError || error.cause instanceof ConnectionLostError) {
    return { exitCode: ExitCode.Unreachable, code: 'unreachable' }
  }
  if (error instanceof LoginError) return failed('login-refused')
  if (error instanceof AuthenticationError) return failed('target-not-trusted')
  if (error instanceof ProtocolError) return failed('protocol-error')
  if (error instanceof DifferenceError) return failed('different')
  if (error instanceof BlockError) return failed(error.code)
  return failed('failed')
}
