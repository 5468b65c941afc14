/** SCSI operation codes (SPC-4, SBC-3; WRITE ATOMIC: SBC-4) and service actions, by the standards' names. */

/** Operation codes: byte 0 of a CDB. */
export const Opcode = {
  TestUnitReady: 0x00,
  RequestSense: 0x03,
  Read6: 0x08,
  Write6: 0x0a,
  Inquiry: 0x12,
  ModeSelect6: 0x15,
  Reserve6: 0x16,
  Release6: 0x17,
  ModeSense6: 0x1a,
  StartStopUnit: 0x1b,
  PreventAllowMediumRemoval: 0x1e,
  ReadCapacity10: 0x25,
  Read10: 0x28,
  Write10: 0x2a,
  WriteAndVerify10: 0x2e,
  Verify10: 0x2f,
  PreFetch10: 0x34,
  SynchronizeCache10: 0x35,
  ReadDefectData10: 0x37,
  WriteSame10: 0x41,
  Unmap: 0x42,
  Sanitize: 0x48,
  ModeSelect10: 0x55,
  Reserve10: 0x56,
  Release10: 0x57,
  ModeSense10: 0x5a,
  PersistentReserveIn: 0x5e,
  PersistentReserveOut: 0x5f,
  ExtendedCopy: 0x83,
  ReceiveCopyResults: 0x84,
  Read16: 0x88,
  CompareAndWrite: 0x89,
  Write16: 0x8a,
  OrWrite16: 0x8b,
  WriteAndVerify16: 0x8e,
  Verify16: 0x8f,
  PreFetch16: 0x90,
  SynchronizeCache16: 0x91,
  WriteSame16: 0x93,
  WriteAtomic16: 0x9c,
  ServiceActionIn16: 0x9e,
  ReportLuns: 0xa0,
  MaintenanceIn: 0xa3,
  Read12: 0xa8,
  Write12: 0xaa,
  WriteAndVerify12: 0xae,
  Verify12: 0xaf,
  ReadDefectData12: 0xb7,
} as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

/** Service actions of SERVICE ACTION IN(16). */
export const ServiceActionIn = { ReadCapacity16: 0x10, GetLbaStatus: 0x12 } as const

/** Service actions of MAINTENANCE IN. */
export const MaintenanceIn = {
  ReportTargetPortGroups: 0x0a,
  ReportSupportedOperationCodes: 0x0c,
  ReportSupportedTaskManagementFunctions: 0x0d,
} as const

/**
 * CDB length in bytes, from the group code in bits 7-5 of the operation code (SPC-4 section
 * 4.3.2); undefined for the variable-length, reserved and vendor specific groups.
 */
export function cdbLength(opcode: number): 6 | 10 | 12 | 16 | undefined {
  switch (opcode >> 5) {
    case 0:
      return 6
    case 1:
    case 2:
      return 10
    case 4:
      return 16
    case 5:
      return 12
    default:
      return undefined
  }
}
