/** Logout Request (RFC 7143 section 11.14), at ErrorRecoveryLevel 0. */
import { LogoutReason, LogoutRequest, LogoutResponseCode } from '@platter/protocol/iscsi'
import type { ControlContext, ControlPdu } from './control-pdu.ts'

export function logoutRequest(context: ControlContext, { header }: ControlPdu): void {
  const pdu = new LogoutRequest().at(header, 0)
  const { session, cid } = context
  if (pdu.reasonCode === LogoutReason.RemoveConnectionForRecovery) {
    answer(context, pdu, LogoutResponseCode.ConnectionRecoveryNotSupported)
  } else if (pdu.reasonCode === LogoutReason.CloseSession) {
    context.logoutStarted()
    for (const connection of [...session.connections.values()]) {
      if (connection.cid !== cid) connection.end('logout', 'the session was closed by logout')
    }
    answer(context, pdu, LogoutResponseCode.Success)
    context.loggedOut()
  } else if (pdu.cid === cid) {
    context.logoutStarted()
    answer(context, pdu, LogoutResponseCode.Success)
    context.loggedOut()
  } else {
    const other = session.connections.get(pdu.cid)
    other?.end('logout', `closed by logout on connection ${cid}`)
    const code = other ? LogoutResponseCode.Success : LogoutResponseCode.CidNotFound
    answer(context, pdu, code)
  }
}

function answer(context: ControlContext, pdu: LogoutRequest, code: number): void {
  const { defaultTime2Wait, defaultTime2Retain } = context.session.parameters
  context.responder.logoutResponse(pdu.initiatorTaskTag, code, {
    time2Wait: defaultTime2Wait,
    time2Retain: defaultTime2Retain,
  })
}
