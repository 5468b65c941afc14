/** NOP-Out from the initiator: a ping to answer, or the answer to a ping of ours (RFC 7143 section 11.18). */
import { NopOut, RESERVED_TAG, RejectReason } from '@platter/protocol/iscsi'
import { type ControlContext, type ControlPdu, rejectPdu } from './control-pdu.ts'

export function nopOut(context: ControlContext, { header, data }: ControlPdu): void {
  const pdu = new NopOut().at(header, 0)
  if (pdu.targetTransferTag !== RESERVED_TAG) context.port.pingAnswered(pdu.targetTransferTag)
  if (pdu.initiatorTaskTag === RESERVED_TAG) {
    // Without a tag there is nothing to answer, and it may not take a CmdSN.
    if (!pdu.immediate) rejectPdu(context, RejectReason.ProtocolError, header)
    return
  }
  const echoed = data.subarray(0, Math.min(data.length, context.sendSegmentMax))
  context.responder.nopIn(pdu.initiatorTaskTag, echoed)
}
