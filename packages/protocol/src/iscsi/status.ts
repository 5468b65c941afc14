/** Numbers that responses carry, and the functions and reasons that requests ask for. */

/** Status-Class and Status-Detail of a Login Response, as class * 256 + detail (RFC 7143 section 11.13.5). */
export const LoginStatus = {
  Success: 0x0000,
  TargetMovedTemporarily: 0x0101,
  TargetMovedPermanently: 0x0102,
  InitiatorError: 0x0200,
  AuthenticationFailure: 0x0201,
  AuthorizationFailure: 0x0202,
  NotFound: 0x0203,
  TargetRemoved: 0x0204,
  UnsupportedVersion: 0x0205,
  TooManyConnections: 0x0206,
  MissingParameter: 0x0207,
  CannotIncludeInSession: 0x0208,
  SessionTypeNotSupported: 0x0209,
  SessionDoesNotExist: 0x020a,
  InvalidDuringLogin: 0x020b,
  TargetError: 0x0300,
  ServiceUnavailable: 0x0301,
  OutOfResources: 0x0302,
} as const
export type LoginStatus = (typeof LoginStatus)[keyof typeof LoginStatus]

/** Reason of a Reject (RFC 7143 section 11.17.1). */
export const RejectReason = {
  DataDigestError: 0x02,
  SnackReject: 0x03,
  ProtocolError: 0x04,
  CommandNotSupported: 0x05,
  ImmediateCommandReject: 0x06,
  TaskInProgress: 0x07,
  InvalidDataAck: 0x08,
  InvalidPduField: 0x09,
  LongOperationReject: 0x0a,
  WaitingForLogout: 0x0c,
} as const
export type RejectReason = (typeof RejectReason)[keyof typeof RejectReason]

/** Function of a Task Management Function Request (RFC 7143 section 11.5.1; those from QUERY TASK on RFC 7144). */
export const TaskManagementFunction = {
  AbortTask: 1,
  AbortTaskSet: 2,
  ClearAca: 3,
  ClearTaskSet: 4,
  LogicalUnitReset: 5,
  TargetWarmReset: 6,
  TargetColdReset: 7,
  TaskReassign: 8,
  QueryTask: 9,
  QueryTaskSet: 10,
  ITNexusReset: 11,
  QueryAsynchronousEvent: 12,
} as const
export type TaskManagementFunction =
  (typeof TaskManagementFunction)[keyof typeof TaskManagementFunction]

/** Response of a Task Management Function Response (RFC 7143 section 11.6.1; FunctionSucceeded RFC 7144). */
export const TaskManagementResponseCode = {
  FunctionComplete: 0,
  TaskDoesNotExist: 1,
  LunDoesNotExist: 2,
  TaskStillAllegiant: 3,
  TaskAllegianceReassignmentNotSupported: 4,
  FunctionNotSupported: 5,
  FunctionAuthorizationFailed: 6,
  FunctionSucceeded: 7,
  FunctionRejected: 255,
} as const
export type TaskManagementResponseCode =
  (typeof TaskManagementResponseCode)[keyof typeof TaskManagementResponseCode]

/** Response of a SCSI Response (RFC 7143 section 11.4.3). */
export const ScsiResponseCode = { Completed: 0x00, TargetFailure: 0x01 } as const
export type ScsiResponseCode = (typeof ScsiResponseCode)[keyof typeof ScsiResponseCode]

/** Reason of a Logout Request (RFC 7143 section 11.14.1). */
export const LogoutReason = {
  CloseSession: 0,
  CloseConnection: 1,
  RemoveConnectionForRecovery: 2,
} as const
export type LogoutReason = (typeof LogoutReason)[keyof typeof LogoutReason]

/** Response of a Logout Response (RFC 7143 section 11.15.1). */
export const LogoutResponseCode = {
  Success: 0,
  CidNotFound: 1,
  ConnectionRecoveryNotSupported: 2,
  CleanupFailed: 3,
} as const
export type LogoutResponseCode = (typeof LogoutResponseCode)[keyof typeof LogoutResponseCode]

/** Event of an Asynchronous Message (RFC 7143 section 11.9.1). */
export const AsyncEvent = {
  ScsiEvent: 0,
  LogoutRequest: 1,
  ConnectionDropped: 2,
  SessionDropped: 3,
  NegotiationRequest: 4,
  FastAbort: 5,
  VendorSpecific: 255,
} as const
export type AsyncEvent = (typeof AsyncEvent)[keyof typeof AsyncEvent]

/** The name of a number in one of the tables above, for people. */
export function statusName(table: Readonly<Record<string, number>>, value: number): string {
  const found = Object.entries(table).find(([, number]) => number === value)
  return found === undefined ? `0x${value.toString(16)}` : found[0]
}
