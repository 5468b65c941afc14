/**
 * Logout Request (RFC 7143 section 11.14), at ErrorRecoveryLevel 0. The response comes when nothing of
 * what is closed can reach a volume any more: the initiator may act on that elsewhere.
 */
import {
  LogoutReason,
  LogoutRequest,
  LogoutResponseCode,
  RejectReason,
} from '@platter/protocol/iscsi'
import { abortAll, tasksOf } from './abort.ts'
import { type ControlContext, type ControlPdu, rejectPdu } from './control-pdu.ts'
import type { Task } from './task.ts'

export function logoutRequest(context: ControlContext, { header }: ControlPdu): void {
  const pdu = new LogoutRequest().at(header, 0)
  const { session, cid } = context
  const closesSession = pdu.reasonCode === LogoutReason.CloseSession
  const isReserved = pdu.reasonCode > LogoutReason.RemoveConnectionForRecovery
  if (isReserved || (session.identity.type === 'Discovery' && !closesSession)) {
    rejectPdu(context, RejectReason.ProtocolError, header)
    return
  }
  const closed = closesSession ? cid : pdu.cid
  const connection = session.connections.get(closed)
  if (connection === undefined) {
    answer(context, pdu, LogoutResponseCode.CidNotFound)
    return
  }
  if (pdu.reasonCode === LogoutReason.RemoveConnectionForRecovery) {
    answer(context, pdu, LogoutResponseCode.ConnectionRecoveryNotSupported)
    return
  }
  if (closed === cid) context.port.logoutStarted()
  for (const other of [...session.connections.values()]) {
    if (other.cid === cid || !(closesSession || other === connection)) continue
    other.end('logout', `closed by logout on connection ${cid}`)
  }
  const isClosed = (task: Task) => closesSession || task.owner === connection
  abortAll(tasksOf([session], isClosed), () => {
    if (!context.isOpen) return
    answer(context, pdu, LogoutResponseCode.Success)
    if (closed === cid) context.port.loggedOut()
  })
}

function answer(context: ControlContext, pdu: LogoutRequest, code: number): void {
  const { defaultTime2Wait, defaultTime2Retain } = context.session.parameters
  context.responder.logoutResponse(pdu.initiatorTaskTag, code, {
    time2Wait: defaultTime2Wait,
    time2Retain: defaultTime2Retain,
  })
}
