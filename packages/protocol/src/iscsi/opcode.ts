/** Operation codes of PDUs (RFC 7143 section 11.2.1.2): the low six bits of their first byte. */
export const Opcode = {
  NopOut: 0x00,
  ScsiCommand: 0x01,
  TaskManagementRequest: 0x02,
  LoginRequest: 0x03,
  TextRequest: 0x04,
  DataOut: 0x05,
  LogoutRequest: 0x06,
  SnackRequest: 0x10,
  NopIn: 0x20,
  ScsiResponse: 0x21,
  TaskManagementResponse: 0x22,
  LoginResponse: 0x23,
  TextResponse: 0x24,
  DataIn: 0x25,
  LogoutResponse: 0x26,
  ReadyToTransfer: 0x31,
  AsyncMessage: 0x32,
  Reject: 0x3f,
} as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

const names = new Map<number, string>(
  Object.entries(Opcode).map(([name, opcode]) => [opcode, name]),
)

/** The name of an opcode, for people; `opcode 0x…` for those the RFC does not know. */
export function opcodeName(opcode: number): string {
  return names.get(opcode) ?? `opcode 0x${opcode.toString(16).padStart(2, '0')}`
}
