/// <reference path="../../buffer-layout.d.ts" preserve="true" />
/** Public names of the iSCSI codecs: `@platter/protocol/iscsi`. */

export * from './access-information.ts'
export { AdditionalHeaderSegments, AhsType } from './ahs.ts'
export { BasicHeader, BHS_LENGTH, headerLength, RESERVED_TAG } from './bhs.ts'
export * from './challenges.ts'
export * from './chap.ts'
export { describePdu } from './describe.ts'
export { crc32c } from './digest.ts'
export { type ProtocolAnswer, ProtocolError } from './errors.ts'
export {
  DIGEST_LENGTH,
  dataPosition,
  Framer,
  type FramerHandler,
  pduLength,
  sealPdu,
} from './framer.ts'
export * from './keys.ts'
export * from './name.ts'
export * from './negotiation.ts'
export { Opcode, opcodeName } from './opcode.ts'
export { AsyncMessage } from './pdu/async-message.ts'
export { DataIn } from './pdu/data-in.ts'
export { DataOut } from './pdu/data-out.ts'
export { LoginRequest, LoginResponse } from './pdu/login.ts'
export { LogoutRequest, LogoutResponse } from './pdu/logout.ts'
export { NopIn, NopOut } from './pdu/nop.ts'
export { ReadyToTransfer } from './pdu/ready-to-transfer.ts'
export { Reject } from './pdu/reject.ts'
export { ScsiCommand } from './pdu/scsi-command.ts'
export { ScsiResponse } from './pdu/scsi-response.ts'
export { SnackRequest } from './pdu/snack.ts'
export { TaskManagementRequest, TaskManagementResponse } from './pdu/task-management.ts'
export { TextRequest, TextResponse } from './pdu/text.ts'
export * from './serial-number.ts'
export * from './session-parameters.ts'
export {
  AsyncEvent,
  LoginStatus,
  LogoutReason,
  LogoutResponseCode,
  RejectReason,
  ScsiResponseCode,
  statusName,
  TaskManagementFunction,
  TaskManagementResponseCode,
} from './status.ts'
export * from './text-codec.ts'
export * from './text-value.ts'
