/** What no SCSI Command of a valid initiator is like (RFC 7143 sections 11.2.2, 11.3 and 13). */
import {
  AdditionalHeaderSegments,
  Opcode,
  ProtocolError,
  RESERVED_TAG,
  RejectReason,
  type ScsiCommand,
  type SessionParameters,
} from '@platter/protocol/iscsi'

/** The last task attribute that is defined (RFC 7143 section 11.3.1). */
const ACA = 4

/** All the segments there are: the rest of a CDB of 260 bytes, and a bidirectional read length. */
export const AHS_LENGTH_MAX = 248 + 8

const segments = new AdditionalHeaderSegments()

/** Throws the ProtocolError that refuses a PDU for the additional header segments at `buffer[base + 48]`. */
export function checkAdditional(opcode: number, buffer: Buffer, base: number): void {
  if (opcode !== Opcode.ScsiCommand) {
    const message = 'additional header segments in a PDU that is no SCSI Command'
    throw refused(RejectReason.InvalidPduField, message)
  }
  segments.read(buffer, base)
}

/** Throws the ProtocolError that refuses `command` and ends its connection, if there is reason to. */
export function checkCommand(
  command: ScsiCommand,
  parameters: SessionParameters,
  inProgress: ReadonlyMap<number, unknown>,
): void {
  const length = command.dataSegmentLength
  if (command.read && command.write) {
    throw refused(RejectReason.CommandNotSupported, 'bidirectional commands are not supported')
  }
  if (inProgress.has(command.initiatorTaskTag)) {
    throw refused(RejectReason.TaskInProgress, `task ${command.initiatorTaskTag} is in progress`)
  }
  if (length > 0 && !parameters.immediateData) {
    throw refused(RejectReason.ProtocolError, 'immediate data, though ImmediateData is No')
  }
  if (length > 0 && !command.write) {
    throw refused(RejectReason.ProtocolError, 'immediate data in a command that writes nothing')
  }
  if (command.attribute > ACA) {
    throw refused(RejectReason.ProtocolError, `task attribute ${command.attribute} is reserved`)
  }
  if (command.initiatorTaskTag === RESERVED_TAG) {
    throw refused(RejectReason.ProtocolError, 'a command with the reserved InitiatorTaskTag')
  }
  const most = Math.min(parameters.firstBurstLength, command.expectedDataTransferLength)
  if (length > most) {
    throw refused(RejectReason.ProtocolError, `immediate data of ${length} bytes exceed ${most}`)
  }
  if (command.write && !command.final && parameters.initialR2T && length < most) {
    throw refused(RejectReason.ProtocolError, 'unsolicited data, though InitialR2T is Yes')
  }
}

function refused(reason: RejectReason, message: string): ProtocolError {
  return new ProtocolError('command', message, { kind: 'reject', reason })
}
